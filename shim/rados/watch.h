// Watches of objects: the daemon calls them, they call the user. Kept by the handle that the user got (the C ABI's cookie).
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "abi/ceph_api.h"
#include "rados/object_call.h"

namespace cbd::rados {

class Watch final : public control::Listener, public std::enable_shared_from_this<Watch> {
 public:
  struct Callbacks {
    rados_watchcb_t simple = nullptr;  // the old form: acknowledged by itself
    rados_watchcb2_t notified = nullptr;
    rados_watcherrcb_t failed = nullptr;
    void* argument = nullptr;
  };

  // May be called by the daemon once it has been asked for with request().
  static std::shared_ptr<Watch> make(const IoCtx& io, std::string object, const Callbacks& callbacks);
  ~Watch() override { client_->remove_listener(handle()); }

  uint64_t handle() const { return handle_.load(); }
  // The parameters by which the daemon knows the watch.
  Json request() const;
  // 0, or why it is broken.
  int error();
  // What the user answers to a notification; false where none of that number waits.
  bool acknowledge(uint64_t notify_id, std::string payload);

  void on_call(const std::string& method, const Json& params, std::vector<UniqueFd> fds,
               std::function<void(int, Json)> answer) override;
  void on_reconnect() override;

 private:
  Watch(const IoCtx& io, std::string object, const Callbacks& callbacks);
  void fail(int error);

  const std::shared_ptr<control::Client> client_;
  const Json at_;
  const std::string object_;
  const Callbacks callbacks_;
  std::atomic<uint64_t> handle_{0};  // 0 until the listener is known
  std::mutex mutex_;  // guards the rest; never held in a callback
  int error_ = 0;
  std::map<uint64_t, std::function<void(int, Json)>> waiting_;  // by notification
};

// Every watch of this process.
class Watches final : public control::ForkAware {
 public:
  static Watches& all();
  void put(const IoCtx& io, std::shared_ptr<Watch> watch);
  // Null where there is none of this handle on the client.
  std::shared_ptr<Watch> find(const IoCtx& io, uint64_t handle);
  std::shared_ptr<Watch> take(const IoCtx& io, uint64_t handle);
  // The client ends: so do its watches.
  void drop(const control::Client* client);
  // Returns when every callback that runs has returned, save on the calling thread.
  void flush();
  void begin_callback();
  void end_callback();

  void before_fork() override { mutex_.lock(); }
  void after_fork_in_parent() override { mutex_.unlock(); }
  // The parent's callbacks end in the parent.
  void after_fork_in_child() override {
    running_ = 0;
    mutex_.unlock();
  }

 private:
  Watches() { control::register_for_fork(this); }
  using Key = std::pair<const control::Client*, uint64_t>;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::map<Key, std::shared_ptr<Watch>> watches_;
  unsigned running_ = 0;  // callbacks
};

// The answer of a notification as librados lays it out: counts and entries, little-endian. In memory of malloc().
int encode_notify_answer(const Json& answer, char** buffer, size_t* length);

}  // namespace cbd::rados
