// Copying by maps, a MiB at a time.
#include "block/layer_tools.h"

#include <errno.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "block/align.h"
#include "block/blocking.h"
#include "block/chain.h"

namespace cbd::block {

using layer::block_bytes;
using layer::Entry;

namespace {

constexpr uint64_t step_bytes = 1 << 20;
constexpr uint64_t zero_grain = 64 * 1024;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<std::byte[], Free>;

Buffer make_buffer() {
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, step_bytes) != 0) return nullptr;
  return Buffer(static_cast<std::byte*>(memory));
}

uint64_t round_up(uint64_t bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

bool is_zero(const std::byte* bytes, uint64_t length) {
  return bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, length - 1) == 0;
}

// Writes what is not zero.
int write_nonzero(Device& target, uint64_t offset, const std::byte* bytes, uint64_t length) {
  for (uint64_t at = 0; at < length; at += zero_grain) {
    const uint64_t n = std::min(zero_grain, length - at);
    if (is_zero(bytes + at, n)) continue;
    if (int rc = write_blocking(target, offset + at, bytes + at, n)) return rc;
  }
  return 0;
}

int tell(const ToolProgress& progress, uint64_t done, uint64_t total) {
  return progress && progress(done, total) < 0 ? -ECANCELED : 0;
}

// What the lower layer has behind `visible` must not show when more of it counts.
int cut(Layer& lower, uint64_t visible, uint64_t length) {
  if (visible >= length) return 0;
  if (!lower.is_cow) {
    const uint64_t end = std::min(length, lower.volume->size());
    if (visible >= end) return 0;
    Align any(*lower.volume, end);
    return zero_range(any, visible, end - visible);
  }
  const uint64_t whole = round_up(visible);
  if (visible != whole) {
    uint64_t run;
    const Entry entry = lower.map.run(visible / block_bytes, 1, run);
    if (entry == Entry::data) {
      Align any(*lower.volume, lower.volume->size());
      if (int rc = zero_range(any, lower.place(visible), whole - visible)) return rc;
    }
  }
  // Absent blocks of a layer whose own parents are longer than it stay absent: these are cut by their own
  // sizes.
  if (whole < round_up(length))
    lower.map.set(whole / block_bytes, (round_up(length) - whole) / block_bytes, Entry::zero);
  return 0;
}

// One stretch that the upper layer owns.
int merge_run(Layer& upper, Layer& lower, uint64_t offset, uint64_t bytes, uint64_t length, Entry entry,
              std::byte* buffer) {
  const uint64_t block = offset / block_bytes;
  if (entry == Entry::zero) {
    if (lower.is_cow) {
      lower.map.set(block, bytes / block_bytes, Entry::zero);
      return 0;
    }
    const uint64_t end = std::min(offset + bytes, length);
    Align any(*lower.volume, std::max(end, std::min(length, lower.volume->size())));
    return zero_range(any, offset, end - offset);
  }
  for (uint64_t at = 0; at < bytes; at += step_bytes) {
    const uint64_t n = std::min(step_bytes, bytes - at);
    if (int rc = read_blocking(*upper.volume, upper.place(offset + at), buffer, n)) return rc;
    uint64_t counted = n;
    if (offset + at + n > length) {
      // The last block counts in part; a plain file has no more room than that.
      counted = length - (offset + at);
      std::memset(buffer + counted, 0, n - counted);
      const uint64_t grain = lower.is_cow ? block_bytes : lower.volume->block_size();
      counted = (counted + grain - 1) / grain * grain;
    }
    if (int rc = write_blocking(*lower.volume, lower.place(offset + at), buffer, counted)) return rc;
  }
  if (lower.is_cow && !lower.map.is_all(block, bytes / block_bytes, Entry::data)) {
    lower.map.set(block, bytes / block_bytes, Entry::data);
  }
  return 0;
}

}  // namespace

int zero_range(Device& volume, uint64_t offset, uint64_t length) {
  Buffer buffer = make_buffer();
  if (!buffer) return -ENOMEM;
  // Where the volume knows what it holds, only that needs a look.
  std::vector<Extent> extents;
  if (int rc = volume.extents(offset, length, extents)) return rc;
  for (const Extent& extent : extents) {
    if (extent.kind != Extent::Kind::data) continue;
    for (uint64_t at = extent.offset, end = at + extent.length; at < end;) {
      const uint64_t n = std::min(step_bytes, end - at);
      if (int rc = read_blocking(volume, at, buffer.get(), n)) return rc;
      if (!is_zero(buffer.get(), n)) {
        if (int rc = plain_blocking(volume, Op::zero, at, n)) return rc;
      }
      at += n;
    }
  }
  return 0;
}

int flatten_layers(const std::vector<LayerSpec>& layers, uint64_t length, Device& target,
                   const ToolProgress& progress) {
  Chain chain([](bool) {});
  std::vector<LayerSpec> frozen = layers;
  for (LayerSpec& spec : frozen) spec.is_frozen = true;
  if (int rc = chain.set_layers(std::move(frozen), length, Chain::Leave::read)) return rc;
  Buffer buffer = make_buffer();
  if (!buffer) return -ENOMEM;
  constexpr uint64_t window = 1ull << 30;
  const uint64_t end = round_up(length);
  std::vector<Extent> extents;
  for (uint64_t begin = 0; begin < end; begin += window) {
    extents.clear();
    if (int rc = chain.extents(begin, std::min(window, end - begin), extents)) return rc;
    for (const Extent& extent : extents) {
      if (extent.kind != Extent::Kind::data) continue;
      for (uint64_t at = extent.offset, stop = at + extent.length; at < stop;) {
        if (int rc = tell(progress, std::min(at, length), length)) return rc;
        const uint64_t n = std::min(step_bytes, stop - at);
        if (int rc = read_blocking(chain, at, buffer.get(), n)) return rc;
        const uint64_t grain = target.block_size();
        const uint64_t counted = std::min(n, (length - at + grain - 1) / grain * grain);
        if (int rc = write_nonzero(target, at, buffer.get(), counted)) return rc;
        at += n;
      }
    }
  }
  if (int rc = plain_blocking(target, Op::flush)) return rc;
  return tell(progress, length, length);
}

int merge_layer(Layer& upper, Layer& lower, uint64_t visible, uint64_t length, const ToolProgress& progress) {
  if (!upper.is_cow || length > layer::most_bytes) return -EINVAL;
  Buffer buffer = make_buffer();
  if (!buffer) return -ENOMEM;
  const uint64_t end = round_up(length);
  if (int rc = lower.load(0, end)) return rc;
  if (int rc = cut(lower, visible, length)) return rc;
  uint64_t since_flush = 0;
  for (uint64_t at = 0; at < end;) {
    if (int rc = upper.load(at, block_bytes)) return rc;
    uint64_t blocks;
    const uint64_t limit = std::min(end - at, 64 * step_bytes) / block_bytes;
    const Entry entry = upper.map.run(at / block_bytes, limit, blocks);
    if (entry != Entry::absent) {
      if (int rc = tell(progress, std::min(at, length), length)) return rc;
      if (int rc = merge_run(upper, lower, at, blocks * block_bytes, length, entry, buffer.get())) return rc;
      since_flush += entry == Entry::data ? blocks * block_bytes : 0;
    }
    at += blocks * block_bytes;
    if (since_flush >= 256 * step_bytes && lower.is_cow) {
      if (int rc = lower.write_back()) return rc;
      since_flush = 0;
    }
  }
  const int rc = lower.is_cow ? lower.write_back() : plain_blocking(*lower.volume, Op::flush);
  return rc ? rc : tell(progress, length, length);
}

int measure_layer(Layer& cow, uint64_t length, uint64_t& data_bytes) {
  if (!cow.is_cow) return -EINVAL;
  if (int rc = cow.load(0, length)) return rc;
  data_bytes = cow.map.count_data() * block_bytes;
  return 0;
}

}  // namespace cbd::block
