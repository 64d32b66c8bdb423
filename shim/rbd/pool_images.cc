// The C functions over a pool's images by name: list, rename, remove.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

struct Named {
  std::string id, name;
};

int list_images(const rados::IoCtx& at, std::vector<Named>& images) {
  control::Reply reply = at.client->call("image.list", {{"at", at_json(at)}});
  if (reply.error != 0) return reply.error;
  for (const Json& image : reply.result->at("images")) {
    images.push_back({image.at("id").get<std::string>(), image.at("name").get<std::string>()});
  }
  return 0;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Names, each with its NUL. Returns their bytes; -ERANGE with the bytes in *size where that is too small, -EINVAL where
// there is no buffer and no names.
int rbd_list(rados_ioctx_t io, char* names, size_t* size) {
  return guarded([&] {
    if (io == nullptr || size == nullptr) return -EINVAL;
    std::vector<Named> images;
    int error = list_images(*ioctx(io), images);
    if (error != 0) return error;
    std::vector<std::string> texts;
    for (Named& image : images) texts.push_back(std::move(image.name));
    const size_t bytes = packed_size(texts);
    if (*size < bytes) {
      *size = bytes;
      return -ERANGE;
    }
    if (names == nullptr) return -EINVAL;
    pack(texts, names);
    return static_cast<int>(bytes);
  });
}

// -ERANGE with the number of images in *max_images where that is too small.
int rbd_list2(rados_ioctx_t io, rbd_image_spec_t* images, size_t* max_images) {
  return guarded([&] {
    clear(images, max_images);
    if (io == nullptr || max_images == nullptr) return -EINVAL;
    std::vector<Named> found;
    int error = list_images(*ioctx(io), found);
    if (error != 0) return error;
    const size_t room = *max_images;
    *max_images = found.size();
    if (room < found.size()) return -ERANGE;
    if (found.empty()) return 0;
    if (images == nullptr) return -EINVAL;
    for (size_t i = 0; i < found.size(); i++) images[i] = {duplicate(found[i].id), duplicate(found[i].name)};
    return 0;
  });
}

void rbd_image_spec_cleanup(rbd_image_spec_t* image) {
  free(image->id);
  free(image->name);
}

void rbd_image_spec_list_cleanup(rbd_image_spec_t* images, size_t num_images) {
  for (size_t i = 0; i < num_images; i++) rbd_image_spec_cleanup(&images[i]);
}

// -ENOENT, -EEXIST, -EINVAL for an empty name.
int rbd_rename(rados_ioctx_t src_io_ctx, const char* srcname, const char* destname) {
  return guarded([&] {
    if (src_io_ctx == nullptr || srcname == nullptr || destname == nullptr) return -EINVAL;
    const auto& at = *ioctx(src_io_ctx);
    Json params = {{"at", at_json(at)}, {"name", srcname}, {"to", destname}, {"op", new_operation_id()}};
    return at.client->call("image.rename", std::move(params)).error;
  });
}

int rbd_remove(rados_ioctx_t io, const char* name) { return rbd_remove_with_progress(io, name, nullptr, nullptr); }

// -ENOENT, -EBUSY while a client has it open, -ENOTEMPTY while it has snapshots.
int rbd_remove_with_progress(rados_ioctx_t io, const char* name, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    if (io == nullptr || name == nullptr) return -EINVAL;
    const auto& at = *ioctx(io);
    Json params = {{"at", at_json(at)}, {"name", name}, {"op", new_operation_id()}};
    if (int error = may_begin(cb, cbdata, 1)) return error;
    return at.client->call("image.remove", std::move(params), 0, progress(cb, cbdata)).error;
  });
}

}  // extern "C"
