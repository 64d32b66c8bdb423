// Walking over what an image holds.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
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

  // What the image inherits of its parent, as the handle sees it. Returns 0 or -errno.
  int open_inherited(Image& image);
  // One of the image's snapshots. The same.
  int open_snap(Image& image, uint64_t snap_id);

  Volumes volumes;
  block::Chain chain;
  // The image's own frozen layers at the moment when it had this chain below.
  std::vector<std::string> beside;

 private:
  struct Wanted {
    std::optional<uint64_t> snap_id;  // none: the image itself
    bool only_inherited = false;
  };
  int open(Image& image, const Wanted& wanted);
  int read(Image& image, const Wanted& wanted);
};

// Appends what [offset, offset + length) of the image has that `older` has not: data, or zero; exact to a block of 4 KiB, and
// cut to the range. `older` null: all that is data. Waits for leave to read. Returns 0 or -errno.
// -ESTALE where the image lacks one of the layers `beside` by now: more than what differs would be shown.
int changes_since(Image& image, block::Chain* older, uint64_t offset, uint64_t length, std::vector<block::Extent>& out,
                  const std::vector<std::string>& beside = {});

}  // namespace cbd::rbd
