// What of an image holds data, or changed since a snapshot.
#pragma once

#include <string>
#include <vector>

#include "data/image.h"

namespace cbd::hooks {

struct Extent {
  uint64_t offset;
  uint64_t length;
  bool exists;
};

// Appends the extents that differ from snapshot `from` ("": from nothing), neighbours of a kind joined. 0 or -errno.
int list_extents(const Image& image, const std::string& from, bool with_parent, std::vector<Extent>& out, bool whole_objects = false);

// The same in pieces that stay within multiples of `size`, as the real rbd shows them.
std::vector<Extent> split_at(const std::vector<Extent>& extents, uint64_t size);

}  // namespace cbd::hooks
