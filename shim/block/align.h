// Any byte range over a device of whole blocks: read-modify-write of edge blocks under range locks, and
// compare_and_write. Has no thread of its own and knows nothing of what is below.
#pragma once

#include <atomic>

#include "block/device.h"
#include "block/fork_generation.h"

namespace cbd::block {

class Align : public Device {
 public:
  // `below` outlives this. `size` in bytes, to the byte; at most below.size().
  Align(Device& below, uint64_t size);
  ~Align() override;

  void submit(Request& request) override;
  uint64_t size() const override { return size_.load(std::memory_order_acquire); }
  uint32_t block_size() const override { return 1; }
  bool discard_zeroes() const override { return below_.discard_zeroes(); }
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override;

  // The image grew or shrank; below has been told already when it grows, and is told after when it shrinks.
  void set_size(uint64_t size) { size_.store(size, std::memory_order_release); }

 private:
  struct State;
  struct Work;
  struct Shared;
  Device& below_;
  std::atomic<uint64_t> size_;
  PerProcess<Shared> state_;
};

}  // namespace cbd::block
