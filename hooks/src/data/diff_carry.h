// A difference out of an image, and into one.
#pragma once

#include <string>

#include "data/diff_format.h"
#include "data/image.h"

namespace cbd::hooks {

struct DiffRange {
  std::string from, to;  // snapshots; "" for none
  bool is_to_protected = false;
  bool whole_objects = false;
  int version = 1;
};

// Writes what changed in `image`, which is open at `range.to`. 0 or -errno.
int write_diff(const Image& image, const DiffRange& range, int fd, Progress& progress);

// Carries out the records behind a banner, up to their end; makes the snapshot that they end in. `total`: bytes of the
// stream for progress, 0 where unknown. 0 or -errno, with `message` set where there is more to say.
int apply_diff(InStream& in, int version, const Image& image, uint64_t total, Progress& progress, std::string& message);

}  // namespace cbd::hooks
