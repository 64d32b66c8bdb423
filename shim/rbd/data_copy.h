// Copies what one image holds into another, several large requests at a time. Knows nothing of the C ABI.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rbd/image_io.h"

namespace cbd::rbd {

struct CopyOptions {
  uint64_t length = 0;          // bytes from offset 0; both images hold them
  uint64_t grain = 64 * 1024;   // runs of zeroes of this length are not written
  bool is_target_empty = true;  // otherwise what is a hole in the source is made one in the target
  // What to copy of [offset, offset + length), in order, where that is not all of it: data is written, the rest made holes.
  std::function<int(uint64_t offset, uint64_t length, std::vector<block::Extent>& out)> extents;
  // Called with the bytes done and in all, on the calling thread; a negative result ends the copy in -ECANCELED.
  std::function<int(uint64_t, uint64_t)> progress;
};

// Returns 0 or -errno. Nothing is in flight afterwards. Does not flush.
int copy_data(ImageIo& source, ImageIo& target, const CopyOptions& options);

// Whether all of it is zero.
bool is_zero(const char* data, size_t length);

}  // namespace cbd::rbd
