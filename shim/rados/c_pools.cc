// The C functions on pools, by name and by number.
#include <errno.h>
#include <string.h>

#include <nlohmann/json.hpp>

#include "rados/cluster.h"

using cbd::control::Json;
using cbd::rados::Cluster;
using cbd::rados::result_of;

namespace {

constexpr uint64_t no_auid = UINT64_MAX;  // CEPH_AUTH_UID_DEFAULT

// -ENOTCONN, -ENOENT, or the number.
int64_t look_up(rados_t handle, Json params, std::string* name) {
  auto reply = Cluster::from(handle)->call("pool.lookup", std::move(params));
  if (reply.error != 0) return reply.error;
  try {
    if (name != nullptr) *name = reply.result->at("name").get<std::string>();
    return reply.result->at("id").get<int64_t>();
  } catch (const Json::exception&) {
    return -EPROTO;
  }
}

int create(rados_t handle, const char* name) {
  if (name == nullptr) return result_of(-EINVAL);
  return result_of(Cluster::from(handle)->call("pool.create", {{"name", name}}).error);
}

}  // namespace

extern "C" {

// Names one after another, each with its NUL, and one more at the end; what does not fit is left out. Returns the length
// that all of it needs.
int rados_pool_list(rados_t handle, char* buffer, size_t length) {
  if (buffer == nullptr && length > 0) return result_of(-EINVAL);
  auto reply = Cluster::from(handle)->call("pool.list", Json::object());
  if (reply.error != 0) return result_of(reply.error);
  if (buffer != nullptr) memset(buffer, 0, length);
  size_t needed = 1, used = 0;
  bool fits = true;
  try {
    for (const Json& pool : reply.result->at("pools")) {
      const std::string& name = pool.at("name").get_ref<const std::string&>();
      size_t size = name.size() + 1;
      needed += size;
      fits = fits && used + size <= length;
      if (!fits) continue;
      memcpy(buffer + used, name.c_str(), size);
      used += size;
    }
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
  return static_cast<int>(needed);
}

int64_t rados_pool_lookup(rados_t handle, const char* name) {
  int64_t id = look_up(handle, {{"name", name != nullptr ? name : ""}}, nullptr);
  if (id < 0) result_of(static_cast<int>(id));
  return id;
}

int rados_pool_reverse_lookup(rados_t handle, int64_t id, char* buffer, size_t length) {
  std::string name;
  if (!cbd::rados::may_be_pool_id(id) && Cluster::from(handle)->is_connected()) return result_of(-ENOENT);
  int64_t found = look_up(handle, {{"id", id}}, &name);
  if (found < 0) return result_of(static_cast<int>(found));
  if (name.size() >= length) return result_of(-ERANGE);
  memcpy(buffer, name.c_str(), name.size() + 1);
  return static_cast<int>(name.size());
}

int rados_pool_create(rados_t handle, const char* name) { return create(handle, name); }

int rados_pool_create_with_auid(rados_t handle, const char* name, uint64_t auid) {
  return auid != no_auid ? result_of(-EINVAL) : create(handle, name);
}

// Where a pool's data lies is its mapping's affair: there are no CRUSH rules to choose from but the one, 0.
int rados_pool_create_with_crush_rule(rados_t handle, const char* name, uint8_t rule) {
  return rule != 0 ? result_of(-ENOENT) : create(handle, name);
}

int rados_pool_create_with_all(rados_t handle, const char* name, uint64_t auid, uint8_t rule) {
  if (auid != no_auid) return result_of(-EINVAL);
  return rule != 0 ? result_of(-ENOENT) : create(handle, name);
}

int rados_pool_delete(rados_t handle, const char* name) {
  if (name == nullptr) return result_of(-EINVAL);
  return result_of(Cluster::from(handle)->call("pool.delete", {{"name", name}}).error);
}

// No pool is a cache of another.
int rados_pool_get_base_tier(rados_t handle, int64_t pool, int64_t* base) {
  int64_t found = look_up(handle, {{"id", pool}}, nullptr);
  if (found < 0) return result_of(static_cast<int>(found));
  *base = found;
  return 0;
}

}  // extern "C"
