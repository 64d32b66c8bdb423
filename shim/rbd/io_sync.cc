// The C functions that move data and return when it is done.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

#include "rbd/data_requests.h"
#include "rbd/guard.h"

namespace cbd::rbd {

namespace {

// Carries out what `prepare(image, transfer)` made ready. Returns the client's result.
template <class Prepare>
ssize_t run(rbd_image_t handle, Prepare&& prepare) {
  return guarded([&]() -> ssize_t {
    if (handle == nullptr) return -EINVAL;
    Image& image = *Image::from(handle);
    Transfer transfer;
    Verdict verdict = prepare(image, transfer);
    if (!verdict.is_ready) return verdict.result;
    return transfer.finish(image.io().run(transfer.request));
  });
}

using IterateCallback = int (*)(uint64_t, size_t, const char*, void*);

// Reads [offset, offset + length) object by object and shows each to the client, by its offset in what was asked for.
// Returns the bytes read, -errno, or what the callback returned where that is negative.
int64_t iterate(rbd_image_t handle, uint64_t offset, uint64_t length, IterateCallback callback, void* arg) {
  return guarded([&]() -> int64_t {
    if (handle == nullptr || callback == nullptr) return -EINVAL;
    Image& image = *Image::from(handle);
    if (int error = clip(image, offset, length)) return error;
    const uint64_t object = uint64_t{1} << image.state()->order;
    const auto buffer = std::make_unique<char[]>(std::min(object, length));
    for (uint64_t at = offset; at < offset + length;) {
      const uint64_t part = std::min(offset + length, (at / object + 1) * object) - at;
      ssize_t got = run(handle, [&](Image& i, Transfer& t) { return prepare_read(i, t, at, part, buffer.get()); });
      if (got < 0) return got;
      int result = callback(at - offset, static_cast<size_t>(got), buffer.get(), arg);
      if (result < 0) return result;
      at += part;
    }
    return static_cast<int64_t>(length);
  });
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Bytes read, fewer than asked for only at the image's end; -EINVAL at or past it.
ssize_t rbd_read(rbd_image_t image, uint64_t ofs, size_t len, char* buf) {
  return run(image, [&](Image& i, Transfer& t) { return prepare_read(i, t, ofs, len, buf); });
}

// The flags are hints; none changes what is read.
ssize_t rbd_read2(rbd_image_t image, uint64_t ofs, size_t len, char* buf, int) { return rbd_read(image, ofs, len, buf); }

int64_t rbd_read_iterate(rbd_image_t image, uint64_t ofs, size_t len, IterateCallback cb, void* arg) {
  return iterate(image, ofs, len, cb, arg);
}

int rbd_read_iterate2(rbd_image_t image, uint64_t ofs, uint64_t len, IterateCallback cb, void* arg) {
  return static_cast<int>(std::min<int64_t>(iterate(image, ofs, len, cb, arg), 0));
}

// Bytes written, fewer than given only at the image's end; -EROFS where the handle cannot write.
ssize_t rbd_write(rbd_image_t image, uint64_t ofs, size_t len, const char* buf) {
  return run(image, [&](Image& i, Transfer& t) { return prepare_write(i, t, ofs, len, buf); });
}

ssize_t rbd_write2(rbd_image_t image, uint64_t ofs, size_t len, const char* buf, int) {
  return rbd_write(image, ofs, len, buf);
}

// Bytes of the range (not of what was given back); -EINVAL over 2 GiB.
int rbd_discard(rbd_image_t image, uint64_t ofs, uint64_t len) {
  if (len > INT_MAX) return -EINVAL;
  return static_cast<int>(run(image, [&](Image& i, Transfer& t) { return prepare_discard(i, t, ofs, len); }));
}

ssize_t rbd_write_zeroes(rbd_image_t image, uint64_t ofs, size_t len, int zero_flags, int) {
  return run(image, [&](Image& i, Transfer& t) { return prepare_write_zeroes(i, t, ofs, len, zero_flags); });
}

// -EINVAL where `len` is not a multiple of `data_len`, or over 2 GiB.
ssize_t rbd_writesame(rbd_image_t image, uint64_t ofs, size_t len, const char* buf, size_t data_len, int) {
  if (!is_valid_writesame(len, data_len)) return -EINVAL;
  return run(image, [&](Image& i, Transfer& t) { return prepare_writesame(i, t, ofs, len, buf, data_len); });
}

// -EILSEQ where the bytes differ, with the first difference's offset, from `ofs`, in *mismatch_off.
ssize_t rbd_compare_and_write(rbd_image_t image, uint64_t ofs, size_t len, const char* cmp_buf, const char* buf,
                              uint64_t* mismatch_off, int) {
  const iovec compare = {const_cast<char*>(cmp_buf), len};
  const iovec data = {const_cast<char*>(buf), len};
  return run(image, [&](Image& i, Transfer& t) {
    return prepare_compare_and_write(i, t, ofs, &compare, 1, &data, 1, mismatch_off);
  });
}

int rbd_flush(rbd_image_t image) {
  return static_cast<int>(run(image, [](Image& i, Transfer& t) { return prepare_flush(i, t); }));
}

// There is no cache of the library's own; the kernel's is coherent.
int rbd_invalidate_cache(rbd_image_t image) { return image == nullptr ? -EINVAL : 0; }

}  // extern "C"
