// The C functions that start an I/O and report its end through a completion.
#include <cerrno>

#include "rbd/data_requests.h"
#include "rbd/guard.h"

namespace cbd::rbd {

namespace {

// The device is done, on whatever thread: the callback has its turn on the image's own.
void on_done(block::Request* request, int error) {
  auto& completion = *static_cast<Completion*>(request->context);
  // The client may keep his completion longer than the image, which the memory goes back to.
  completion.transfer.data.reset();
  completion.image->end(completion, completion.transfer.finish(error));
}

// How a completion's result is told from a request's: librbd gives the bytes of reads only.
enum class Gives { bytes, zero };

// Starts what `prepare(image, transfer)` makes ready. Returns 0, and all errors through the completion; -ENOMEM or
// -EINVAL, and then nothing through it, where it could not be started.
template <class Prepare>
int submit(rbd_image_t handle, rbd_completion_t c, Gives gives, Prepare&& prepare) {
  if (handle == nullptr || c == nullptr) return -EINVAL;
  Image& image = *Image::from(handle);
  Completion& completion = *Completion::from(c);
  Verdict verdict;
  int error = guarded([&] {
    verdict = prepare(image, completion.transfer);
    if (verdict.is_ready && image.copies_writes()) copy_data_in(image.buffers(), completion.transfer);
    return 0;
  });
  if (error != 0) return error;
  if (gives == Gives::zero) {
    completion.transfer.result = 0;
    if (verdict.result > 0) verdict.result = 0;
  }
  completion.image = &image;
  image.begin(completion);
  if (!verdict.is_ready) {
    image.end(completion, verdict.result);
    return 0;
  }
  completion.transfer.request.raises_listened = completion.wants_event();
  completion.transfer.request.context = &completion;
  completion.transfer.request.done = on_done;
  image.io().submit(completion.transfer.request);
  return 0;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_aio_read(rbd_image_t image, uint64_t off, size_t len, char* buf, rbd_completion_t c) {
  return submit(image, c, Gives::bytes, [&](Image& i, Transfer& t) { return prepare_read(i, t, off, len, buf); });
}

int rbd_aio_read2(rbd_image_t image, uint64_t off, size_t len, char* buf, rbd_completion_t c, int) {
  return rbd_aio_read(image, off, len, buf, c);
}

// -EINVAL for a list without entries.
int rbd_aio_readv(rbd_image_t image, const struct iovec* iov, int iovcnt, uint64_t off, rbd_completion_t c) {
  if (iov == nullptr || iovcnt <= 0) return -EINVAL;
  return submit(image, c, Gives::bytes, [&](Image& i, Transfer& t) { return prepare_readv(i, t, off, iov, iovcnt); });
}

int rbd_aio_write(rbd_image_t image, uint64_t off, size_t len, const char* buf, rbd_completion_t c) {
  return submit(image, c, Gives::zero, [&](Image& i, Transfer& t) { return prepare_write(i, t, off, len, buf); });
}

int rbd_aio_write2(rbd_image_t image, uint64_t off, size_t len, const char* buf, rbd_completion_t c, int) {
  return rbd_aio_write(image, off, len, buf, c);
}

int rbd_aio_writev(rbd_image_t image, const struct iovec* iov, int iovcnt, uint64_t off, rbd_completion_t c) {
  if (iov == nullptr || iovcnt <= 0) return -EINVAL;
  return submit(image, c, Gives::zero, [&](Image& i, Transfer& t) { return prepare_writev(i, t, off, iov, iovcnt); });
}

int rbd_aio_discard(rbd_image_t image, uint64_t off, uint64_t len, rbd_completion_t c) {
  return submit(image, c, Gives::zero, [&](Image& i, Transfer& t) { return prepare_discard(i, t, off, len); });
}

int rbd_aio_write_zeroes(rbd_image_t image, uint64_t off, size_t len, rbd_completion_t c, int zero_flags, int) {
  return submit(image, c, Gives::zero,
                [&](Image& i, Transfer& t) { return prepare_write_zeroes(i, t, off, len, zero_flags); });
}

// `buf` may be changed as soon as this returns. -EINVAL as rbd_writesame.
int rbd_aio_writesame(rbd_image_t image, uint64_t off, size_t len, const char* buf, size_t data_len, rbd_completion_t c,
                      int) {
  if (!is_valid_writesame(len, data_len)) return -EINVAL;
  return submit(image, c, Gives::zero,
                [&](Image& i, Transfer& t) { return prepare_writesame(i, t, off, len, buf, data_len); });
}

ssize_t rbd_aio_compare_and_write(rbd_image_t image, uint64_t off, size_t len, const char* cmp_buf, const char* buf,
                                  rbd_completion_t c, uint64_t* mismatch_off, int op_flags) {
  const iovec compare = {const_cast<char*>(cmp_buf), len};
  const iovec data = {const_cast<char*>(buf), len};
  return rbd_aio_compare_and_writev(image, off, &compare, 1, &data, 1, c, mismatch_off, op_flags);
}

ssize_t rbd_aio_compare_and_writev(rbd_image_t image, uint64_t off, const struct iovec* cmp_iov, int cmp_iovcnt,
                                   const struct iovec* iov, int iovcnt, rbd_completion_t c, uint64_t* mismatch_off,
                                   int) {
  if (cmp_iov == nullptr || cmp_iovcnt <= 0 || iov == nullptr || iovcnt <= 0) return -EINVAL;
  return submit(image, c, Gives::zero, [&](Image& i, Transfer& t) {
    return prepare_compare_and_write(i, t, off, cmp_iov, cmp_iovcnt, iov, iovcnt, mismatch_off);
  });
}

int rbd_aio_flush(rbd_image_t image, rbd_completion_t c) {
  return submit(image, c, Gives::zero, [](Image& i, Transfer& t) { return prepare_flush(i, t); });
}

}  // extern "C"
