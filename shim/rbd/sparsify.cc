// The C functions that give the space of zeroes back.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <nlohmann/json.hpp>

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

int run_behind_gate(ImageIo& io, Op op, uint64_t offset, uint64_t length, char* buffer) {
  IoRequest request;
  iovec vector = {buffer, length};
  request.op = op;
  request.offset = offset;
  request.length = length;
  if (op == Op::read) {
    request.iov = &vector;
    request.iovcnt = 1;
  }
  return io.run_behind_gate(request);
}

// Gives back the whole pieces of `size` bytes in [offset, end) that hold nothing but zeroes. This handle's own requests
// wait meanwhile, or a write could come between the look and the giving back.
int sparsify_slice(ImageIo& io, uint64_t offset, uint64_t end, uint64_t size, char* buffer) {
  io.close_gate();
  int error = run_behind_gate(io, Op::read, offset, end - offset, buffer);
  for (uint64_t at = offset; at < end && error == 0; at += size) {
    const uint64_t length = std::min(size, end - at);
    if (is_zero(buffer + (at - offset), length)) error = run_behind_gate(io, Op::zero, at, length, nullptr);
  }
  io.open_gate();
  return error;
}

// Whether any of [offset, end) is data; `extents` are in order.
bool has_data(const std::vector<Extent>& extents, uint64_t offset, uint64_t end) {
  auto first = std::partition_point(extents.begin(), extents.end(),
                                    [&](const Extent& extent) { return extent.offset + extent.length <= offset; });
  return std::any_of(first, extents.end(), [&](const Extent& extent) { return extent.kind == Extent::Kind::data && extent.offset < end; });
}

// Another process that writes could do so between the look and the giving back.
int check_alone(Image& image) {
  Reply reply = image.call("image.watchers", Json::object());
  if (reply.error != 0) return reply.error;
  return reply.result->at("watchers").size() > 1 ? -EBUSY : 0;
}

int sparsify(Image& image, size_t sparse_size, const std::function<int(uint64_t, uint64_t)>& report) {
  const uint64_t object = uint64_t{1} << image.state()->order;
  if (sparse_size < 4096 || sparse_size > object || !std::has_single_bit(sparse_size)) return -EINVAL;
  if (image.write_error() != 0) return image.write_error();
  if (int error = check_alone(image)) return error;
  const uint64_t slice = std::max<uint64_t>(sparse_size, std::min<uint64_t>(object, 4 * 1024 * 1024));
  const auto buffer = std::make_unique<char[]>(slice);
  const uint64_t size = image.io().size();
  image.note_write();
  std::vector<Extent> extents;
  for (uint64_t at = 0, known = 0; at < size; at += slice) {
    if (report && report(at, size) < 0) return -ECANCELED;
    if (at == known) {
      // Asked before requests are held back, for it may be the daemon that is asked: what becomes data meanwhile is merely passed over.
      known = std::min(size, at + kWindow);
      extents.clear();
      if (int error = image.io().extents(at, known - at, extents)) return error;
    }
    const uint64_t end = std::min(at + slice, size);
    if (!has_data(extents, at, end)) continue;
    if (int error = sparsify_slice(image.io(), at, end, sparse_size, buffer.get())) return error;
  }
  return 0;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_sparsify(rbd_image_t image, size_t sparse_size) {
  return rbd_sparsify_with_progress(image, sparse_size, nullptr, nullptr);
}

// -EINVAL for a size that is no power of two between 4 KiB and an object; -EROFS; -EBUSY (ours alone) while another
// client has the image open for writing.
int rbd_sparsify_with_progress(rbd_image_t image, size_t sparse_size, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    return image == nullptr ? -EINVAL : sparsify(*Image::from(image), sparse_size, progress(cb, cbdata));
  });
}

}  // extern "C"
