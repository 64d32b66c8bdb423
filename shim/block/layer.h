// One layer of a chain: a volume and, for a cow layer, its map. Reads and writes the map; knows nothing of
// other layers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "block/device.h"
#include "block/layer_map.h"

namespace cbd::block {

// How a layer is described to a chain.
struct LayerSpec {
  std::string id;  // never used again for another layer
  bool is_cow = false;
  bool is_frozen = true;  // nobody ever changes it
  uint64_t size = 0;      // bytes of it that count in this chain; what is behind is zero
  std::shared_ptr<Device> volume;
};

// All members but the constants are guarded by the lock of the chain that it is in.
struct Layer {
  Layer(std::string i, bool cow, std::shared_ptr<Device> v)
      : id(std::move(i)), is_cow(cow), volume(std::move(v)) {}

  const std::string id;
  const bool is_cow;
  const std::shared_ptr<Device> volume;
  LayerMap map;
  bool has_header = false;  // both copies are on the volume
  bool header_is_known = false;

  // Offset on the volume of the image's byte `offset`.
  uint64_t place(uint64_t offset) const { return is_cow ? layer::data_offset + offset : offset; }

  // Taking in the beginning of the volume (headers, and whether all is blank): `head_bytes` from offset 0 on.
  static constexpr uint64_t head_bytes = layer::map_offset;
  // 0, or -EIO where both copies of the header are damaged.
  int take_head(const std::byte* from);

  // The same with I/O, on the calling thread. No lock is needed where nobody else knows the layer. Returns 0
  // or -errno.
  int load_head();
  int load_chunk(uint64_t chunk);
  int load(uint64_t offset, uint64_t length);
  // Flushes the data, writes the map, flushes: what was written before is durable then.
  int write_back();
  int write_header();
};

}  // namespace cbd::block
