#include "move/content.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "data/extents.h"
#include "data/flow.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr uint64_t saved_every = uint64_t{32} << 20;  // bytes: what a killed run copies again at most
constexpr int depth = 8;

class Copier {
 public:
  Copier(const Image& view, bool is_empty, const Image& target, const Seen& saved, const Seen& moving)
      : view_(view), is_empty_(is_empty), target_(target), flow_(target.handle(), depth), buffers_(piece_bytes), saved_(saved), moving_(moving) {}

  int range(const Extent& extent) {
    if (extent.exists) {
      return read_in_order(view_.handle(), extent.offset, extent.length, piece_bytes,
                           [&](uint64_t offset, const char* data, size_t length) { return piece(offset, data, length); });
    }
    if (is_interrupted()) return -EINTR;
    const int result = is_empty_ ? 0 : flow_.zero(extent.offset, extent.length);
    return result < 0 ? result : passed(extent.offset + extent.length, 0);
  }

  int finish() {
    const int result = flow_.drain();
    return result < 0 ? result : rbd_flush(target_.handle());
  }

 private:
  int piece(uint64_t offset, const char* data, size_t length) {
    int result = 0;
    if (!is_zero(data, length)) {
      Buffers::Buffer own = buffers_.take();
      memcpy(own.get(), data, length);
      result = flow_.write(offset, std::move(own), 0, length);
    } else if (!is_empty_) {
      result = flow_.zero(offset, length);
    }
    return result < 0 ? result : passed(offset + length, length);
  }

  int passed(uint64_t end, uint64_t bytes) {
    moving_(end);
    unsaved_ += bytes;
    if (unsaved_ < saved_every) return 0;
    if (const int result = finish(); result < 0) return result;
    unsaved_ = 0;
    saved_(end);
    return 0;
  }

  const Image& view_;
  const bool is_empty_;  // the target is all zeroes wherever nothing was copied to
  const Image& target_;
  WriteFlow flow_;
  const Buffers buffers_;
  const Seen& saved_;
  const Seen& moving_;
  uint64_t unsaved_ = 0;
};

// What holds data in either, joined and in order.
int list_data(const Image& view, const Image& copy, std::vector<Extent>& out) {
  std::vector<Extent> all;
  int result = list_extents(view, "", true, all);
  if (result >= 0) result = list_extents(copy, "", true, all);
  if (result < 0) return result;
  std::sort(all.begin(), all.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  for (const Extent& extent : all) {
    if (!extent.exists) continue;
    const uint64_t end = extent.offset + extent.length;
    if (!out.empty() && extent.offset <= out.back().offset + out.back().length) {
      out.back().length = std::max(out.back().offset + out.back().length, end) - out.back().offset;
    } else {
      out.push_back(extent);
    }
  }
  return 0;
}

}  // namespace

// Ceph's own librbd calls the progress function without asking whether there is one.
int resize_to(const Image& image, uint64_t size) {
  const auto ignored = [](uint64_t, uint64_t, void*) { return 0; };
  return rbd_resize2(image.handle(), size, true, ignored, nullptr);
}

int copy_view(const Image& view, const Piece& piece, const Image& target, const Seen& saved, const Seen& moving) {
  const uint64_t size = view.size();
  if (target.size() != size) {
    if (const int result = resize_to(target, size); result < 0) return result;
  }
  std::vector<Extent> extents;
  if (const int result = list_extents(view, piece.base, true, extents); result < 0) return result;
  Copier copier(view, piece.is_empty, target, saved, moving);
  for (Extent extent : extents) {
    const uint64_t end = std::min(extent.offset + extent.length, size);
    extent.offset = std::max(extent.offset, piece.begin);
    if (extent.offset >= end) continue;
    extent.length = end - extent.offset;
    if (const int result = copier.range(extent); result < 0) return result;
  }
  return copier.finish();
}

int compare_views(const Image& view, const Image& copy, const std::function<int(uint64_t, const char*, size_t)>& differs, const Seen& moving) {
  std::vector<Extent> extents;
  if (const int result = list_data(view, copy, extents); result < 0) return result;
  const auto other = std::make_unique<char[]>(piece_bytes);
  const uint64_t size = view.size();
  for (const Extent& extent : extents) {
    if (extent.offset >= size) break;
    const uint64_t length = std::min(extent.length, size - extent.offset);
    const int result = read_in_order(view.handle(), extent.offset, length, piece_bytes, [&](uint64_t offset, const char* data, size_t count) {
      const ssize_t got = rbd_read(copy.handle(), offset, count, other.get());
      if (got < 0) return static_cast<int>(got);
      moving(offset + count);
      const bool is_same = static_cast<size_t>(got) == count && memcmp(data, other.get(), count) == 0;
      return is_same ? 0 : differs(offset, data, count);
    });
    if (result < 0) return result;
  }
  return 0;
}

}  // namespace cbd::hooks
