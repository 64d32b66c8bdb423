// rados_t: a configuration and, once connected, the session that everything opened through it shares.
#pragma once

#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "abi/ceph_api.h"
#include "control/session.h"
#include "rados/config.h"
#include "rados/handles.h"

namespace cbd::rados {

class Cluster final : public control::ForkAware {
 public:
  explicit Cluster(std::shared_ptr<Config> config);
  ~Cluster();
  static Cluster* from(rados_t handle) { return static_cast<Cluster*>(handle); }

  Config& config() { return *config_; }

  // 0, -EISCONN, -EINVAL (the key is none), or what control::Session::connect gives.
  int connect();
  bool is_connected();
  std::string fsid();
  // -EEXIST the second time.
  int register_service();
  // -ENOTCONN before connect().
  control::Reply call(const char* method, control::Json params);
  std::shared_ptr<control::Client> client() { return session_; }

  // "" pool: by id. 0, -ENOENT, -ENOTCONN.
  int open(const std::string& pool, int64_t id, IoCtx*& io);

  void before_fork() override { mutex_.lock(); }
  void after_fork_in_parent() override { mutex_.unlock(); }
  void after_fork_in_child() override { mutex_.unlock(); }

 private:
  void report(const std::string& message) const;

  std::shared_ptr<Config> config_;
  std::shared_ptr<control::Session> session_;
  std::mutex mutex_;  // guards the rest
  bool connected_ = false;
  bool service_registered_ = false;
  std::string fsid_;
};

// How a C function ends: errno is set as the result says, for the callers that look there (libvirt does).
inline int result_of(int error) {
  if (error < 0) errno = -error;
  return error;
}

// Whether a pool can have this number at all; others are nobody's, and no question for the daemon.
constexpr bool may_be_pool_id(int64_t id) { return id > 0 && id < (int64_t{1} << 53); }

}  // namespace cbd::rados
