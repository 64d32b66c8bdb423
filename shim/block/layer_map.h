// The map of one cow layer in memory: only pages that say something are kept. No I/O and no lock: its owner
// has both.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "block/layer_format.h"

namespace cbd::block {

class LayerMap {
 public:
  // Pages come from the volume in chunks, which are one read each.
  static constexpr uint64_t pages_per_chunk = 16;
  static constexpr uint64_t blocks_per_chunk = pages_per_chunk * layer::blocks_per_page;
  static constexpr uint64_t chunk_bytes = pages_per_chunk * layer::page_bytes;

  static uint64_t chunk_of(uint64_t block) { return block / blocks_per_chunk; }
  static uint64_t chunk_offset(uint64_t chunk) { return layer::map_offset + chunk * chunk_bytes; }
  // How much of a chunk lies before the data.
  static uint64_t chunk_length(uint64_t chunk);

  bool is_known(uint64_t chunk) const { return all_known_ || (chunk < known_.size() && known_[chunk]); }
  // The volume has never been written: nothing is owned, and nothing needs to be read.
  void set_fresh() { all_known_ = true; }
  // Takes a chunk as it is on the volume, unless it is known already. False where it is damaged.
  bool install(uint64_t chunk, const std::byte* from);

  // What is said of a block (of a known chunk), and of how many from there on the same (at most `limit`; it
  // stops at borders of pages).
  layer::Entry run(uint64_t block, uint64_t limit, uint64_t& length) const;
  // Whether every block of the range (known) is `entry` already.
  bool is_all(uint64_t block, uint64_t count, layer::Entry entry) const;
  void set(uint64_t block, uint64_t count, layer::Entry entry);
  bool is_page_empty(uint64_t page) const { return !pages_.count(page); }

  bool is_dirty() const { return !dirty_.empty(); }
  // The pages changed since the last take_dirty(), as they go to the volume, in order. put_back() after a
  // failure.
  struct Image {
    uint64_t page;
    std::array<std::byte, layer::page_bytes> bytes;
  };
  std::vector<Image> take_dirty();
  void put_back(const std::vector<Image>& images);

  // What the pages take.
  uint64_t memory_bytes() const;
  // Blocks that are `data` in known chunks.
  uint64_t count_data() const;

 private:
  using Bits = std::array<std::byte, layer::page_bits_bytes>;
  // Pages that are not here are empty, if known. Those that are all zero share one (a discard of everything
  // is cheap).
  std::unordered_map<uint64_t, std::shared_ptr<Bits>> pages_;
  std::shared_ptr<Bits> all_zero_;
  std::vector<bool> known_;  // by chunk
  bool all_known_ = false;
  std::set<uint64_t> dirty_;
};

}  // namespace cbd::block
