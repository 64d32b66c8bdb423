// See data_requests.h.
#include "rbd/data_requests.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "rbd/data_copy.h"

namespace cbd::rbd {

namespace {

using block::Op;

// A repeated pattern is laid out once in about this many bytes, and the request's vector points at it many times.
constexpr uint64_t kPatternBytes = 64 * 1024;

void set_range(Transfer& transfer, Op op, uint64_t offset, uint64_t length) {
  transfer.request.op = op;
  transfer.request.offset = offset;
  transfer.request.length = length;
}

void use_buffer(Transfer& transfer, const char* buffer, uint64_t length) {
  transfer.vector[0] = {const_cast<char*>(buffer), length};
  transfer.request.iov = transfer.vector;
  transfer.request.iovcnt = 1;
}

// Copies as much of the list as `length` bytes need: the client's may be gone before the request is done.
int copy_vector(iovec* to, const iovec* from, int count, uint64_t length) {
  int used = 0;
  for (int i = 0; i < count && length > 0; i++) {
    const uint64_t part = std::min<uint64_t>(from[i].iov_len, length);
    if (part == 0) continue;
    to[used++] = {from[i].iov_base, part};
    length -= part;
  }
  return used;
}

void use_vector(Transfer& transfer, const iovec* vector, int count, uint64_t length) {
  if (count == 1) {
    use_buffer(transfer, static_cast<const char*>(vector[0].iov_base), length);
    return;
  }
  transfer.vectors = std::make_unique<iovec[]>(static_cast<size_t>(count));
  transfer.request.iov = transfer.vectors.get();
  transfer.request.iovcnt = copy_vector(transfer.vectors.get(), vector, count, length);
}

// The bytes of a list, or false where it is none.
bool add_up(const iovec* vector, int count, uint64_t& length) {
  length = 0;
  if (vector == nullptr || count <= 0) return false;
  for (int i = 0; i < count; i++) {
    if (vector[i].iov_len > static_cast<uint64_t>(SSIZE_MAX) - length) return false;
    length += vector[i].iov_len;
  }
  return true;
}

// What comes first in every call that writes: the range, then whether the image can be written at all.
Verdict begin_write(Image& image, uint64_t offset, uint64_t& length) {
  int error = clip(image, offset, length);
  if (error == 0) error = image.write_error();
  if (error != 0) return Verdict::done(error);
  if (length == 0) {
    // The automatic lock comes with it all the same.
    image.note_lock();
    return Verdict::done(0);
  }
  image.note_write();
  return Verdict::ready();
}

// A vector over `length` bytes of the pattern, which starts at its beginning.
void use_pattern(BufferPool& pool, Transfer& transfer, const char* data, size_t data_length, uint64_t length) {
  const uint64_t copies = std::max<uint64_t>(1, kPatternBytes / data_length);
  const uint64_t bytes = std::min(copies * data_length, length);
  transfer.data = pool.take(bytes);
  for (uint64_t at = 0; at < bytes; at += data_length) {
    memcpy(transfer.data.get() + at, data, std::min<uint64_t>(data_length, bytes - at));
  }
  const uint64_t pieces = (length + bytes - 1) / bytes;
  transfer.vectors = std::make_unique<iovec[]>(pieces);
  for (uint64_t i = 0; i < pieces; i++) {
    transfer.vectors[i] = {transfer.data.get(), std::min(bytes, length - i * bytes)};
  }
  transfer.request.iov = transfer.vectors.get();
  transfer.request.iovcnt = static_cast<int>(pieces);
}

// Lays the bytes of a list out one after the other.
void gather(char* to, const iovec* from, int count) {
  for (int i = 0; i < count; i++) {
    memcpy(to, from[i].iov_base, from[i].iov_len);
    to += from[i].iov_len;
  }
}

}  // namespace

int clip(const Image& image, uint64_t offset, uint64_t& length) {
  if (int error = image.read_error()) return error;
  if (length == 0) return 0;
  const uint64_t size = const_cast<Image&>(image).io().size();
  if (offset >= size) return -EINVAL;
  length = std::min(length, size - offset);
  return 0;
}

Verdict prepare_read(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, char* buffer) {
  if (int error = clip(image, offset, length)) return Verdict::done(error);
  if (length == 0) return Verdict::done(0);
  if (buffer == nullptr) return Verdict::done(-EINVAL);
  image.note_read();
  set_range(transfer, Op::read, offset, length);
  use_buffer(transfer, buffer, length);
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

Verdict prepare_readv(Image& image, Transfer& transfer, uint64_t offset, const iovec* vector, int count) {
  uint64_t length;
  if (!add_up(vector, count, length)) return Verdict::done(-EINVAL);
  if (int error = clip(image, offset, length)) return Verdict::done(error);
  if (length == 0) return Verdict::done(0);
  image.note_read();
  set_range(transfer, Op::read, offset, length);
  use_vector(transfer, vector, count, length);
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

Verdict prepare_write(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, const char* buffer) {
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  if (buffer == nullptr) return Verdict::done(-EINVAL);
  set_range(transfer, Op::write, offset, length);
  use_buffer(transfer, buffer, length);
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

Verdict prepare_writev(Image& image, Transfer& transfer, uint64_t offset, const iovec* vector, int count) {
  uint64_t length;
  if (!add_up(vector, count, length)) return Verdict::done(-EINVAL);
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  set_range(transfer, Op::write, offset, length);
  use_vector(transfer, vector, count, length);
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

Verdict prepare_discard(Image& image, Transfer& transfer, uint64_t offset, uint64_t length) {
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  transfer.result = static_cast<ssize_t>(length);
  const uint64_t object = uint64_t{1} << image.state()->order;
  const uint64_t unit = std::min(image.discard_granularity(), object);
  uint64_t end = offset + length;
  if (unit > 1) {
    const uint64_t next = (offset + unit - 1) / unit * unit;
    // Where the granularity is the object, the object's tail goes too (librbd truncates it).
    if (unit != object || end < next) offset = next;
    // Also at the end of an image whose size is no multiple of it.
    end = end / unit * unit;
    if (offset >= end) return Verdict::done(transfer.result);
  }
  set_range(transfer, Op::discard, offset, end - offset);
  return Verdict::ready();
}

Verdict prepare_write_zeroes(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, int zero_flags) {
  if ((zero_flags & ~static_cast<int>(RBD_WRITE_ZEROES_FLAG_THICK_PROVISION)) != 0) return Verdict::done(-EINVAL);
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  set_range(transfer, Op::zero, offset, length);
  transfer.request.keep_allocated = (zero_flags & static_cast<int>(RBD_WRITE_ZEROES_FLAG_THICK_PROVISION)) != 0;
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

bool is_valid_writesame(uint64_t length, size_t data_length) {
  return data_length != 0 && length % data_length == 0 && length <= INT32_MAX;
}

Verdict prepare_writesame(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, const char* data,
                          size_t data_length) {
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  if (data == nullptr) return Verdict::done(-EINVAL);
  transfer.result = static_cast<ssize_t>(length);
  if (is_zero(data, data_length)) {
    set_range(transfer, Op::zero, offset, length);
    return Verdict::ready();
  }
  set_range(transfer, Op::write, offset, length);
  use_pattern(image.buffers(), transfer, data, data_length, length);
  return Verdict::ready();
}

Verdict prepare_compare_and_write(Image& image, Transfer& transfer, uint64_t offset, const iovec* compare,
                                  int compare_count, const iovec* vector, int count, uint64_t* mismatch) {
  uint64_t length, compare_length;
  if (!add_up(vector, count, length) || !add_up(compare, compare_count, compare_length)) return Verdict::done(-EINVAL);
  if (length != compare_length) return Verdict::done(-EINVAL);
  Verdict verdict = begin_write(image, offset, length);
  if (!verdict.is_ready) return verdict;
  // 16.2.15 takes no more than one sector of 512 bytes, later releases up to one stripe unit.
  const auto state = image.state();
  const uint64_t unit = std::min(state->stripe_unit, uint64_t{1} << state->order);
  if (offset / unit != (offset + length - 1) / unit) return Verdict::done(-EINVAL);
  set_range(transfer, Op::compare_and_write, offset, length);
  std::unique_ptr<iovec[]>& copy = transfer.vectors;
  copy = std::make_unique<iovec[]>(static_cast<size_t>(count + compare_count));
  transfer.request.iov = copy.get();
  transfer.request.iovcnt = copy_vector(copy.get(), vector, count, length);
  transfer.request.compare = copy.get() + count;
  transfer.request.comparecnt = copy_vector(copy.get() + count, compare, compare_count, length);
  transfer.mismatch = mismatch;
  transfer.result = static_cast<ssize_t>(length);
  return Verdict::ready();
}

void copy_data_in(BufferPool& pool, Transfer& transfer) {
  block::Request& request = transfer.request;
  if (request.op == Op::compare_and_write) {
    transfer.data = pool.take(2 * request.length);
    gather(transfer.data.get() + request.length, request.compare, request.comparecnt);
    transfer.vector[1] = {transfer.data.get() + request.length, request.length};
    request.compare = &transfer.vector[1];
    request.comparecnt = 1;
  } else if (request.op == Op::write && transfer.data == nullptr) {
    transfer.data = pool.take(request.length);
  } else {
    return;
  }
  gather(transfer.data.get(), request.iov, request.iovcnt);
  transfer.vector[0] = {transfer.data.get(), request.length};
  request.iov = transfer.vector;
  request.iovcnt = 1;
}

Verdict prepare_flush(Image& image, Transfer& transfer) {
  // A handle that cannot write has nothing to flush; from one whose image was taken nothing may reach the volume any more.
  if (image.is_read_only()) return Verdict::done(0);
  // Nor where another manages the lock: -EROFS, as a write.
  if (const int error = image.write_error()) return Verdict::done(error);
  image.note_lock();
  set_range(transfer, Op::flush, 0, 0);
  transfer.result = 0;
  return Verdict::ready();
}

}  // namespace cbd::rbd
