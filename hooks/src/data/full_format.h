// Ceph's format of whole images, "rbd image v2" (doc/dev/rbd-export.rst of Ceph): what the image is like, then one difference a snapshot
// and one for the head.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/diff_format.h"
#include "data/image.h"

namespace cbd::hooks {

// What the real rbd gives for a whole image that ends too soon.
constexpr int short_stream = -EDOM;

// What an image is like, as the head of such a stream tells it.
struct ImageHead {
  std::optional<uint64_t> order, features, stripe_unit, stripe_count;
  std::vector<std::pair<std::string, std::string>> metadata;
  // How many differences follow.
  uint64_t diffs = 0;
};

// Writes everything of an image that is open. 0 or -errno.
int write_full(const Image& image, const Pool& pool, const std::string& name, int fd, Progress& progress);

// Reads the head. 0 or -errno; `message` says more.
int read_full_head(InStream& in, ImageHead& head, std::string& message);

// Carries the differences into a new image. `total`: bytes of the stream, 0 where unknown. 0 or -errno.
int read_full_diffs(InStream& in, const ImageHead& head, const Image& image, uint64_t total, Progress& progress, std::string& message);

}  // namespace cbd::hooks
