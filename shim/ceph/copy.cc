// Copies what an image holds now between a real Ceph and us.
#include <cerrno>

#include "ceph/copy_parts.h"

namespace cbd::ceph {

namespace {

// Makes `name` in `to` as long as `from` and fills it. What was made goes again where the filling fails.
int copy_image(rbd_image_t from, rados_ioctx_t to, const char* name, rbd_image_options_t given,
               const Progress& progress) {
  uint64_t size = 0;
  int r = rbd_get_size(from, &size);
  if (r >= 0) r = create_like(from, size, to, name, given);
  if (r < 0) return r;
  rbd_image_t made = nullptr;
  r = rbd_open(to, name, &made, nullptr);
  if (r >= 0) {
    r = copy_metadata(from, made);
    if (r >= 0) r = copy_data(from, made, progress);
    const int closed = rbd_close(made);
    if (r >= 0) r = closed;
  }
  if (r < 0) rbd_remove(to, name);
  return r;
}

}  // namespace

namespace across {

int rbd_copy(rbd_image_t image, rados_ioctx_t to, const char* name) {
  return copy_image(image, to, name, nullptr, {});
}

int rbd_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                           librbd_progress_fn_t progress, void* argument) {
  return copy_image(image, to, name, nullptr, {progress, argument});
}

int rbd_copy3(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options) {
  return copy_image(image, to, name, options, {});
}

int rbd_copy_with_progress3(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument) {
  return copy_image(image, to, name, options, {progress, argument});
}

int rbd_copy4(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options, size_t) {
  return copy_image(image, to, name, options, {});
}

int rbd_copy_with_progress4(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument,
                            size_t) {
  return copy_image(image, to, name, options, {progress, argument});
}

int rbd_copy2(rbd_image_t image, rbd_image_t to) {
  return rbd_copy_with_progress2(image, to, nullptr, nullptr);
}

// -EINVAL where the target is shorter, as the real library has it.
int rbd_copy_with_progress2(rbd_image_t image, rbd_image_t to, librbd_progress_fn_t progress,
                            void* argument) {
  uint64_t from_size = 0;
  uint64_t to_size = 0;
  int r = rbd_get_size(image, &from_size);
  if (r >= 0) r = rbd_get_size(to, &to_size);
  if (r < 0) return r;
  if (to_size < from_size) return -EINVAL;
  r = copy_metadata(image, to);
  return r < 0 ? r : copy_data(image, to, {progress, argument});
}

}  // namespace across

}  // namespace cbd::ceph
