// The callbacks that a client registered for changes of an image (rbd_update_watch) and for its quiescing
// (rbd_quiesce_watch). Knows nothing of images.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "abi/ceph_api.h"

namespace cbd::rbd {

class Watchers {
 public:
  // Returns the watcher's handle. Throws bad_alloc.
  uint64_t add_update(rbd_update_callback_t changed, void* arg);
  uint64_t add_quiesce(rbd_update_callback_t quiesce, rbd_update_callback_t unquiesce, void* arg);
  // Returns 0 when its callbacks do not run any more (save on the calling thread); -EINVAL for an unknown handle.
  int remove(uint64_t handle);

  // Runs the update callbacks, one after the other, on the calling thread.
  void notify_update();
  // Runs the quiesce callbacks and waits until each watcher has said that it is done, or `timeout_ms` is over.
  // Returns 0, the first error that a watcher gave, or -ETIMEDOUT.
  int quiesce(uint32_t timeout_ms);
  void unquiesce();
  // Whether there is a quiesce watcher.
  bool listens();
  // What rbd_quiesce_complete says.
  void quiesce_done(uint64_t handle, int result);

  // Around a fork(): what the lock guards is whole in the child.
  void before_fork() { lock_.lock(); }
  void after_fork() { lock_.unlock(); }

 private:
  struct Watcher {
    rbd_update_callback_t changed = nullptr;
    rbd_update_callback_t quiesce = nullptr;
    rbd_update_callback_t unquiesce = nullptr;
    void* arg = nullptr;
    bool is_awaited = false;  // its quiesce callback ran and rbd_quiesce_complete has not been called
    int result = 0;
  };
  void run(uint64_t handle, rbd_update_callback_t Watcher::*callback);
  std::vector<uint64_t> handles(rbd_update_callback_t Watcher::*callback);

  std::mutex lock_;  // guards all below; never held in a callback
  std::condition_variable changed_;
  std::map<uint64_t, Watcher> watchers_;
  uint64_t next_handle_ = 1;
  uint64_t running_ = 0;  // whose callback runs, 0 for none
  std::thread::id running_on_;
};

}  // namespace cbd::rbd
