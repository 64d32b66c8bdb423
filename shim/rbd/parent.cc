// The C functions that tell an image's parent.
#include <cerrno>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

namespace {

// Runs `body(parent)`; -ENOENT where the image has none, or shows nothing of it since it was shrunk to no bytes.
template <class Body>
int with_parent(rbd_image_t image, Body&& body) {
  return guarded([&]() -> int {
    if (image == nullptr) return -EINVAL;
    auto state = Image::from(image)->state();
    return state->parent && state->parent->overlap > 0 ? body(*state->parent) : -ENOENT;
  });
}

// A buffer of NULL is not wanted; one that is too small is -ERANGE.
int copy_wanted(const std::string& text, char* buffer, size_t length) {
  return buffer == nullptr ? 0 : copy_text(text, buffer, &length);
}

struct Buffer {
  char* text;
  size_t length;
};

int give_names(rbd_image_t image, Buffer pool, Buffer name, Buffer id, Buffer snap) {
  return with_parent(image, [&](const ParentState& parent) {
    int error = copy_wanted(parent.pool_name, pool.text, pool.length);
    if (error == 0) error = copy_wanted(parent.name, name.text, name.length);
    if (error == 0) error = copy_wanted(parent.id, id.text, id.length);
    if (error == 0) error = copy_wanted(parent.snap_name, snap.text, snap.length);
    return error;
  });
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Bytes of the parent that the image still shows; 0 without a parent.
int rbd_get_overlap(rbd_image_t image, uint64_t* overlap) {
  return guarded([&] {
    if (image == nullptr || overlap == nullptr) return -EINVAL;
    auto state = Image::from(image)->state();
    *overlap = state->parent ? state->parent->overlap : 0;
    return 0;
  });
}

int rbd_get_parent_info(rbd_image_t image, char* parent_poolname, size_t ppoolnamelen, char* parent_name,
                        size_t pnamelen, char* parent_snapname, size_t psnapnamelen) {
  return give_names(image, {parent_poolname, ppoolnamelen}, {parent_name, pnamelen}, {nullptr, 0},
                    {parent_snapname, psnapnamelen});
}

// -ENOENT where the image has no parent, -ERANGE where a buffer is too small.
int rbd_get_parent_info2(rbd_image_t image, char* parent_poolname, size_t ppoolnamelen, char* parent_name,
                         size_t pnamelen, char* parent_id, size_t pidlen, char* parent_snapname, size_t psnapnamelen) {
  return give_names(image, {parent_poolname, ppoolnamelen}, {parent_name, pnamelen}, {parent_id, pidlen},
                    {parent_snapname, psnapnamelen});
}

// -ENOENT where the image has no parent, -errno where the daemon cannot be asked: nobody tells a child when its parent goes into the
// trash and comes back, which the real library looks up at each call, too.
int rbd_get_parent(rbd_image_t image, rbd_linked_image_spec_t* parent_image, rbd_snap_spec_t* parent_snap) {
  const int error = with_parent(image, [&](const ParentState&) { return Image::from(image)->refresh(); });
  if (error != 0) return error;
  return with_parent(image, [&](const ParentState& parent) {
    if (parent_image != nullptr) {
      *parent_image = {parent.pool,          duplicate(parent.pool_name), duplicate(parent.name_space),
                       duplicate(parent.id), duplicate(parent.name),      parent.is_trash};
    }
    if (parent_snap != nullptr) {
      const auto type = parent.snap_is_trash ? RBD_SNAP_NAMESPACE_TYPE_TRASH : RBD_SNAP_NAMESPACE_TYPE_USER;
      *parent_snap = {parent.snap_id, type, duplicate(parent.snap_name)};
    }
    return 0;
  });
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
