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
  int error = 0;
  std::vector<Extent> extents;
  error = io.extents(offset, end - offset, extents);
  const bool has_data = std::any_of(extents.begin(), extents.end(),
                                    [](const Extent& extent) { return extent.kind == Extent::Kind::data; });
  if (error == 0 && has_data) error = run_behind_gate(io, Op::read, offset, end - offset, buffer);
  for (uint64_t at = offset; has_data && at < end && error == 0; at += size) {
    const uint64_t length = std::min(size, end - at);
    if (is_zero(buffer + (at - offset), length)) error = run_behind_gate(io, Op::zero, at, length, nullptr);
  }
  io.open_gate();
  return error;
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
  for (uint64_t at = 0; at < size; at += slice) {
    if (report && report(at, size) < 0) return -ECANCELED;
    if (int error = sparsify_slice(image.io(), at, std::min(at + slice, size), sparse_size, buffer.get())) return error;
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
