// The interface of every block device of the data path: what a request is, and what a device does with one.
// A device knows nothing of images, sessions or the C ABI; devices stack, and each is usable alone.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cbd::block {

// What a request asks for. `zero` makes the range read as zeroes (and may give its space back), `discard` gives space
// back and promises nothing about what is read afterwards unless the device says so (`discard_zeroes`).
enum class Op : uint8_t { read, write, zero, discard, flush, compare_and_write };

// One I/O. The submitter owns it, and everything that it points to, until `done` is called; from then on the device
// never touches it again. `done` is called exactly once, on any thread, possibly before submit() returns.
struct Request {
  Op op = Op::read;
  // The submitter is going to wait: the device may block the submitting thread and do the work on it.
  bool may_block = false;
  // The submitter waits on the eventfd that the ring listens to (IoRing::listen): whoever gives the whole request to the
  // kernel may have the kernel raise it at the end, and says so in `was_raised`.
  bool raises_listened = false;
  bool was_raised = false;
  // For `zero`: the range must stay allocated (RBD_WRITE_ZEROES_FLAG_THICK_PROVISION).
  bool keep_allocated = false;
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;  // bytes; for read, write and compare_and_write the sum of iov's lengths
  const iovec* iov = nullptr;
  int iovcnt = 0;
  // compare_and_write only: what must be there (as long as `length`), and where it was not (set with -EILSEQ).
  const iovec* compare = nullptr;
  int comparecnt = 0;
  uint64_t mismatch_offset = 0;  // bytes from `offset`
  // Called with 0 or -errno.
  void (*done)(Request* self, int result) = nullptr;
  void* context = nullptr;  // the submitter's own
  Request* next = nullptr;  // for the queue of whoever holds the request at the moment
  // For whoever holds the request at the moment, so that nobody allocates per request; lost when it is passed on.
  alignas(16) std::byte scratch[144];
};

// A range of a device and what is known of it without reading it.
struct Extent {
  enum class Kind : uint8_t { data, zero, absent } kind;  // absent: nothing here owns it (a layer below may)
  uint64_t offset;
  uint64_t length;
};

class Device {
 public:
  virtual ~Device() = default;

  // Starts a request. Requests that overlap and are in flight together may take effect in any order, as on a disk.
  // A request that the device cannot hold (outside its size, not whole blocks, empty) is answered with -EINVAL and
  // goes no further. A flush covers the writes that were done before it was submitted.
  virtual void submit(Request& request) = 0;

  // Bytes that can be addressed.
  virtual uint64_t size() const = 0;

  // Offsets and lengths of requests are multiples of this (1, 512 or 4096); it changes only while the stack is idle.
  virtual uint32_t block_size() const = 0;

  // Whether a discarded range is sure to read as zeroes afterwards.
  virtual bool discard_zeroes() const = 0;

  // Appends what is known of [offset, offset + length), in order and without gaps, to `out`. Returns 0 or -errno.
  // A device that knows nothing says `data`.
  virtual int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) = 0;
};

}  // namespace cbd::block
