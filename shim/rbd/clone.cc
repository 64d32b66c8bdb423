// The C functions that make clones and make them images of their own.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/image_options.h"
#include "rbd/json_numbers.h"
#include "rbd/operation.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

// `snap` is {"snap": name} or {"snapId": id}.
int clone(rados_ioctx_t from, const char* parent, Json snap, rados_ioctx_t to, const char* name,
          const ImageOptions& options) {
  if (from == nullptr || to == nullptr || parent == nullptr || name == nullptr) return -EINVAL;
  const rados::IoCtx &source = *ioctx(from), &target = *ioctx(to);
  Json params = {{"at", at_json(source)},         {"image", parent}, {"to", at_json(target)}, {"name", name},
                 {"options", options.to_json()}, {"op", new_operation_id()}};
  params.update(snap);
  return target.client->call("clone", std::move(params)).error;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_clone(rados_ioctx_t p_ioctx, const char* p_name, const char* p_snapname, rados_ioctx_t c_ioctx,
              const char* c_name, uint64_t features, int* c_order) {
  return rbd_clone2(p_ioctx, p_name, p_snapname, c_ioctx, c_name, features, c_order, 0, 0);
}

// -ENOENT; -EEXIST; -EINVAL without a snapshot, or of one that is not protected where the clone is of format 1. As in librbd an
// order and a striping of 0 are the default here, not the parent's.
int rbd_clone2(rados_ioctx_t p_ioctx, const char* p_name, const char* p_snapname, rados_ioctx_t c_ioctx,
               const char* c_name, uint64_t features, int* c_order, uint64_t stripe_unit, int stripe_count) {
  return guarded([&] {
    if (p_snapname == nullptr) return -EINVAL;
    ImageOptions options;
    if (c_order == nullptr || stripe_count < 0) return -EINVAL;
    if (*c_order < 0) return -EDOM;
    if (features > kMaxWireNumber) return -ENOSYS;
    options.set(RBD_IMAGE_OPTION_FEATURES, features);
    options.set(RBD_IMAGE_OPTION_ORDER, static_cast<uint64_t>(*c_order));
    options.set(RBD_IMAGE_OPTION_STRIPE_UNIT, stripe_unit);
    options.set(RBD_IMAGE_OPTION_STRIPE_COUNT, static_cast<uint64_t>(stripe_count));
    return clone(p_ioctx, p_name, {{"snap", p_snapname}}, c_ioctx, c_name, options);
  });
}

int rbd_clone3(rados_ioctx_t p_ioctx, const char* p_name, const char* p_snapname, rados_ioctx_t c_ioctx,
               const char* c_name, rbd_image_options_t c_opts) {
  return guarded([&] {
    if (p_snapname == nullptr || c_opts == nullptr) return -EINVAL;
    return clone(p_ioctx, p_name, {{"snap", p_snapname}}, c_ioctx, c_name, *ImageOptions::from(c_opts));
  });
}

int rbd_clone4(rados_ioctx_t p_ioctx, const char* p_name, uint64_t p_snap_id, rados_ioctx_t c_ioctx,
               const char* c_name, rbd_image_options_t c_opts) {
  return guarded([&] {
    if (c_opts == nullptr) return -EINVAL;
    if (p_snap_id > kMaxWireNumber) return -ENOENT;
    return clone(p_ioctx, p_name, {{"snapId", p_snap_id}}, c_ioctx, c_name, *ImageOptions::from(c_opts));
  });
}

int rbd_flatten(rbd_image_t image) { return rbd_flatten_with_progress(image, nullptr, nullptr); }

// -EINVAL where the image has no parent, -EROFS, -ECANCELED.
int rbd_flatten_with_progress(rbd_image_t image, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    if (open.is_read_only()) return -EROFS;
    return open.change("flatten", Json::object(), progress(cb, cbdata)).error;
  });
}

}  // extern "C"
