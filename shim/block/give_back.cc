// See give_back.h.
#include "block/give_back.h"

#include <errno.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "block/blocking.h"

namespace cbd::block {

namespace {

constexpr uint64_t step_bytes = 1 << 20;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<std::byte[], Free>;

int look(Device& volume, ByteRange piece, std::byte* buffer, bool& is_zero) {
  is_zero = true;
  for (uint64_t at = 0; at < piece.length && is_zero; at += step_bytes) {
    const uint64_t n = std::min(step_bytes, piece.length - at);
    if (int rc = read_blocking(volume, piece.offset + at, buffer, n)) return rc;
    is_zero = buffer[0] == std::byte{0} && std::memcmp(buffer, buffer + 1, n - 1) == 0;
  }
  return 0;
}

int give_back_range(Device& volume, ByteRange range, uint64_t grain, std::byte* buffer) {
  const uint64_t end = range.offset + range.length;
  ByteRange run{range.offset, 0};  // of zeroes; what lies side by side goes in one request
  for (uint64_t at = range.offset; at < end; at += grain) {
    const ByteRange piece{at, std::min(grain, end - at)};
    bool is_zero = false;
    if (int rc = look(volume, piece, buffer, is_zero)) return rc;
    if (is_zero) run.length += piece.length;
    const bool is_over = !is_zero || piece.offset + piece.length == end;
    if (!is_over) continue;
    if (run.length != 0) {
      if (int rc = plain_blocking(volume, Op::discard, run.offset, run.length)) return rc;
    }
    run = {piece.offset + piece.length, 0};
  }
  return 0;
}

}  // namespace

int give_back_zeroes(Device& volume, const std::vector<ByteRange>& ranges, uint64_t grain) {
  if (!volume.discard_zeroes()) return -EOPNOTSUPP;
  const uint64_t size = volume.size();
  for (const ByteRange& range : ranges) {
    if (grain == 0 || range.offset > size || range.length > size - range.offset) return -EINVAL;
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, step_bytes) != 0) return -ENOMEM;
  Buffer buffer(static_cast<std::byte*>(memory));
  for (const ByteRange& range : ranges) {
    if (int rc = give_back_range(volume, range, grain, buffer.get())) return rc;
  }
  return 0;
}

}  // namespace cbd::block
