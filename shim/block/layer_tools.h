// What the daemon does to layers that nobody writes: flatten, merge, measure. Synchronous, on the caller's
// thread; each may be cut short at any point and run again from the beginning.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "block/device.h"
#include "block/layer.h"

namespace cbd::block {

// Told bytes done and in all; returning < 0 ends the work with -ECANCELED.
using ToolProgress = std::function<int(uint64_t done, uint64_t total)>;

// Copies the bytes [0, length) that a chain shows (newest first, clipped by their sizes) into a plain volume
// of zeroes, and flushes. What is zero is not written. Returns 0 or -errno.
int flatten_layers(const std::vector<LayerSpec>& layers, uint64_t length, Device& target,
                   const ToolProgress& progress);

// Puts what a cow layer owns of [0, length) onto the layer below it, so that the lower one alone shows what
// both show together. Of the lower one `visible` bytes count before; what it has behind them becomes zero.
// Its volume must be large enough already. Until the chain is told, a reader of both sees the same bytes as
// before. Returns 0 or -errno.
int merge_layer(Layer& upper, Layer& lower, uint64_t visible, uint64_t length, const ToolProgress& progress);

// How many bytes of [0, length) a cow layer holds as data.
int measure_layer(Layer& cow, uint64_t length, uint64_t& data_bytes);

// Zeroes a range of a volume (any bytes), writing only where it is not zero. No flush.
int zero_range(Device& volume, uint64_t offset, uint64_t length);

}  // namespace cbd::block
