// The C functions on rados_ioctx_t that concern the pool as a whole, and its applications.
#include <errno.h>
#include <string.h>

#include <nlohmann/json.hpp>

#include "rados/closed_ioctx.h"
#include "rados/cluster.h"

using cbd::control::Json;
using cbd::rados::Cluster;
using cbd::rados::IoCtx;
using cbd::rados::result_of;

namespace {

IoCtx* from(rados_ioctx_t handle) { return static_cast<IoCtx*>(handle); }

int open(rados_t handle, const std::string& pool, int64_t id, rados_ioctx_t* io) {
  if (pool.empty() && !cbd::rados::may_be_pool_id(id)) {
    return result_of(Cluster::from(handle)->is_connected() ? -ENOENT : -ENOTCONN);
  }
  IoCtx* context = nullptr;
  int error = Cluster::from(handle)->open(pool, id, context);
  if (error == 0) *io = context;
  return result_of(error);
}

// Copies with its NUL; -ERANGE where it does not fit, else the length.
int put(const std::string& text, char* buffer, size_t length) {
  if (text.size() >= length) return result_of(-ERANGE);
  memcpy(buffer, text.c_str(), text.size() + 1);
  return static_cast<int>(text.size());
}

cbd::control::Reply ask(rados_ioctx_t io, const char* method, Json params) {
  params["pool"] = from(io)->pool_id;
  return from(io)->client->call(method, std::move(params));
}

int pool_stat(rados_ioctx_t io, struct rados_pool_stat_t* stat) {
  auto reply = ask(io, "pool.stat", Json::object());
  if (reply.error != 0) return result_of(reply.error);
  memset(stat, 0, sizeof *stat);
  try {
    stat->num_bytes = reply.result->at("bytes").get<uint64_t>();
    stat->num_kb = (stat->num_bytes + 1023) >> 10;
    stat->num_objects = stat->num_object_copies = reply.result->at("objects").get<uint64_t>();
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
  return 0;
}

// Words each with its NUL; where they do not fit, -ERANGE and in *length what they need.
int put_words(const std::string& words, char* buffer, size_t* length) {
  size_t room = *length;
  *length = words.size();
  if (words.size() > room) return -ERANGE;
  memcpy(buffer, words.data(), words.size());
  return 0;
}

}  // namespace

extern "C" {

int rados_ioctx_create(rados_t handle, const char* pool, rados_ioctx_t* io) {
  if (pool == nullptr || *pool == '\0') {
    return result_of(Cluster::from(handle)->is_connected() ? -ENOENT : -ENOTCONN);
  }
  return open(handle, pool, 0, io);
}

int rados_ioctx_create2(rados_t handle, int64_t pool_id, rados_ioctx_t* io) { return open(handle, "", pool_id, io); }

void rados_ioctx_destroy(rados_ioctx_t io) { cbd::rados::close_ioctx(std::unique_ptr<IoCtx>(from(io))); }

// Null for one that was destroyed.
rados_config_t rados_ioctx_cct(rados_ioctx_t io) {
  Cluster* const cluster = from(io)->cluster;
  return cluster != nullptr ? &cluster->config() : nullptr;
}

// Null for one that was destroyed.
rados_t rados_ioctx_get_cluster(rados_ioctx_t io) { return from(io)->cluster; }

int64_t rados_ioctx_get_id(rados_ioctx_t io) { return static_cast<int64_t>(from(io)->pool_id); }

// The name that the pool has now, -ENOENT where it was deleted; the one it had at opening where nobody can be asked.
int rados_ioctx_get_pool_name(rados_ioctx_t io, char* buffer, unsigned length) {
  auto reply = from(io)->client->call("pool.lookup", {{"id", from(io)->pool_id}});
  if (reply.error == -ENOENT || cbd::rados::is_closed(*from(io))) return result_of(reply.error);
  std::string name = from(io)->pool_name;
  if (reply.error == 0) name = reply.result->value("name", name);
  return put(name, buffer, length);
}

void rados_ioctx_set_namespace(rados_ioctx_t io, const char* name) { from(io)->name_space = name != nullptr ? name : ""; }

int rados_ioctx_get_namespace(rados_ioctx_t io, char* buffer, unsigned length) {
  return put(from(io)->name_space, buffer, length);
}

void rados_ioctx_locator_set_key(rados_ioctx_t io, const char* key) { from(io)->locator_key = key != nullptr ? key : ""; }

void rados_ioctx_snap_set_read(rados_ioctx_t io, rados_snap_t snap) { from(io)->read_snap = snap; }

// They let deletions through where a cluster or pool is full. Deletions are never held back here.
void rados_set_osdmap_full_try(rados_ioctx_t) {}
void rados_unset_osdmap_full_try(rados_ioctx_t) {}
void rados_set_pool_full_try(rados_ioctx_t) {}
void rados_unset_pool_full_try(rados_ioctx_t) {}

int rados_ioctx_pool_stat(rados_ioctx_t io, struct rados_pool_stat_t* stat) { return pool_stat(io, stat); }

// auids are long gone from Ceph too: this is what it answers.
int rados_ioctx_pool_set_auid(rados_ioctx_t, uint64_t) { return result_of(-EOPNOTSUPP); }

int rados_ioctx_pool_get_auid(rados_ioctx_t, uint64_t*) { return result_of(-EOPNOTSUPP); }

// Only erasure-coded pools ask for alignment.
int rados_ioctx_pool_requires_alignment(rados_ioctx_t) { return 0; }

int rados_ioctx_pool_requires_alignment2(rados_ioctx_t, int* required) {
  *required = 0;
  return 0;
}

uint64_t rados_ioctx_pool_required_alignment(rados_ioctx_t) { return 0; }

int rados_ioctx_pool_required_alignment2(rados_ioctx_t, uint64_t* alignment) {
  *alignment = 0;
  return 0;
}

int rados_application_enable(rados_ioctx_t io, const char* app, int force) {
  return result_of(ask(io, "pool.app.enable", {{"app", app}, {"force", force != 0}}).error);
}

int rados_application_list(rados_ioctx_t io, char* values, size_t* length) {
  auto reply = ask(io, "pool.app.list", Json::object());
  if (reply.error != 0) return result_of(reply.error);
  std::string words;
  try {
    for (const Json& app : reply.result->at("apps")) words += app.get<std::string>() + '\0';
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
  return result_of(put_words(words, values, length));
}

int rados_application_metadata_get(rados_ioctx_t io, const char* app, const char* key, char* value, size_t* length) {
  auto reply = ask(io, "pool.app.get", {{"app", app}, {"key", key}});
  if (reply.error != 0) return result_of(reply.error);
  try {
    return result_of(put_words(reply.result->at("value").get<std::string>() + '\0', value, length));
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
}

int rados_application_metadata_set(rados_ioctx_t io, const char* app, const char* key, const char* value) {
  return result_of(ask(io, "pool.app.set", {{"app", app}, {"key", key}, {"value", value}}).error);
}

int rados_application_metadata_remove(rados_ioctx_t io, const char* app, const char* key) {
  return result_of(ask(io, "pool.app.remove", {{"app", app}, {"key", key}}).error);
}

int rados_application_metadata_list(rados_ioctx_t io, const char* app, char* keys, size_t* keys_length, char* values,
                                    size_t* values_length) {
  auto reply = ask(io, "pool.app.metadata", {{"app", app}});
  if (reply.error != 0) return result_of(reply.error);
  std::string all_keys, all_values;
  try {
    for (auto& [key, value] : reply.result->at("metadata").items()) {
      all_keys += key + '\0';
      all_values += value.get<std::string>() + '\0';
    }
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
  bool fits = all_keys.size() <= *keys_length && all_values.size() <= *values_length;
  if (fits) {
    memcpy(keys, all_keys.data(), all_keys.size());
    memcpy(values, all_values.data(), all_values.size());
  }
  *keys_length = all_keys.size();
  *values_length = all_values.size();
  return fits ? 0 : result_of(-ERANGE);
}

}  // extern "C"
