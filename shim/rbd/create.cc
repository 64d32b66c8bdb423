// The C functions that make images.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/create.h"
#include "rbd/guard.h"
#include "rbd/json_numbers.h"
#include "rbd/operation.h"

namespace cbd::rbd {

int create_image(const rados::IoCtx& at, const char* name, uint64_t size, const ImageOptions& options, int* order) {
  if (name == nullptr) return -EINVAL;
  if (size > kMaxWireNumber) return -EINVAL;
  if (options.has(RBD_IMAGE_OPTION_CLONE_FORMAT) || options.has(RBD_IMAGE_OPTION_FLATTEN)) return -EINVAL;  // a clone's alone
  for (int mask : {RBD_IMAGE_OPTION_FEATURES, RBD_IMAGE_OPTION_FEATURES_SET, RBD_IMAGE_OPTION_FEATURES_CLEAR}) {
    if (options.number(mask).value_or(0) > kMaxWireNumber) return -ENOSYS;
  }
  Json params = {{"at", at_json(at)},
                 {"name", name},
                 {"size", size},
                 {"options", options.to_json()},
                 {"op", new_operation_id()}};
  control::Reply reply = at.client->call("image.create", std::move(params));
  if (reply.error == 0 && order != nullptr) *order = reply.result->value("order", *order);
  return reply.error;
}

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// An order of 0 means the default, which is written back. -EEXIST, -EDOM (order outside 12..25), -EINVAL (name, size).
int rbd_create(rados_ioctx_t io, const char* name, uint64_t size, int* order) {
  return guarded([&] {
    if (io == nullptr) return -EINVAL;
    ImageOptions options;
    int error = options.set_order(order);
    return error != 0 ? error : create_image(*ioctx(io), name, size, options, order);
  });
}

int rbd_create2(rados_ioctx_t io, const char* name, uint64_t size, uint64_t features, int* order) {
  return rbd_create3(io, name, size, features, order, 0, 0);
}

// -ENOSYS for unknown features; a stripe unit and count of 0 mean the defaults, one of them alone is -EINVAL.
int rbd_create3(rados_ioctx_t io, const char* name, uint64_t size, uint64_t features, int* order, uint64_t stripe_unit,
                uint64_t stripe_count) {
  return guarded([&] {
    if (io == nullptr) return -EINVAL;
    ImageOptions options;
    int error = options.set_order(order);
    if (error != 0) return error;
    if ((stripe_unit == 0) != (stripe_count == 0)) return -EINVAL;
    options.set(RBD_IMAGE_OPTION_FEATURES, features);
    if (stripe_unit != 0) {
      options.set(RBD_IMAGE_OPTION_STRIPE_UNIT, stripe_unit);
      options.set(RBD_IMAGE_OPTION_STRIPE_COUNT, stripe_count);
    }
    return create_image(*ioctx(io), name, size, options, order);
  });
}

// The order that was chosen is set in `opts`.
int rbd_create4(rados_ioctx_t io, const char* name, uint64_t size, rbd_image_options_t opts) {
  return guarded([&] {
    if (io == nullptr || opts == nullptr) return -EINVAL;
    ImageOptions& options = *ImageOptions::from(opts);
    int order = 0;
    int error = create_image(*ioctx(io), name, size, options, &order);
    if (error == 0 && order != 0) options.set(RBD_IMAGE_OPTION_ORDER, static_cast<uint64_t>(order));
    return error;
  });
}

}  // extern "C"
