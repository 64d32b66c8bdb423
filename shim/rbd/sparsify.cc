// The C functions that give the space of zeroes back. Where zeroes are is found out beside all I/O; then, a few of them at a
// time, it is looked at once more and given back while nobody can write: by the daemon where any client may write to the head
// (they hold still for it), or by this handle as the head's owner.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "rbd/data_copy.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

using block::Extent;
using block::Op;

// How far ahead it is asked what is data; slices divide it.
constexpr uint64_t kWindow = uint64_t{1} << 30;
// What is looked at in one request.
constexpr uint64_t kSlice = uint64_t{4} << 20;
// How much is given back at a time, while others wait.
constexpr uint64_t kMostBytes = uint64_t{64} << 20;
constexpr size_t kMostRanges = 1024;

struct Range {
  uint64_t offset, length;
};

// Whether any of [offset, end) is data; `extents` are in order.
bool has_data(const std::vector<Extent>& extents, uint64_t offset, uint64_t end) {
  auto first = std::partition_point(extents.begin(), extents.end(),
                                    [&](const Extent& extent) { return extent.offset + extent.length <= offset; });
  return std::any_of(first, extents.end(), [&](const Extent& extent) { return extent.kind == Extent::Kind::data && extent.offset < end; });
}

void fill(IoRequest& request, iovec& vector, Op op, Range range, char* buffer) {
  vector = {buffer, range.length};
  request.op = op;
  request.offset = range.offset;
  request.length = range.length;
  if (op != Op::read) return;
  request.iov = &vector;
  request.iovcnt = 1;
}

class Sparsifier {
 public:
  // `grain`: what is not zero as a whole piece of this size stays.
  Sparsifier(Image& image, uint64_t grain)
      : image_(image),
        grain_(grain),
        slice_(std::max(grain, std::min<uint64_t>(uint64_t{1} << image.state()->order, kSlice))),
        buffer_(std::make_unique<char[]>(slice_)) {}

  // Returns 0 or -errno.
  int run(const std::function<int(uint64_t, uint64_t)>& report);

 private:
  enum class By { daemon, owner };

  int find_zeroes(Range slice);
  int flush();
  int ask_daemon();
  int give_back_as_owner();
  int give_back_behind_gate(Range range);

  Image& image_;
  const uint64_t grain_, slice_;
  const std::unique_ptr<char[]> buffer_;
  By by_ = By::daemon;
  std::vector<Range> found_;  // zeroes when they were looked at
  uint64_t found_bytes_ = 0;
};

int Sparsifier::run(const std::function<int(uint64_t, uint64_t)>& report) {
  // Nothing yet: but whether it may be done, and who does it.
  if (int error = ask_daemon()) return error;
  const uint64_t size = image_.io().size();
  std::vector<Extent> extents;
  for (uint64_t at = 0, known = 0; at < size; at += slice_) {
    if (report && report(at, size) < 0) return -ECANCELED;
    if (at == known) {
      known = std::min(size, at + kWindow);
      extents.clear();
      if (int error = image_.io().extents(at, known - at, extents)) return error;
    }
    const uint64_t end = std::min(at + slice_, size);
    if (!has_data(extents, at, end)) continue;
    if (int error = find_zeroes({at, end - at})) return error;
  }
  return flush();
}

int Sparsifier::find_zeroes(Range slice) {
  IoRequest request;
  iovec vector;
  fill(request, vector, Op::read, slice, buffer_.get());
  if (int error = image_.io().run(request)) {
    // The image became smaller meanwhile.
    return slice.offset + slice.length > image_.io().size() ? 0 : error;
  }
  for (uint64_t at = 0; at < slice.length; at += grain_) {
    const uint64_t length = std::min(grain_, slice.length - at), offset = slice.offset + at;
    if (!is_zero(buffer_.get() + at, length)) continue;
    if (!found_.empty() && found_.back().offset + found_.back().length == offset) {
      found_.back().length += length;
    } else {
      found_.push_back({offset, length});
    }
    found_bytes_ += length;
    if (found_bytes_ < kMostBytes && found_.size() < kMostRanges) continue;
    if (int error = flush()) return error;
  }
  return 0;
}

// Gives back what was found.
int Sparsifier::flush() {
  while (!found_.empty()) {
    const int error = by_ == By::owner ? give_back_as_owner() : ask_daemon();
    // The head became another one meanwhile: one that all may write to, or one that somebody owns.
    if (error == -EAGAIN) by_ = By::daemon;
    if (error != 0 && error != -EAGAIN) return error;
    if (error != 0 || by_ == By::owner) continue;
    found_.clear();
  }
  found_bytes_ = 0;
  return 0;
}

int Sparsifier::ask_daemon() {
  Json ranges = Json::array();
  for (const Range& range : found_) {
    ranges.push_back(range.offset);
    ranges.push_back(range.length);
  }
  Reply reply = image_.call("image.sparsify", {{"ranges", std::move(ranges)}, {"grain", grain_}});
  if (reply.error != 0) return reply.error;
  by_ = reply.result->at("by") == "daemon" ? By::daemon : By::owner;
  return 0;
}

// What was done is taken away from the found, the last first.
int Sparsifier::give_back_as_owner() {
  return image_.run_as_owner([this] {
    for (uint64_t done = 0; !found_.empty() && done < kSlice;) {
      Range& last = found_.back();
      const uint64_t length = (last.length - 1) % slice_ + 1;
      if (int error = give_back_behind_gate({last.offset + last.length - length, length})) return error;
      done += length;
      last.length -= length;
      if (last.length == 0) found_.pop_back();
    }
    return 0;
  });
}

int Sparsifier::give_back_behind_gate(Range range) {
  const uint64_t size = image_.io().size();
  if (range.offset >= size) return 0;
  range.length = std::min(range.length, size - range.offset);
  IoRequest look;
  iovec vector;
  fill(look, vector, Op::read, range, buffer_.get());
  if (int error = image_.io().run_behind_gate(look)) return error;
  for (uint64_t at = 0; at < range.length; at += grain_) {
    const uint64_t length = std::min(grain_, range.length - at);
    if (!is_zero(buffer_.get() + at, length)) continue;
    IoRequest zero;
    fill(zero, vector, Op::zero, {range.offset + at, length}, nullptr);
    if (int error = image_.io().run_behind_gate(zero)) return error;
  }
  return 0;
}

int sparsify(Image& image, size_t sparse_size, const std::function<int(uint64_t, uint64_t)>& report) {
  const uint64_t object = uint64_t{1} << image.state()->order;
  if (sparse_size < 4096 || sparse_size > object || !std::has_single_bit(sparse_size)) return -EINVAL;
  if (image.is_read_only()) return -EROFS;
  image.take_free_lock();
  return Sparsifier(image, sparse_size).run(report);
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_sparsify(rbd_image_t image, size_t sparse_size) {
  return rbd_sparsify_with_progress(image, sparse_size, nullptr, nullptr);
}

// -EINVAL for a size that is no power of two between 4 KiB and an object; -EROFS, also while an advisory lock is on an image
// with the exclusive-lock feature; -EOPNOTSUPP for an image without snapshots or parent on a backend that gives back no part of
// its volume (curvebs); -ETIMEDOUT where another client that may write does not hold still.
int rbd_sparsify_with_progress(rbd_image_t image, size_t sparse_size, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    return image == nullptr ? -EINVAL : sparsify(*Image::from(image), sparse_size, progress(cb, cbdata));
  });
}

}  // extern "C"
