// Walking over what an image holds.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rbd/image.h"

namespace cbd::rbd {

// Gives `look` the extents of [offset, offset + length), `window` bytes of the image at once, or some times that where they are few. Ends with the
// first result that is not 0, and returns it.
int for_each_window(Image& image, uint64_t offset, uint64_t length, uint64_t window,
                    const std::function<int(const std::vector<block::Extent>&)>& look);

// A chain to compare an image's own with, over the volumes that the image has open and those that it lacks.
struct OlderChain {
  explicit OlderChain(Image& image);

  // What the image inherits of its parent.
  int open_inherited(const ImageState& state);
  // One of the image's snapshots.
  int open_snap(Image& image, uint64_t snap_id);

  Volumes volumes;
  block::Chain chain;
};

// Appends what [offset, offset + length) of the image has that `older` has not: data, or zero; exact to a block of 4 KiB, and
// cut to the range. `older` null: all that is data. Waits for leave to read. Returns 0 or -errno.
int changes_since(Image& image, block::Chain* older, uint64_t offset, uint64_t length, std::vector<block::Extent>& out);

}  // namespace cbd::rbd
