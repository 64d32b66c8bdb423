// The C functions that tell what an open image is. All but the timestamps' seconds come from what the daemon said last;
// none of them waits for it.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

namespace {

// Runs `body(state)` on what is known of the image.
template <class Body>
int with_state(rbd_image_t image, Body&& body) {
  return guarded([&]() -> int {
    if (image == nullptr) return -EINVAL;
    return body(*Image::from(image)->state());
  });
}

template <class T, class Read>
int give(rbd_image_t image, T* out, Read&& read) {
  return with_state(image, [&](const ImageState& state) {
    if (out == nullptr) return -EINVAL;
    *out = read(state);
    return 0;
  });
}

// get_id and get_block_name_prefix: -ERANGE, without the size that it takes.
int copy_short(const std::string& text, char* buffer, size_t length) {
  return buffer == nullptr ? -EINVAL : copy_text(text, buffer, &length);
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

void rbd_version(int* major, int* minor, int* extra) {
  if (major != nullptr) *major = LIBRBD_VER_MAJOR;
  if (minor != nullptr) *minor = LIBRBD_VER_MINOR;
  if (extra != nullptr) *extra = LIBRBD_VER_EXTRA;
}

// Fills all of *info, whatever `infosize` says, as the real library does.
int rbd_stat(rbd_image_t image, rbd_image_info_t* info, size_t) {
  return with_state(image, [&](const ImageState& state) {
    if (info == nullptr) return -EINVAL;
    rbd_image_info_t full{};
    full.size = Image::from(image)->io().size();
    full.obj_size = uint64_t{1} << state.order;
    full.num_objs = (full.size + full.obj_size - 1) / full.obj_size;
    full.order = state.order;
    memcpy(full.block_name_prefix, state.prefix.c_str(),
           std::min(state.prefix.size(), sizeof full.block_name_prefix - 1));
    full.parent_pool = -1;
    *info = full;
    return 0;
  });
}

int rbd_get_old_format(rbd_image_t image, uint8_t* old) {
  return give(image, old, [](const ImageState&) { return uint8_t{0}; });
}

int rbd_get_size(rbd_image_t image, uint64_t* size) {
  return give(image, size, [&](const ImageState&) { return Image::from(image)->io().size(); });
}

int rbd_get_features(rbd_image_t image, uint64_t* features) {
  return give(image, features, [](const ImageState& state) { return state.features; });
}

int rbd_get_op_features(rbd_image_t image, uint64_t* op_features) {
  return give(image, op_features, [](const ImageState& state) { return state.op_features; });
}

int rbd_get_flags(rbd_image_t image, uint64_t* flags) {
  return give(image, flags, [](const ImageState& state) { return state.flags; });
}

int rbd_get_stripe_unit(rbd_image_t image, uint64_t* stripe_unit) {
  return give(image, stripe_unit, [](const ImageState& state) { return state.stripe_unit; });
}

int rbd_get_stripe_count(rbd_image_t image, uint64_t* stripe_count) {
  return give(image, stripe_count, [](const ImageState& state) { return state.stripe_count; });
}

int rbd_get_create_timestamp(rbd_image_t image, struct timespec* timestamp) {
  return give(image, timestamp, [](const ImageState& state) { return state.create_time; });
}

int rbd_get_access_timestamp(rbd_image_t image, struct timespec* timestamp) {
  return give(image, timestamp, [](const ImageState& state) { return state.access_time; });
}

int rbd_get_modify_timestamp(rbd_image_t image, struct timespec* timestamp) {
  return give(image, timestamp, [](const ImageState& state) { return state.modify_time; });
}

int rbd_get_name(rbd_image_t image, char* name, size_t* name_len) {
  return with_state(image, [&](const ImageState& state) {
    const int error = copy_text(state.name, name, name_len);
    if (error == 0) *name_len = state.name.size() + 1;
    return error;
  });
}

int rbd_get_id(rbd_image_t image, char* id, size_t id_len) {
  return with_state(image, [&](const ImageState& state) { return copy_short(state.id, id, id_len); });
}

int rbd_get_block_name_prefix(rbd_image_t image, char* prefix, size_t prefix_len) {
  return with_state(image, [&](const ImageState& state) { return copy_short(state.prefix, prefix, prefix_len); });
}

// The id of the pool that holds the data.
int64_t rbd_get_data_pool_id(rbd_image_t image) {
  return guarded([&]() -> int64_t {
    if (image == nullptr) return -EINVAL;
    const Image& open = *Image::from(image);
    const int64_t pool = open.state()->data_pool;
    return pool >= 0 ? pool : static_cast<int64_t>(open.at().pool_id);
  });
}

// Images are in no group: pool -1 and an empty name. -ERANGE for a structure of another size.
int rbd_get_group(rbd_image_t image, rbd_group_info_t* group_info, size_t group_info_size) {
  return with_state(image, [&](const ImageState&) {
    if (group_info == nullptr) return -EINVAL;
    if (group_info_size != sizeof *group_info) return -ERANGE;
    group_info->name = duplicate("");
    group_info->pool = -1;
    return 0;
  });
}

int rbd_group_info_cleanup(rbd_group_info_t* group_info, size_t group_info_size) {
  if (group_info_size != sizeof *group_info) return -ERANGE;
  free(group_info->name);
  return 0;
}

// -EINVAL: no image here is being migrated.
int rbd_get_migration_source_spec(rbd_image_t image, char*, size_t*) {
  return with_state(image, [](const ImageState&) { return -EINVAL; });
}

}  // extern "C"
