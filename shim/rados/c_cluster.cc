// The C functions on rados_t: making one, configuring it, connecting, what the cluster is.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nlohmann/json.hpp>

#include "rados/cluster.h"
#include "rados/contexts.h"

using cbd::control::Json;
using cbd::rados::Cluster;
using cbd::rados::Config;
using cbd::rados::result_of;

namespace {

int make(rados_t* handle, std::shared_ptr<Config> config) {
  *handle = new Cluster(std::move(config));
  return 0;
}

std::shared_ptr<Config> new_config(std::string cluster, std::string type, std::string id) {
  auto config = std::make_shared<Config>(std::move(cluster), std::move(type), std::move(id));
  config->parse_environment(nullptr);
  cbd::rados::remember_context(config);
  return config;
}

// "client.cinder": one of Ceph's kinds of entity, a dot, a name.
bool split_entity(const char* name, std::string& type, std::string& id) {
  if (name == nullptr) return false;
  const char* dot = strchr(name, '.');
  if (dot == nullptr) return false;
  type.assign(name, dot);
  id = dot + 1;
  for (const char* known : {"client", "mon", "mds", "osd", "mgr", "auth"}) {
    if (type == known) return true;
  }
  return false;
}

}  // namespace

extern "C" {

void rados_version(int* major, int* minor, int* extra) {
  if (major != nullptr) *major = LIBRADOS_VER_MAJOR;
  if (minor != nullptr) *minor = LIBRADOS_VER_MINOR;
  if (extra != nullptr) *extra = LIBRADOS_VER_EXTRA;
}

int rados_create(rados_t* handle, const char* const id) {
  return make(handle, new_config("", "client", id != nullptr ? id : "admin"));
}

int rados_create2(rados_t* handle, const char* const cluster, const char* const name, uint64_t) {
  std::string type, id;
  if (!split_entity(name, type, id)) return result_of(-EINVAL);
  return make(handle, new_config(cluster != nullptr ? cluster : "", type, id));
}

// A context of ours is shared, as Ceph does. One of the real libceph-common cannot be read here: its owner got it from a
// ceph.conf and the environment, and so do we.
int rados_create_with_context(rados_t* handle, rados_config_t context) {
  if (auto config = cbd::rados::find_context(context)) return make(handle, std::move(config));
  auto config = new_config("", "client", "admin");
  int error = config->read_file(nullptr);
  if (error != 0 && error != -ENOENT) return result_of(error);
  return make(handle, std::move(config));
}

rados_config_t rados_cct(rados_t handle) { return &Cluster::from(handle)->config(); }

int rados_connect(rados_t handle) { return result_of(Cluster::from(handle)->connect()); }

void rados_shutdown(rados_t handle) { delete Cluster::from(handle); }

int rados_conf_read_file(rados_t handle, const char* path) {
  return result_of(Cluster::from(handle)->config().read_file(path));
}

int rados_conf_set(rados_t handle, const char* name, const char* value) {
  if (name == nullptr || *name == '\0' || value == nullptr) return result_of(-EINVAL);
  return result_of(Cluster::from(handle)->config().set(name, value, Config::override_));
}

int rados_conf_get(rados_t handle, const char* name, char* buffer, size_t length) {
  std::string value;
  if (name != nullptr && *name == '\0') return result_of(-EINVAL);
  if (name == nullptr || !Cluster::from(handle)->config().get(name, value)) return result_of(-ENOENT);
  if (value.size() >= length) return result_of(-ENAMETOOLONG);
  memcpy(buffer, value.c_str(), value.size() + 1);
  return 0;
}

int rados_conf_parse_argv_remainder(rados_t handle, int argc, const char** argv, const char** remainder) {
  std::vector<std::string> words(argv, argv + argc);
  int error = Cluster::from(handle)->config().parse_argv(words, Config::command_line);
  if (error != 0) return result_of(error);
  if (remainder == nullptr) return 0;
  // The caller's own pointers, in their order: every word that is left is one of his.
  size_t kept = 0;
  for (int i = 0; i < argc && kept < words.size(); i++) {
    if (words[kept] == argv[i] && static_cast<size_t>(argc - i) >= words.size() - kept) remainder[kept++] = argv[i];
  }
  for (size_t i = kept; i < static_cast<size_t>(argc); i++) remainder[i] = nullptr;
  return 0;
}

int rados_conf_parse_argv(rados_t handle, int argc, const char** argv) {
  return rados_conf_parse_argv_remainder(handle, argc, argv, nullptr);
}

int rados_conf_parse_env(rados_t handle, const char* variable) {
  return result_of(Cluster::from(handle)->config().parse_environment(variable));
}

int rados_cluster_fsid(rados_t handle, char* buffer, size_t length) {
  std::string fsid = Cluster::from(handle)->fsid();
  if (length <= fsid.size()) return result_of(-ERANGE);
  memcpy(buffer, fsid.c_str(), fsid.size() + 1);
  return static_cast<int>(fsid.size());
}

int rados_cluster_stat(rados_t handle, struct rados_cluster_stat_t* stat) {
  auto reply = Cluster::from(handle)->call("cluster.stat", Json::object());
  if (reply.error != 0) return result_of(reply.error);
  try {
    stat->kb = reply.result->at("totalBytes").get<uint64_t>() >> 10;
    stat->kb_used = reply.result->at("usedBytes").get<uint64_t>() >> 10;
    stat->kb_avail = reply.result->at("availBytes").get<uint64_t>() >> 10;
    stat->num_objects = reply.result->at("objects").get<uint64_t>();
  } catch (const Json::exception&) {
    return result_of(-EPROTO);
  }
  return 0;
}

uint64_t rados_get_instance_id(rados_t handle) {
  Cluster* cluster = Cluster::from(handle);
  return cluster->is_connected() ? cluster->client()->instance_id() : 0;
}

int rados_getaddrs(rados_t handle, char** addresses) {
  Cluster* cluster = Cluster::from(handle);
  if (!cluster->is_connected()) return result_of(-ENOTCONN);
  *addresses = strdup(cluster->client()->address().c_str());
  return *addresses != nullptr ? 0 : result_of(-ENOMEM);
}

// There is one map, and who is connected has the latest.
int rados_wait_for_latest_osdmap(rados_t handle) { return Cluster::from(handle)->is_connected() ? 0 : result_of(-ENOTCONN); }

// Ceph's releases by number: what we do not refuse was in the one named.
int rados_get_min_compatible_osd(rados_t handle, int8_t* release) {
  if (!Cluster::from(handle)->is_connected()) return result_of(-ENOTCONN);
  *release = 16;
  return 0;
}

int rados_get_min_compatible_client(rados_t handle, int8_t* minimum, int8_t* required) {
  if (!Cluster::from(handle)->is_connected()) return result_of(-ENOTCONN);
  *minimum = 10;
  *required = 12;
  return 0;
}

}  // extern "C"
