#include "ceph/clusters.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "control/fork.h"

namespace cbd::ceph {

namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

// How many forks lie between this process and the one that loaded us. What the real library made under
// another count than the present one belongs to a parent: its threads do not exist here, so that touching it
// would wait for ever.
std::atomic<unsigned> generation{0};

// A real rados_t, connected. Shut down with its last user: the rados_t of ours, or an image that outlives that.
class Connection {
 public:
  Connection(rados_t handle) : handle_(handle), generation_(generation) {}
  ~Connection() {
    if (generation_ == generation) rados()->rados_shutdown(handle_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  rados_t handle() const { return handle_; }

 private:
  const rados_t handle_;
  const unsigned generation_;
};

// What one rados_t of ours has to do with real clusters.
struct Side {
  Options options;
  // By connection_key(). They stay until the rados_t is shut down, as the real library's own does; in a child of fork() the parent's
  // are of no use and do nothing when they go.
  std::map<std::string, std::shared_ptr<Connection>> connections;
};

class Sides : public control::ForkAware {
 public:
  std::mutex mutex;  // guards `sides`; held for moments, never while the real library is called to connect
  std::map<rados_t, Side> sides;

  void before_fork() override { mutex.lock(); }
  void after_fork_in_parent() override { mutex.unlock(); }
  void after_fork_in_child() override {
    generation.fetch_add(1);
    mutex.unlock();
  }
};

std::atomic<Sides*> existing{nullptr};

// Made at first need, and never destroyed: a host may fork while its static objects are being destroyed.
Sides& all() {
  static Sides* const instance = [] {
    auto* made = new Sides;
    control::register_for_fork(made);
    existing = made;
    return made;
  }();
  return *instance;
}

std::string connection_key(const rados::CephPool& pool) {
  return std::to_string(generation.load()) + '\n' + pool.conf + '\n' + pool.user + '\n' + pool.keyring;
}

bool concerns_ceph(const std::string& option) {
  return option.starts_with("rbd_") || option.starts_with("rados_") || option.starts_with("objecter_") ||
         option == "client_mount_timeout";
}

// Makes a rados_t as the mapping says and connects it. Returns 0 or the real library's error.
int connect(const rados::CephPool& pool, const Options& options, rados_t& made) {
  const RadosFunctions& real = *rados();
  rados_t cluster = nullptr;
  const char* const user = pool.user.empty() ? nullptr : pool.user.c_str();
  const bool is_whole_name = pool.user.find('.') != std::string::npos;
  int r = is_whole_name ? real.rados_create2(&cluster, "ceph", user, 0) : real.rados_create(&cluster, user);
  if (r < 0) return r;
  r = real.rados_conf_read_file(cluster, pool.conf.empty() ? nullptr : pool.conf.c_str());
  if (r >= 0 && !pool.keyring.empty()) r = real.rados_conf_set(cluster, "keyring", pool.keyring.c_str());
  if (r >= 0) {
    // An option that its release does not have is no reason to refuse the pool.
    for (const auto& [name, value] : options) real.rados_conf_set(cluster, name.c_str(), value.c_str());
    r = real.rados_connect(cluster);
  }
  if (r < 0) {
    real.rados_shutdown(cluster);
    return r;
  }
  made = cluster;
  return 0;
}

// The connection that `cluster` has for `pool`, or a new one.
int connection_for(rados_t cluster, const rados::CephPool& pool, std::shared_ptr<Connection>& out) {
  if (rados() == nullptr) return -ENOPKG;
  const std::string key = connection_key(pool);
  Options options;
  {
    std::lock_guard lock(all().mutex);
    Side& side = all().sides[cluster];
    if ((out = side.connections[key])) return 0;
    options = side.options;
  }
  rados_t made = nullptr;
  const int r = connect(pool, options, made);
  if (r < 0) return r;
  auto connection = std::make_shared<Connection>(made);
  std::lock_guard lock(all().mutex);
  std::shared_ptr<Connection>& known = all().sides[cluster].connections[key];
  if (known == nullptr) known = connection;  // else another thread was faster; ours ends when the lock is free again
  out = known;
  return 0;
}

class ConnectedPool : public Pool {
 public:
  ConnectedPool(rados_t cluster, std::shared_ptr<const rados::CephPool> mapping)
      : cluster_(cluster), mapping_(std::move(mapping)) {}

  ~ConnectedPool() override {
    if (!inherited() && ioctx_ != nullptr) rados()->rados_ioctx_destroy(ioctx_);
    if (inherited()) abandon();
  }

  int open() {
    std::shared_ptr<Connection> connection;
    int r = connection_for(cluster_, *mapping_, connection);
    if (r < 0) return r;
    const std::string& name = mapping_->pool;
    rados_ioctx_t made = nullptr;
    r = rados()->rados_ioctx_create(connection->handle(), name.c_str(), &made);
    if (r < 0) return r;
    if (!name_space_.empty()) rados()->rados_ioctx_set_namespace(made, name_space_.c_str());
    connection_ = std::move(connection);
    ioctx_ = made;
    generation_.store(generation(), std::memory_order_release);
    return 0;
  }

  void* ioctx() override {
    if (!inherited()) return ioctx_;
    std::lock_guard lock(mutex_);
    if (!inherited()) return ioctx_;
    abandon();
    return open() < 0 ? nullptr : ioctx_;
  }

  void set_namespace(const char* name) override {
    void* const io = ioctx();
    name_space_ = name != nullptr ? name : "";
    if (io != nullptr) rados()->rados_ioctx_set_namespace(io, name_space_.c_str());
  }

  unsigned generation() const override { return ceph::generation.load(std::memory_order_relaxed); }

 private:
  // Whether ioctx_ is a parent's.
  bool inherited() const { return generation_.load(std::memory_order_acquire) != generation(); }

  // Forgets the parent's handles without touching them.
  void abandon() {
    ioctx_ = nullptr;
    connection_.reset();
  }

  const rados_t cluster_;
  const std::shared_ptr<const rados::CephPool> mapping_;
  std::string name_space_;
  std::mutex mutex_;  // held while a child connects anew; guards what follows from the moment that the pool
                      // is shared
  std::shared_ptr<Connection> connection_;
  rados_ioctx_t ioctx_ = nullptr;
  std::atomic<unsigned> generation_{0};  // the one that ioctx_ belongs to
};

}  // namespace

int connect_pool(rados_t cluster, rados_ioctx_t io) {
  auto* const context = static_cast<rados::IoCtx*>(io);
  if (context->ceph_pool == nullptr) return 0;
  all();  // from here on a fork is noticed
  auto pool = std::make_shared<ConnectedPool>(cluster, context->ceph_pool);
  const int r = pool->open();
  if (r < 0) return r;
  if (!context->name_space.empty()) pool->set_namespace(context->name_space.c_str());
  context->ceph = std::move(pool);
  return 0;
}

void remember_option(rados_t cluster, const char* name, const char* value) {
  std::string plain = name;
  std::replace(plain.begin(), plain.end(), ' ', '_');
  if (!concerns_ceph(plain)) return;
  {
    std::lock_guard lock(all().mutex);
    all().sides[cluster].options.emplace_back(plain, value);
  }
  for (const auto& real : real_clusters(cluster)) rados()->rados_conf_set(real.get(), plain.c_str(), value);
}

RealClusters real_clusters(rados_t cluster) {
  RealClusters connected;
  Sides* const sides = existing;
  if (sides == nullptr) return connected;
  const std::string ours = std::to_string(generation.load()) + '\n';
  std::lock_guard lock(sides->mutex);
  const auto side = sides->sides.find(cluster);
  if (side == sides->sides.end()) return connected;
  for (const auto& [key, known] : side->second.connections) {
    if (!key.starts_with(ours)) continue;
    if (known != nullptr) connected.emplace_back(known, known->handle());
  }
  return connected;
}

void forget_cluster(rados_t cluster) {
  Sides* const sides = existing;
  if (sides == nullptr) return;
  Side gone;  // its connections end when the lock is free again
  std::lock_guard lock(sides->mutex);
  const auto side = sides->sides.find(cluster);
  if (side == sides->sides.end()) return;
  gone = std::move(side->second);
  sides->sides.erase(side);
}

}  // namespace cbd::ceph
