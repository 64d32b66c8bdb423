// The C functions that change an image's size.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/json_numbers.h"
#include "rbd/progress.h"

using namespace cbd::rbd;

extern "C" {

int rbd_resize(rbd_image_t image, uint64_t size) { return rbd_resize2(image, size, true, nullptr, nullptr); }

int rbd_resize_with_progress(rbd_image_t image, uint64_t size, librbd_progress_fn_t cb, void* cbdata) {
  return rbd_resize2(image, size, true, cb, cbdata);
}

// -EROFS, -EINVAL where it would shrink and must not, -ECANCELED where the callback said so.
int rbd_resize2(rbd_image_t image, uint64_t size, bool allow_shrink, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    if (image == nullptr || size > kMaxWireNumber) return -EINVAL;
    Image& open = *Image::from(image);
    if (open.is_read_only()) return -EROFS;
    const uint64_t now = open.io().size();
    if (size < now && allow_shrink) {
      if (int error = may_begin(cb, cbdata, (now >> open.state()->order) + 1)) return error;
    }
    return open.change("image.resize", {{"size", size}, {"allowShrink", allow_shrink}}, progress(cb, cbdata)).error;
  });
}

}  // extern "C"
