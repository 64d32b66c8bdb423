// Giving back the space of what is zero in a plain volume. Synchronous, on the caller's thread, who sees to it that nobody
// writes there meanwhile.
#pragma once

#include <cstdint>
#include <vector>

#include "block/device.h"

namespace cbd::block {

struct ByteRange {
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;
};

// Looks at each piece of `grain` bytes of the ranges (the last one of a range may be shorter) and discards those that hold
// nothing but zeroes; `volume` must promise that a discarded range reads as zeroes. What it changes nobody can read, so
// there is no flush. Returns 0, -EINVAL (a grain of 0, a range outside the volume), -EOPNOTSUPP or -errno.
int give_back_zeroes(Device& volume, const std::vector<ByteRange>& ranges, uint64_t grain);

}  // namespace cbd::block
