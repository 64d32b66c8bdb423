// Making an image, for the create functions and for copies.
#pragma once

#include <cstdint>

#include "rados/handles.h"
#include "rbd/image_options.h"

namespace cbd::rbd {

using control::Json;

// Asks the daemon for a new image. Returns 0 or -errno; `order` (may be null) gets the object order that was chosen.
int create_image(const rados::IoCtx& at, const char* name, uint64_t size, const ImageOptions& options, int* order);

}  // namespace cbd::rbd
