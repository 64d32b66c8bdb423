#include "rados/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "control/keyless.h"
#include "rados/keyring.h"
#include "rados/object_call.h"
#include "rados/watch.h"

namespace cbd::rados {

namespace {

constexpr const char* default_socket = "/run/cbd2rbd/cbd2rbd.sock";

}  // namespace

Cluster::Cluster(std::shared_ptr<Config> config)
    : config_(std::move(config)), session_(std::make_shared<control::Session>()) {
  control::register_for_fork(this);
}

// The session ends here, also where an ioctx or an image still holds it: their calls give -ENOTCONN from then on.
Cluster::~Cluster() {
  Watches::all().drop(session_.get());
  session_->close();
  control::unregister_for_fork(this);
}

int Cluster::connect() {
  if (is_connected()) return -EISCONN;
  control::SessionOptions options;
  config_->get("cbd2rbd_socket", options.socket_path);
  const char* variable = getenv("CBD2RBD_SOCKET");
  if (options.socket_path.empty()) options.socket_path = variable != nullptr ? variable : default_socket;
  options.entity = config_->entity();
  options.config = [config = config_](const std::string& name, std::string& value) { return config->get(name, value); };
  std::string socket_path = options.socket_path;
  std::string why;
  int error = find_secret(*config_, options.secret, why);
  if (error != 0) {
    report(options.entity + " has no key: " + why);
    control::tell_keyless(socket_path, options.entity, why);
    return error;
  }
  const bool is_keyless = options.secret.empty();
  control::Welcome welcome;
  error = session_->connect(std::move(options), welcome);
  if (error == -EISCONN) return error;
  if (error == -ENOENT && is_keyless) control::tell_keyless(socket_path, config_->entity(), why);
  if (error != 0) {
    report("no session with the daemon at " + socket_path + " as " + config_->entity() + ": " + strerror(-error));
    return error;
  }
  for (auto& [name, value] : welcome.config) config_->set(name, value, Config::central);
  config_->set("fsid", welcome.fsid, Config::central);
  config_->freeze();
  std::lock_guard lock(mutex_);
  connected_ = true;
  fsid_ = welcome.fsid;
  return 0;
}

bool Cluster::is_connected() {
  std::lock_guard lock(mutex_);
  return connected_;
}

int Cluster::register_service() {
  std::lock_guard lock(mutex_);
  return std::exchange(service_registered_, true) ? -EEXIST : 0;
}

std::string Cluster::fsid() {
  std::lock_guard lock(mutex_);
  return connected_ ? fsid_ : "00000000-0000-0000-0000-000000000000";
}

control::Reply Cluster::call(const char* method, control::Json params) {
  if (!is_connected()) return {-ENOTCONN, "not connected", nullptr, {}};
  return session_->call(method, std::move(params), 0, {});
}

int Cluster::open(const std::string& pool, int64_t id, IoCtx*& io) {
  if (pool.empty() && id < 0) return is_connected() ? -ENOENT : -ENOTCONN;
  control::Json params;
  if (pool.empty()) {
    params["id"] = id;
  } else {
    params["name"] = pool;
  }
  auto reply = call("pool.lookup", std::move(params));
  if (reply.error != 0) return reply.error;
  try {
    auto context = std::make_unique<IoCtx>();
    context->client = session_;
    context->pool_id = reply.result->at("id").get<uint64_t>();
    context->pool_name = reply.result->at("name").get<std::string>();
    context->cluster = this;
    context->objects = std::make_shared<ObjectTraffic>();
    if (reply.result->value("backend", "") == "ceph") {
      const control::Json& real = reply.result->at("ceph");
      context->ceph_pool = std::make_shared<CephPool>(CephPool{real.value("conf", ""), real.value("user", ""),
                                                               real.value("keyring", ""), real.value("pool", "")});
    }
    io = context.release();
  } catch (const control::Json::exception&) {
    return -EPROTO;
  }
  return 0;
}

// The host's stderr is the host's: only what its own options ask for goes there.
void Cluster::report(const std::string& message) const {
  std::string value;
  if (!config_->get("log_to_stderr", value) || value != "true") return;
  std::string line = "cbd2rbd: " + message + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nobody to tell
}

}  // namespace cbd::rados
