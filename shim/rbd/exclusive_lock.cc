// The C functions of the exclusive lock, as a client manages it, and the list of watchers.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

using namespace cbd::rbd;

extern "C" {

// 1 where this handle wrote last, or acquired the lock.
int rbd_is_exclusive_lock_owner(rbd_image_t image, int* is_owner) {
  return guarded([&] {
    if (image == nullptr || is_owner == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    bool owns = open.owns_lock();
    if (owns) {
      // Another handle's write does not wait until this one has heard that the lock moved there; the daemon knows by now. Where it
      // cannot be asked nobody else can have been given the lock either.
      Reply reply = open.call("image.xlock.owners", Json::object());
      if (reply.error == 0) owns = !reply.result->value("elsewhere", false);
    }
    *is_owner = owns ? 1 : 0;
    return 0;
  });
}

// Until rbd_lock_release nobody else can write. -EOPNOTSUPP for a shared lock, -EINVAL where the image has no exclusive
// lock or the handle only reads, -EROFS while another client holds it.
int rbd_lock_acquire(rbd_image_t image, rbd_lock_mode_t lock_mode) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    if (lock_mode != RBD_LOCK_MODE_EXCLUSIVE) return -EOPNOTSUPP;
    Image& open = *Image::from(image);
    if (open.is_read_only()) return -EINVAL;
    if ((open.state()->features & RBD_FEATURE_EXCLUSIVE_LOCK) != 0) open.manage_lock();
    Reply reply = open.change("image.xlock.acquire", Json::object());
    if (reply.error == 0) open.set_managed_lock(ManagedLock::mine, reply.result->value("serial", uint64_t{0}));
    return reply.error;
  });
}

// -EINVAL where this handle does not hold it.
int rbd_lock_release(rbd_image_t image) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    Reply reply = open.change("image.xlock.release", Json::object());
    if (reply.error == 0) open.forget_lock(reply.result->value("serial", uint64_t{0}));
    return reply.error;
  });
}

// -ENOENT where nobody does, -EINVAL where the image has no exclusive lock or the handle only
// reads; -ERANGE with the number in *max_lock_owners.
int rbd_lock_get_owners(rbd_image_t image, rbd_lock_mode_t* lock_mode, char** lock_owners, size_t* max_lock_owners) {
  return guarded([&] {
    clear(lock_owners, max_lock_owners);
    if (image == nullptr || lock_mode == nullptr || max_lock_owners == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    if (open.is_read_only() || (open.state()->features & RBD_FEATURE_EXCLUSIVE_LOCK) == 0) return -EINVAL;
    Reply reply = open.call("image.xlock.owners", Json::object());
    if (reply.error != 0) return reply.error;
    const Json& owners = reply.result->at("owners");
    if (owners.empty()) return -ENOENT;
    const size_t room = *max_lock_owners;
    *max_lock_owners = owners.size();
    *lock_mode = RBD_LOCK_MODE_EXCLUSIVE;
    if (room < owners.size()) return -ERANGE;
    if (lock_owners == nullptr) return -EINVAL;
    for (size_t i = 0; i < owners.size(); i++) lock_owners[i] = duplicate(owners[i].at("address").get<std::string>());
    return 0;
  });
}

void rbd_lock_get_owners_cleanup(char** lock_owners, size_t lock_owner_count) {
  for (size_t i = 0; i < lock_owner_count; i++) free(lock_owners[i]);
}

// -EOPNOTSUPP for a shared lock, -ENOENT where nobody holds it, -EBUSY where `lock_owner` is not who holds it.
int rbd_lock_break(rbd_image_t image, rbd_lock_mode_t lock_mode, const char* lock_owner) {
  return guarded([&] {
    if (image == nullptr || lock_owner == nullptr) return -EINVAL;
    if (lock_mode != RBD_LOCK_MODE_EXCLUSIVE) return -EOPNOTSUPP;
    Image& open = *Image::from(image);
    return open.change("image.xlock.break", open.with_fencing({{"owner", lock_owner}})).error;
  });
}

// Who has the image open for writing. -ERANGE with the number in *max_watchers.
int rbd_watchers_list(rbd_image_t image, rbd_image_watcher_t* watchers, size_t* max_watchers) {
  return guarded([&] {
    clear(watchers, max_watchers);
    if (image == nullptr || max_watchers == nullptr) return -EINVAL;
    Reply reply = Image::from(image)->call("image.watchers", Json::object());
    if (reply.error != 0) return reply.error;
    const Json& found = reply.result->at("watchers");
    const size_t room = *max_watchers;
    *max_watchers = found.size();
    if (room < found.size()) return -ERANGE;
    if (watchers == nullptr && !found.empty()) return -EINVAL;
    for (size_t i = 0; i < found.size(); i++) {
      watchers[i].addr = duplicate(found[i].at("address").get<std::string>());
      watchers[i].id = found[i].at("id").get<int64_t>();
      watchers[i].cookie = found[i].at("cookie").get<uint64_t>();
    }
    return 0;
  });
}

void rbd_watchers_list_cleanup(rbd_image_watcher_t* watchers, size_t num_watchers) {
  for (size_t i = 0; i < num_watchers; i++) free(watchers[i].addr);
}

}  // extern "C"
