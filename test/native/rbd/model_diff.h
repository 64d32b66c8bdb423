// What rbd_diff_iterate2 and 3 must say of an image whose bytes are known.
#pragma once

#include <rbd/librbd.h>

#include <optional>
#include <random>
#include <string>

#include "rbd/model_io.h"

namespace cbd::test {

struct DiffCase {
  rbd_image_t handle = nullptr;  // open at what is compared, whose bytes are `after`
  const Bytes* after = nullptr;
  std::optional<std::string> from;  // the older snapshot, whose bytes are `before`; none: all that there is
  const Bytes* before = nullptr;
  bool has_parent = false;
};

// Compares ranges at random with the bytes, exactly and by whole objects, with the parent and without it. False at the first error,
// which is printed.
bool diffs_hold(const DiffCase& diff, std::mt19937& random);

}  // namespace cbd::test
