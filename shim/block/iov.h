// Copying to and from scattered memory. Positions are bytes from the beginning of the whole list.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace cbd::block {

uint64_t iov_bytes(const iovec* iov, int count);
// Whether every piece begins at a multiple of `memory` and is a multiple of `length` long.
bool is_aligned(const iovec* iov, int count, uint32_t memory, uint32_t length);
void copy_from_iov(void* to, const iovec* iov, int count, uint64_t position, uint64_t bytes);
void copy_to_iov(const iovec* iov, int count, uint64_t position, const void* from, uint64_t bytes);
void zero_iov(const iovec* iov, int count, uint64_t position, uint64_t bytes);
// Describes `bytes` from `position` on in at most `max` pieces of `out` (fewer bytes where that is not enough
// room). Returns the number of pieces.
int slice_iov(const iovec* iov, int count, uint64_t position, uint64_t bytes, iovec* out, int max);
// How many pieces slice_iov needs.
int count_slices(const iovec* iov, int count, uint64_t position, uint64_t bytes);

}  // namespace cbd::block
