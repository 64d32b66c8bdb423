// The C functions that list an image's clones.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

namespace {

enum class Which { children, descendants };

// Those of the snapshot that the handle is at, else of all.
int list(rbd_image_t handle, Which which, Json& children) {
  if (handle == nullptr) return -EINVAL;
  Image& image = *Image::from(handle);
  Json params = Json::object();
  if (auto snap = image.state()->snap_id) params["snapId"] = *snap;
  if (which == Which::descendants) params["descendants"] = true;
  Reply reply = image.call("snap.children", std::move(params));
  if (reply.error == 0) children = reply.result->at("children");
  return reply.error;
}

int give(rbd_image_t handle, Which which, rbd_linked_image_spec_t* images, size_t* max_images) {
  return guarded([&] {
    clear(images, max_images);
    if (max_images == nullptr) return -EINVAL;
    Json children;
    int error = list(handle, which, children);
    if (error != 0) return error;
    const size_t room = *max_images;
    *max_images = children.size();
    if (room < children.size()) return -ERANGE;
    if (images == nullptr && !children.empty()) return -EINVAL;
    for (size_t i = 0; i < children.size(); i++) {
      const Json& child = children[i];
      images[i] = {child.at("pool").get<int64_t>(),
                   duplicate(child.at("poolName").get<std::string>()),
                   duplicate(child.value("namespace", "")),
                   duplicate(child.at("id").get<std::string>()),
                   duplicate(child.at("name").get<std::string>()),
                   child.value("trash", false)};
    }
    return 0;
  });
}

void cleanup(rbd_child_info_t& child) {
  free(const_cast<char*>(child.pool_name));
  free(const_cast<char*>(child.image_name));
  free(const_cast<char*>(child.image_id));
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Names of pools and images, each with its NUL. Returns their number, or -ERANGE with both sizes.
ssize_t rbd_list_children(rbd_image_t image, char* pools, size_t* pools_len, char* images, size_t* images_len) {
  return guarded([&]() -> ssize_t {
    if (pools_len == nullptr || images_len == nullptr) return -EINVAL;
    Json children;
    int error = list(image, Which::children, children);
    if (error != 0) return error;
    std::vector<std::string> pool_names, names;
    for (const Json& child : children) {
      pool_names.push_back(child.at("poolName").get<std::string>());
      names.push_back(child.at("name").get<std::string>());
    }
    const size_t pools_room = *pools_len, images_room = *images_len;
    *pools_len = packed_size(pool_names);
    *images_len = packed_size(names);
    if (pools_room < *pools_len || images_room < *images_len) return -ERANGE;
    if (pools != nullptr) pack(pool_names, pools);
    if (images != nullptr) pack(names, images);
    return static_cast<ssize_t>(names.size());
  });
}

// Returns the number and ends the list with an empty entry, for which there must be room: -ERANGE with that in
// *max_children.
int rbd_list_children2(rbd_image_t image, rbd_child_info_t* children, int* max_children) {
  return guarded([&] {
    clear(children, max_children);
    if (max_children == nullptr) return -EINVAL;
    Json found;
    int error = list(image, Which::children, found);
    if (error != 0) return error;
    const int count = static_cast<int>(found.size());
    if (*max_children < count + 1) {
      *max_children = count + 1;
      return -ERANGE;
    }
    if (children == nullptr) return -EINVAL;
    for (int i = 0; i < count; i++) {
      const Json& child = found[static_cast<size_t>(i)];
      children[i] = {duplicate(child.at("poolName").get<std::string>()), duplicate(child.at("name").get<std::string>()),
                     duplicate(child.at("id").get<std::string>()), child.value("trash", false)};
    }
    children[count] = {nullptr, nullptr, nullptr, false};
    return count;
  });
}

void rbd_list_child_cleanup(rbd_child_info_t* child) { cleanup(*child); }

void rbd_list_children_cleanup(rbd_child_info_t* children, size_t num_children) {
  for (size_t i = 0; i < num_children && children[i].pool_name != nullptr; i++) cleanup(children[i]);
}

// -ERANGE with the number in *max_images.
int rbd_list_children3(rbd_image_t image, rbd_linked_image_spec_t* images, size_t* max_images) {
  return give(image, Which::children, images, max_images);
}

// Clones, their clones, and so on.
int rbd_list_descendants(rbd_image_t image, rbd_linked_image_spec_t* images, size_t* max_images) {
  return give(image, Which::descendants, images, max_images);
}

}  // extern "C"
