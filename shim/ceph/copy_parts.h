// What copies between a real Ceph and us are made of: bytes read through one handle and written through the other, the
// metadata, and an image like another to write to. It uses nothing but the exported functions, and so does not know which
// side is which.
#pragma once

#include <cstdint>

#include "ceph/rbd.h"

namespace cbd::ceph {

struct Progress {
  librbd_progress_fn_t function = nullptr;
  void* argument = nullptr;
  // Of `parts` equal ones, this is the progress of the one behind `before`.
  uint64_t before = 0;
  uint64_t parts = 1;

  // False where the caller wants no more.
  bool report(uint64_t done, uint64_t total) const {
    return function == nullptr || function(before * total + done, parts * total, argument) >= 0;
  }
};

// Copies what `from` holds into `to`, which reads as zeroes so far and is at least as long. 0, -ECANCELED where the
// progress function stops it, or the first error.
int copy_data(rbd_image_t from, rbd_image_t to, const Progress& progress);

// Writes to `to` what `from` changed since its snapshot `base`; `to` is what that was, and as long as `from`. As copy_data.
int copy_changes(rbd_image_t from, const char* base, rbd_image_t to, const Progress& progress);

// Copies the user's metadata; the conf_ entries go with it, as the real library has it.
int copy_metadata(rbd_image_t from, rbd_image_t to);

// Creates `name` in `to` with `size` bytes, with the source's order and features where `given` (may be null) names none.
int create_like(rbd_image_t from, uint64_t size, rados_ioctx_t to, const char* name, rbd_image_options_t given);

}  // namespace cbd::ceph
