// Walking over scattered memory.
#include "block/iov.h"

#include <algorithm>
#include <cstring>

namespace cbd::block {
namespace {

// Calls `visit(address, length)` for each stretch of [position, position + bytes); it returns false to stop.
template <class Visit>
void walk(const iovec* iov, int count, uint64_t position, uint64_t bytes, Visit visit) {
  for (int i = 0; i < count && bytes; ++i) {
    const uint64_t length = iov[i].iov_len;
    if (position >= length) {
      position -= length;
      continue;
    }
    const uint64_t n = std::min(bytes, length - position);
    if (!visit(static_cast<std::byte*>(iov[i].iov_base) + position, n)) return;
    bytes -= n;
    position = 0;
  }
}

}  // namespace

uint64_t iov_bytes(const iovec* iov, int count) {
  uint64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += iov[i].iov_len;
  return sum;
}

bool is_aligned(const iovec* iov, int count, uint32_t memory, uint32_t length) {
  for (int i = 0; i < count; ++i) {
    if (reinterpret_cast<uintptr_t>(iov[i].iov_base) % memory || iov[i].iov_len % length) return false;
  }
  return true;
}

void copy_from_iov(void* to, const iovec* iov, int count, uint64_t position, uint64_t bytes) {
  auto* target = static_cast<std::byte*>(to);
  walk(iov, count, position, bytes, [&target](std::byte* address, uint64_t n) {
    std::memcpy(target, address, n);
    target += n;
    return true;
  });
}

void copy_to_iov(const iovec* iov, int count, uint64_t position, const void* from, uint64_t bytes) {
  auto* source = static_cast<const std::byte*>(from);
  walk(iov, count, position, bytes, [&source](std::byte* address, uint64_t n) {
    std::memcpy(address, source, n);
    source += n;
    return true;
  });
}

void zero_iov(const iovec* iov, int count, uint64_t position, uint64_t bytes) {
  walk(iov, count, position, bytes, [](std::byte* address, uint64_t n) {
    std::memset(address, 0, n);
    return true;
  });
}

int slice_iov(const iovec* iov, int count, uint64_t position, uint64_t bytes, iovec* out, int max) {
  int used = 0;
  walk(iov, count, position, bytes, [&used, out, max](std::byte* address, uint64_t n) {
    if (used == max) return false;
    out[used++] = {address, n};
    return true;
  });
  return used;
}

int count_slices(const iovec* iov, int count, uint64_t position, uint64_t bytes) {
  int used = 0;
  walk(iov, count, position, bytes, [&used](std::byte*, uint64_t) { return ++used, true; });
  return used;
}

}  // namespace cbd::block
