// The C functions of a pool's namespaces.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/operation.h"

namespace cbd::rbd {

namespace {

using control::Reply;

Reply call(rados_ioctx_t io, const char* method, nlohmann::json params) {
  params["pool"] = ioctx(io)->pool_id;
  return ioctx(io)->client->call(method, std::move(params));
}

// The default namespace has no name, and is not to be made, removed or asked for.
bool is_name(rados_ioctx_t io, const char* name) { return io != nullptr && name != nullptr && *name != '\0'; }

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// -EEXIST; -EINVAL for an empty name.
int rbd_namespace_create(rados_ioctx_t io, const char* namespace_name) {
  return guarded([&] {
    if (!is_name(io, namespace_name)) return -EINVAL;
    return call(io, "namespace.create", {{"name", namespace_name}, {"op", new_operation_id()}}).error;
  });
}

// -ENOENT; -EBUSY while it holds images.
int rbd_namespace_remove(rados_ioctx_t io, const char* namespace_name) {
  return guarded([&] {
    if (!is_name(io, namespace_name)) return -EINVAL;
    return call(io, "namespace.remove", {{"name", namespace_name}, {"op", new_operation_id()}}).error;
  });
}

int rbd_namespace_exists(rados_ioctx_t io, const char* namespace_name, bool* exists) {
  return guarded([&] {
    if (!is_name(io, namespace_name) || exists == nullptr) return -EINVAL;
    Reply reply = call(io, "namespace.exists", {{"name", namespace_name}});
    if (reply.error == 0) *exists = reply.result->at("exists").get<bool>();
    return reply.error;
  });
}

// Names, each with its NUL. Returns their bytes; -ERANGE with the bytes in *size, -EINVAL without a buffer.
int rbd_namespace_list(rados_ioctx_t io, char* namespace_names, size_t* size) {
  return guarded([&] {
    if (io == nullptr || namespace_names == nullptr || size == nullptr) return -EINVAL;
    Reply reply = call(io, "namespace.list", nlohmann::json::object());
    if (reply.error != 0) return reply.error;
    auto names = reply.result->at("names").get<std::vector<std::string>>();
    const size_t bytes = packed_size(names), room = *size;
    *size = bytes;
    if (room < bytes) return -ERANGE;
    pack(names, namespace_names);
    return static_cast<int>(bytes);
  });
}

}  // extern "C"
