// The C functions that tell an image's parent.
#include <cerrno>

#include "rbd/guard.h"
#include "rbd/image.h"

using namespace cbd::rbd;

extern "C" {

// Bytes of the parent that the image still shows; 0 without a parent.
int rbd_get_overlap(rbd_image_t image, uint64_t* overlap) {
  return guarded([&] {
    if (image == nullptr || overlap == nullptr) return -EINVAL;
    *overlap = 0;
    return 0;
  });
}

// -ENOENT where the image has no parent.
int rbd_get_parent_info(rbd_image_t image, char*, size_t, char*, size_t, char*, size_t) {
  return image == nullptr ? -EINVAL : -ENOENT;
}

int rbd_get_parent_info2(rbd_image_t image, char*, size_t, char*, size_t, char*, size_t, char*, size_t) {
  return image == nullptr ? -EINVAL : -ENOENT;
}

int rbd_get_parent(rbd_image_t image, rbd_linked_image_spec_t*, rbd_snap_spec_t*) {
  return image == nullptr ? -EINVAL : -ENOENT;
}

void rbd_linked_image_spec_cleanup(rbd_linked_image_spec_t* image) {
  free(image->pool_name);
  free(image->pool_namespace);
  free(image->image_id);
  free(image->image_name);
}

void rbd_linked_image_spec_list_cleanup(rbd_linked_image_spec_t* images, size_t num_images) {
  for (size_t i = 0; i < num_images; i++) rbd_linked_image_spec_cleanup(&images[i]);
}

void rbd_snap_spec_cleanup(rbd_snap_spec_t* snap) { free(snap->name); }

}  // extern "C"
