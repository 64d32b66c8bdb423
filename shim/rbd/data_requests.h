// Turns what a client asks of an image's data into a block request: checks, clips the range to the image, and says at
// once what needs no I/O. Used by the synchronous and the asynchronous functions alike.
#pragma once

#include <sys/uio.h>

#include <cstdint>

#include "rbd/image.h"
#include "rbd/transfer.h"

namespace cbd::rbd {

// Whether `transfer.request` is to be submitted; if not, `result` is the client's.
struct Verdict {
  bool is_ready = false;
  ssize_t result = 0;

  static Verdict ready() { return {true, 0}; }
  static Verdict done(ssize_t result) { return {false, result}; }
};

// The range of a data call. At or past the image's end it is -EINVAL, across the end it is cut, and without length it is
// nothing anywhere (as 16.2.15 has it).
int clip(const Image& image, uint64_t offset, uint64_t& length);

Verdict prepare_read(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, char* buffer);
Verdict prepare_readv(Image& image, Transfer& transfer, uint64_t offset, const iovec* vector, int count);
Verdict prepare_write(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, const char* buffer);
Verdict prepare_writev(Image& image, Transfer& transfer, uint64_t offset, const iovec* vector, int count);
// Only whole units of rbd_discard_granularity_bytes are given back.
Verdict prepare_discard(Image& image, Transfer& transfer, uint64_t offset, uint64_t length);
Verdict prepare_write_zeroes(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, int zero_flags);
// `data_length` bytes at `data`, again and again. `is_valid_writesame` has said yes.
Verdict prepare_writesame(Image& image, Transfer& transfer, uint64_t offset, uint64_t length, const char* data,
                          size_t data_length);
Verdict prepare_compare_and_write(Image& image, Transfer& transfer, uint64_t offset, const iovec* compare,
                                  int compare_count, const iovec* vector, int count, uint64_t* mismatch);
Verdict prepare_flush(Image& image, Transfer& transfer);

// Gives a write that was prepared memory of its own, so that the client may free or change his before it is done.
// Throws bad_alloc.
void copy_data_in(BufferPool& pool, Transfer& transfer);

// What writesame's functions refuse at once.
bool is_valid_writesame(uint64_t length, size_t data_length);

}  // namespace cbd::rbd
