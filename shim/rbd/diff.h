// Walking over what an image holds.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rbd/image.h"

namespace cbd::rbd {

// Gives `look` the extents of [offset, offset + length), at most `window` bytes of the image at once. Ends with the
// first result that is not 0, and returns it.
int for_each_window(Image& image, uint64_t offset, uint64_t length, uint64_t window,
                    const std::function<int(const std::vector<block::Extent>&)>& look);

}  // namespace cbd::rbd
