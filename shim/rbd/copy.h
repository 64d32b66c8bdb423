// What all copies of images have in common.
#pragma once

#include "rbd/image.h"

namespace cbd::rbd {

// All of it, the configuration too. Returns 0 or -errno.
int copy_metadata(Image& source, Image& target);

}  // namespace cbd::rbd
