// The C functions of key-value metadata, of an image and of a pool; conf_<option> keys set options.
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"

namespace cbd::rbd {

namespace {

// Sends one call about the metadata of an image or of a pool.
using Send = std::function<Reply(const char* verb, Json params)>;

Send image_metadata(rbd_image_t image) {
  return [image](const char* verb, Json params) {
    return Image::from(image)->call((std::string("image.metadata.") + verb).c_str(), std::move(params));
  };
}

Send pool_metadata(rados_ioctx_t io) {
  return [io](const char* verb, Json params) {
    params["pool"] = ioctx(io)->pool_id;
    params["namespace"] = at_json(*ioctx(io)).at("namespace");
    return ioctx(io)->client->call((std::string("pool.metadata.") + verb).c_str(), std::move(params));
  };
}

int get(const Send& send, const char* key, char* value, size_t* length) {
  if (key == nullptr || length == nullptr) return -EINVAL;
  Reply reply = send("get", {{"key", key}});
  if (reply.error != 0) return reply.error;
  return copy_text(reply.result->at("value").get<std::string>(), value, length);
}

int set(const Send& send, const char* key, const char* value) {
  if (key == nullptr || value == nullptr) return -EINVAL;
  return send("set", {{"key", key}, {"value", value}, {"op", new_operation_id()}}).error;
}

int remove(const Send& send, const char* key) {
  if (key == nullptr) return -EINVAL;
  return send("remove", {{"key", key}, {"op", new_operation_id()}}).error;
}

// Entries behind `start` in order, at most `max` of them (0: all). -ERANGE with both sizes where a buffer is too small.
int list(const Send& send, const char* start, uint64_t max, char* keys, size_t* keys_length, char* values,
         size_t* values_length) {
  if (start == nullptr || keys_length == nullptr || values_length == nullptr) return -EINVAL;
  Reply reply = send("list", {{"start", start}, {"max", max}});
  if (reply.error != 0) return reply.error;
  std::vector<std::string> names, texts;
  for (const Json& entry : reply.result->at("entries")) {
    names.push_back(entry.at("name").get<std::string>());
    texts.push_back(entry.at("value").get<std::string>());
  }
  const size_t keys_room = *keys_length, values_room = *values_length;
  *keys_length = packed_size(names);
  *values_length = packed_size(texts);
  if (keys_room < *keys_length || values_room < *values_length) return -ERANGE;
  if (keys != nullptr) pack(names, keys);
  if (values != nullptr) pack(texts, values);
  return 0;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// -ENOENT, or -ERANGE with the size in *val_len.
int rbd_metadata_get(rbd_image_t image, const char* key, char* value, size_t* val_len) {
  return guarded([&] { return image == nullptr ? -EINVAL : get(image_metadata(image), key, value, val_len); });
}

// -EROFS; -EINVAL for a conf_ key that names no option or a value that the option does not take.
int rbd_metadata_set(rbd_image_t image, const char* key, const char* value) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    if (Image::from(image)->is_read_only()) return -EROFS;
    return set(image_metadata(image), key, value);
  });
}

// -ENOENT, -EROFS.
int rbd_metadata_remove(rbd_image_t image, const char* key) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    if (Image::from(image)->is_read_only()) return -EROFS;
    return remove(image_metadata(image), key);
  });
}

int rbd_metadata_list(rbd_image_t image, const char* start, uint64_t max, char* keys, size_t* key_len, char* values,
                      size_t* vals_len) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    return list(image_metadata(image), start, max, keys, key_len, values, vals_len);
  });
}

int rbd_pool_metadata_get(rados_ioctx_t io_ctx, const char* key, char* value, size_t* val_len) {
  return guarded([&] {
    if (io_ctx == nullptr) return -EINVAL;
    const int error = get(pool_metadata(io_ctx), key, value, val_len);
    if (error != -ENOENT || *val_len > 0) return error;
    // The real library looks at the room before it looks at its own result.
    *val_len = 1;
    return -ERANGE;
  });
}

int rbd_pool_metadata_set(rados_ioctx_t io_ctx, const char* key, const char* value) {
  return guarded([&] { return io_ctx == nullptr ? -EINVAL : set(pool_metadata(io_ctx), key, value); });
}

int rbd_pool_metadata_remove(rados_ioctx_t io_ctx, const char* key) {
  return guarded([&] { return io_ctx == nullptr ? -EINVAL : remove(pool_metadata(io_ctx), key); });
}

int rbd_pool_metadata_list(rados_ioctx_t io_ctx, const char* start, uint64_t max, char* keys, size_t* key_len,
                           char* values, size_t* vals_len) {
  return guarded([&] {
    if (io_ctx == nullptr) return -EINVAL;
    return list(pool_metadata(io_ctx), start, max, keys, key_len, values, vals_len);
  });
}

}  // extern "C"
