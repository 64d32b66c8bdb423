// An image of layers in memory, with what the image layer and the daemon do around a chain: heads on demand,
// snapshots, clones, resizes, reopens. For the tests of chains.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "block/align.h"
#include "block/chain.h"
#include "block/memory_volume.h"
#include "block/support.h"

namespace cbd::block::test {

inline uint64_t cow_bytes(uint64_t size) {
  return layer::data_offset + (size + 4095) / 4096 * 4096;
}

inline std::shared_ptr<MemoryVolume> cow_volume(uint64_t size, bool record = false) {
  return std::make_shared<MemoryVolume>(
      MemoryVolume::Options{.size = cow_bytes(size), .block_size = 4096, .record = record});
}

struct ChainImage {
  std::vector<LayerSpec> layers;  // newest first
  uint64_t size;
  std::shared_ptr<IoRing> ring = std::make_shared<IoRing>();
  std::unique_ptr<Chain> chain;
  std::unique_ptr<Align> align;
  bool reorders = false;  // heads answer from a thread of their own, in random order
  std::vector<std::thread> makers;

  ChainImage(std::vector<LayerSpec> l, uint64_t bytes) : layers(std::move(l)), size(bytes) { reopen(); }
  ~ChainImage() { settle(); }

  static std::vector<LayerSpec> plain(uint64_t bytes) {
    const uint64_t rounded = (bytes + 4095) / 4096 * 4096;
    return {{.id = name(),
             .is_cow = false,
             .is_frozen = false,
             .size = bytes,
             .volume =
                 std::make_shared<MemoryVolume>(MemoryVolume::Options{.size = rounded, .block_size = 512})}};
  }
  static std::string name() {
    static std::atomic<int> next{1};
    return "layer-" + std::to_string(next++);
  }

  bool has_head() const { return !layers.empty() && !layers[0].is_frozen; }
  bool is_lone() const { return layers.size() == 1 && !layers[0].is_cow && has_head(); }
  Chain::Leave leave() const { return has_head() ? Chain::Leave::write : Chain::Leave::read; }

  // A fresh chain that knows nothing but what the volumes hold.
  void reopen() {
    settle();
    align.reset();
    chain = std::make_unique<Chain>([this](bool) { makers.emplace_back([this] { make_head(); }); });
    tell();
    align = std::make_unique<Align>(*chain, size);
  }
  void tell() {
    if (chain->set_layers(layers, size, leave()) != 0) std::abort();
  }
  // What the daemon does when somebody wants to write and there is no head.
  void make_head() {
    auto volume = cow_volume(size);
    if (reorders) volume->answer_from_thread(11);
    layers.insert(layers.begin(),
                  {.id = name(), .is_cow = true, .is_frozen = false, .size = size, .volume = volume});
    tell();
  }
  void settle() {
    for (auto& maker : makers) maker.join();
    makers.clear();
  }
  int flush() {
    Request r;
    r.op = Op::flush;
    return ring->run(*align, r);
  }
  // The layers as a snapshot has them, of which nothing changes any more.
  std::vector<LayerSpec> snapshot() {
    settle();
    if (flush()) std::abort();
    if (has_head()) layers[0].is_frozen = true;
    tell();
    return layers;
  }
  void roll_back(const std::vector<LayerSpec>& to, uint64_t bytes) {
    settle();
    layers = to;
    set_size(bytes);
    tell();
  }
  void resize(uint64_t bytes) {
    settle();
    if (is_lone()) {
      auto& volume = static_cast<MemoryVolume&>(*layers[0].volume);
      const uint64_t rounded = (bytes + 4095) / 4096 * 4096;
      if (bytes > size) volume.set_size(rounded);
      if (bytes < size) {
        Bytes nothing(volume.size() - bytes, 0);
        volume.poke(bytes, nothing.data(), nothing.size());
        volume.set_size(rounded);
      }
      layers[0].size = bytes;
    } else if (bytes < size) {
      if (flush()) std::abort();
      if (has_head()) layers[0].is_frozen = true;
      for (auto& layer : layers) layer.size = std::min(layer.size, bytes);
    } else if (has_head()) {
      static_cast<MemoryVolume&>(*layers[0].volume).set_size(cow_bytes(bytes));
      layers[0].size = bytes;
    }
    set_size(bytes);
    tell();
  }
  void set_size(uint64_t bytes) {
    size = bytes;
    align->set_size(bytes);
  }
};

}  // namespace cbd::block::test
