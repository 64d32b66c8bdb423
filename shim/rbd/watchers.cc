// See watchers.h; and the C functions of update and quiesce watchers.
#include "rbd/watchers.h"

#include <cerrno>
#include <chrono>

#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

uint64_t Watchers::add_update(rbd_update_callback_t changed, void* arg) {
  std::lock_guard<std::mutex> guard(lock_);
  Watcher& watcher = watchers_[next_handle_];
  watcher.changed = changed;
  watcher.arg = arg;
  return next_handle_++;
}

uint64_t Watchers::add_quiesce(rbd_update_callback_t quiesce, rbd_update_callback_t unquiesce, void* arg) {
  std::lock_guard<std::mutex> guard(lock_);
  Watcher& watcher = watchers_[next_handle_];
  watcher.quiesce = quiesce;
  watcher.unquiesce = unquiesce;
  watcher.arg = arg;
  return next_handle_++;
}

int Watchers::remove(uint64_t handle) {
  std::unique_lock<std::mutex> guard(lock_);
  if (watchers_.erase(handle) == 0) return -EINVAL;
  changed_.notify_all();
  changed_.wait(guard, [&] { return running_ != handle || running_on_ == std::this_thread::get_id(); });
  return 0;
}

std::vector<uint64_t> Watchers::handles(rbd_update_callback_t Watcher::*callback) {
  std::lock_guard<std::mutex> guard(lock_);
  std::vector<uint64_t> found;
  for (const auto& [handle, watcher] : watchers_) {
    if (watcher.*callback != nullptr) found.push_back(handle);
  }
  return found;
}

void Watchers::run(uint64_t handle, rbd_update_callback_t Watcher::*callback) {
  std::unique_lock<std::mutex> guard(lock_);
  changed_.wait(guard, [&] { return running_ == 0; });
  auto found = watchers_.find(handle);
  if (found == watchers_.end()) return;
  rbd_update_callback_t function = found->second.*callback;
  void* arg = found->second.arg;
  running_ = handle;
  running_on_ = std::this_thread::get_id();
  guard.unlock();
  function(arg);
  guard.lock();
  running_ = 0;
  running_on_ = {};
  changed_.notify_all();
}

void Watchers::notify_update() {
  for (uint64_t handle : handles(&Watcher::changed)) run(handle, &Watcher::changed);
}

int Watchers::quiesce(uint32_t timeout_ms) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::vector<uint64_t> all = handles(&Watcher::quiesce);
  {
    std::lock_guard<std::mutex> guard(lock_);
    for (auto& [handle, watcher] : watchers_) {
      watcher.is_awaited = watcher.quiesce != nullptr;
      watcher.result = 0;
    }
  }
  for (uint64_t handle : all) run(handle, &Watcher::quiesce);
  std::unique_lock<std::mutex> guard(lock_);
  auto all_done = [&] {
    for (const auto& [handle, watcher] : watchers_) {
      if (watcher.is_awaited) return false;
    }
    return true;
  };
  if (!changed_.wait_until(guard, deadline, all_done)) return -ETIMEDOUT;
  for (const auto& [handle, watcher] : watchers_) {
    if (watcher.result != 0) return watcher.result;
  }
  return 0;
}

bool Watchers::listens() { return !handles(&Watcher::quiesce).empty(); }

void Watchers::unquiesce() {
  for (uint64_t handle : handles(&Watcher::unquiesce)) run(handle, &Watcher::unquiesce);
}

void Watchers::quiesce_done(uint64_t handle, int result) {
  std::lock_guard<std::mutex> guard(lock_);
  auto found = watchers_.find(handle);
  if (found == watchers_.end() || !found->second.is_awaited) return;
  found->second.is_awaited = false;
  found->second.result = result;
  changed_.notify_all();
}

}  // namespace cbd::rbd

using cbd::rbd::guarded;
using cbd::rbd::Image;

extern "C" {

// `watch_cb` runs on a thread of the library's own after each change of the image's size, name, snapshots or metadata,
// whoever made it.
int rbd_update_watch(rbd_image_t image, uint64_t* handle, rbd_update_callback_t watch_cb, void* arg) {
  return guarded([&] {
    if (image == nullptr || handle == nullptr || watch_cb == nullptr) return -EINVAL;
    *handle = Image::from(image)->watchers().add_update(watch_cb, arg);
    return 0;
  });
}

int rbd_update_unwatch(rbd_image_t image, uint64_t handle) {
  if (image == nullptr) return -EINVAL;
  return Image::from(image)->watchers().remove(handle);
}

// `quiesce_cb` runs before a snapshot is taken; the snapshot waits until rbd_quiesce_complete.
int rbd_quiesce_watch(rbd_image_t image, rbd_update_callback_t quiesce_cb, rbd_update_callback_t unquiesce_cb,
                      void* arg, uint64_t* handle) {
  return guarded([&] {
    if (image == nullptr || handle == nullptr || quiesce_cb == nullptr || unquiesce_cb == nullptr) return -EINVAL;
    Image& to = *Image::from(image);
    *handle = to.watchers().add_quiesce(quiesce_cb, unquiesce_cb, arg);
    to.tell_listens();
    return 0;
  });
}

void rbd_quiesce_complete(rbd_image_t image, uint64_t handle, int r) {
  if (image != nullptr) Image::from(image)->watchers().quiesce_done(handle, r);
}

int rbd_quiesce_unwatch(rbd_image_t image, uint64_t handle) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    Image& from = *Image::from(image);
    const int error = from.watchers().remove(handle);
    if (error == 0) from.tell_listens();
    return error;
  });
}

}  // extern "C"
