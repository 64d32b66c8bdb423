// The C functions that make, remove, rename, protect and list snapshots.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/json_numbers.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

// Runs `body(image)` on an image that can be changed. librbd lets a handle at a snapshot make snapshots of the head.
template <class Body>
int with_writable(rbd_image_t handle, Body&& body) {
  return guarded([&]() -> int {
    if (handle == nullptr) return -EINVAL;
    Image& image = *Image::from(handle);
    if (image.state()->read_only && !image.state()->snap_id) return -EROFS;
    return body(image);
  });
}

int call_named(rbd_image_t handle, const char* method, const char* name) {
  return with_writable(handle, [&](Image& image) {
    return name == nullptr ? -EINVAL : image.change(method, {{"name", name}}).error;
  });
}

// Runs `body(image, snapshot)` on a snapshot of the user's namespace, by name.
template <class Body>
int with_snap(rbd_image_t handle, const char* name, Body&& body) {
  return guarded([&]() -> int {
    if (handle == nullptr || name == nullptr) return -EINVAL;
    auto state = Image::from(handle)->state();
    const SnapState* snap = find_snap(*state, std::string(name));
    return snap == nullptr ? -ENOENT : body(*snap);
  });
}

template <class Body>
int with_snap_id(rbd_image_t handle, uint64_t id, Body&& body) {
  return guarded([&]() -> int {
    if (handle == nullptr) return -EINVAL;
    auto state = Image::from(handle)->state();
    const SnapState* snap = find_snap(*state, id);
    return snap == nullptr ? -ENOENT : body(*snap);
  });
}

// librbd finds out under the automatic lock, which it takes for the object map, that a snapshot is protected: the lock comes though nothing is
// removed.
int remove_snap(Image& image, Json params, const std::function<int(uint64_t, uint64_t)>& progress) {
  const int error = image.change("snap.remove", std::move(params), progress).error;
  if (error == -EBUSY && (image.state()->features & RBD_FEATURE_FAST_DIFF) != 0) image.take_free_lock();
  return error;
}

int set_snap(rbd_image_t handle, const Json& id) {
  Image& image = *Image::from(handle);
  // The head leaves the handle's chain: what was written to it must be on its volume before.
  if (int error = image.flush_head()) return error;
  Reply reply = image.call("image.snap", {{"snapId", id}});
  if (reply.error != 0) return reply.error;
  if (!id.is_null()) image.forget_lock(0);
  return image.take(reply);
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_snap_create(rbd_image_t image, const char* snapname) {
  return rbd_snap_create2(image, snapname, 0, nullptr, nullptr);
}

// -EEXIST, -EROFS, -EDQUOT; -EINVAL for unknown flags.
int rbd_snap_create2(rbd_image_t image, const char* snap_name, uint32_t flags, librbd_progress_fn_t cb, void* cbdata) {
  return with_writable(image, [&](Image& open) {
    constexpr uint32_t known = RBD_SNAP_CREATE_SKIP_QUIESCE | RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR;
    if (snap_name == nullptr || (flags & ~known) != 0) return -EINVAL;
    return open.change("snap.create", {{"name", snap_name}, {"flags", flags}}, progress(cb, cbdata)).error;
  });
}

// -ENOENT, -EBUSY while it is protected or has children.
int rbd_snap_remove(rbd_image_t image, const char* snapname) {
  return with_writable(image, [&](Image& open) { return snapname == nullptr ? -EINVAL : remove_snap(open, {{"name", snapname}}, {}); });
}

// With RBD_SNAP_REMOVE_UNPROTECT and _FLATTEN it is unprotected and its children flattened first.
int rbd_snap_remove2(rbd_image_t image, const char* snap_name, uint32_t flags, librbd_progress_fn_t cb, void* cbdata) {
  return with_writable(image, [&](Image& open) {
    if (snap_name == nullptr || (flags & ~static_cast<uint32_t>(RBD_SNAP_REMOVE_FORCE)) != 0) return -EINVAL;
    Json params = {{"name", snap_name},
                   {"unprotect", (flags & RBD_SNAP_REMOVE_UNPROTECT) != 0},
                   {"flatten", (flags & RBD_SNAP_REMOVE_FLATTEN) != 0}};
    return remove_snap(open, std::move(params), progress(cb, cbdata));
  });
}

int rbd_snap_remove_by_id(rbd_image_t image, uint64_t snap_id) {
  return with_writable(image, [&](Image& open) {
    return snap_id > kMaxWireNumber ? -ENOENT : remove_snap(open, {{"id", snap_id}}, {});
  });
}

// -ENOENT, -EEXIST.
int rbd_snap_rename(rbd_image_t image, const char* snapname, const char* dstsnapsname) {
  return with_writable(image, [&](Image& open) {
    if (snapname == nullptr || dstsnapsname == nullptr) return -EINVAL;
    return open.change("snap.rename", {{"name", snapname}, {"to", dstsnapsname}}).error;
  });
}

// -ENOENT; -EBUSY where it is protected already.
int rbd_snap_protect(rbd_image_t image, const char* snap_name) { return call_named(image, "snap.protect", snap_name); }

// -ENOENT; -EINVAL where it is not protected; -EBUSY while it has children.
int rbd_snap_unprotect(rbd_image_t image, const char* snap_name) {
  return call_named(image, "snap.unprotect", snap_name);
}

int rbd_snap_is_protected(rbd_image_t image, const char* snap_name, int* is_protected) {
  return with_snap(image, snap_name, [&](const SnapState& snap) {
    *is_protected = snap.is_protected ? 1 : 0;
    return 0;
  });
}

int rbd_snap_exists(rbd_image_t image, const char* snapname, bool* exists) {
  int error = with_snap(image, snapname, [](const SnapState&) { return 0; });
  if (error != 0 && error != -ENOENT) return error;
  *exists = error == 0;
  return 0;
}

// Returns their number and ends the list with an entry without a name, for which there must be room too: -ERANGE with the
// room needed in *max_snaps. To be freed by rbd_snap_list_end.
int rbd_snap_list(rbd_image_t image, rbd_snap_info_t* snaps, int* max_snaps) {
  return guarded([&] {
    if (image == nullptr || max_snaps == nullptr) return -EINVAL;
    auto state = Image::from(image)->state();
    const int count = static_cast<int>(state->snaps.size());
    if (*max_snaps < count + 1) {
      *max_snaps = count + 1;
      return -ERANGE;
    }
    if (snaps == nullptr) return -EINVAL;
    for (int i = 0; i < count; i++) {
      const SnapState& snap = state->snaps[static_cast<size_t>(i)];
      snaps[i] = {snap.id, snap.size, duplicate(snap.name)};
    }
    snaps[count] = {0, 0, nullptr};
    return count;
  });
}

void rbd_snap_list_end(rbd_snap_info_t* snaps) {
  for (; snaps->name != nullptr; snaps++) {
    free(const_cast<char*>(snaps->name));
    snaps->name = nullptr;
  }
}

int rbd_snap_get_id(rbd_image_t image, const char* snapname, uint64_t* snap_id) {
  return with_snap(image, snapname, [&](const SnapState& snap) {
    *snap_id = snap.id;
    return 0;
  });
}

int rbd_snap_get_name(rbd_image_t image, uint64_t snap_id, char* snapname, size_t* name_len) {
  return with_snap_id(image, snap_id, [&](const SnapState& snap) {
    if (name_len == nullptr) return -EINVAL;
    const int error = copy_text(snap.name, snapname, name_len);
    if (error == 0) *name_len = snap.name.size() + 1;
    return error;
  });
}

int rbd_snap_get_timestamp(rbd_image_t image, uint64_t snap_id, struct timespec* timestamp) {
  return with_snap_id(image, snap_id, [&](const SnapState& snap) {
    *timestamp = snap.timestamp;
    return 0;
  });
}

int rbd_snap_get_namespace_type(rbd_image_t image, uint64_t snap_id, rbd_snap_namespace_type_t* namespace_type) {
  return with_snap_id(image, snap_id, [&](const SnapState& snap) {
    *namespace_type = snap.is_trash ? RBD_SNAP_NAMESPACE_TYPE_TRASH : RBD_SNAP_NAMESPACE_TYPE_USER;
    return 0;
  });
}

// The name of a snapshot that was removed while it had clones. -EINVAL for one that was not, -ERANGE.
int rbd_snap_get_trash_namespace(rbd_image_t image, uint64_t snap_id, char* original_name, size_t max_length) {
  return with_snap_id(image, snap_id, [&](const SnapState& snap) {
    if (!snap.is_trash || original_name == nullptr) return -EINVAL;
    return copy_text(snap.original_name, original_name, &max_length);
  });
}

int rbd_snap_get_trash_namespace2(rbd_image_t image, uint64_t snap_id, rbd_snap_trash_namespace_t* trash_snap,
                                  size_t trash_snap_size) {
  return with_snap_id(image, snap_id, [&](const SnapState& snap) {
    if (trash_snap_size != sizeof *trash_snap) return -ERANGE;
    if (!snap.is_trash || trash_snap == nullptr) return -EINVAL;
    *trash_snap = {RBD_SNAP_NAMESPACE_TYPE_USER, duplicate(snap.original_name)};
    return 0;
  });
}

int rbd_snap_trash_namespace_cleanup(rbd_snap_trash_namespace_t* trash_snap, size_t trash_snap_size) {
  if (trash_snap_size != sizeof *trash_snap) return -ERANGE;
  free(trash_snap->original_name);
  return 0;
}

// UINT64_MAX where there is none.
int rbd_snap_get_limit(rbd_image_t image, uint64_t* limit) {
  return guarded([&] {
    if (image == nullptr || limit == nullptr) return -EINVAL;
    *limit = Image::from(image)->state()->snap_limit.value_or(UINT64_MAX);
    return 0;
  });
}

// -ERANGE below the number of snapshots that there are.
int rbd_snap_set_limit(rbd_image_t image, uint64_t limit) {
  return with_writable(image, [&](Image& open) {
    const Json value = limit > kMaxWireNumber ? Json(nullptr) : Json(limit);
    return open.change("snap.limit.set", {{"limit", value}}).error;
  });
}

// Moves the handle to a snapshot, or back to the image itself for a name of NULL or "". -ENOENT.
int rbd_snap_set(rbd_image_t image, const char* snapname) {
  if (image != nullptr && (snapname == nullptr || *snapname == '\0')) {
    return guarded([&] { return set_snap(image, nullptr); });
  }
  return with_snap(image, snapname, [&](const SnapState& snap) { return set_snap(image, snap.id); });
}

int rbd_snap_set_by_id(rbd_image_t image, uint64_t snap_id) {
  constexpr uint64_t head = UINT64_MAX - 1;  // CEPH_NOSNAP
  if (image != nullptr && snap_id == head) return guarded([&] { return set_snap(image, nullptr); });
  return with_snap_id(image, snap_id, [&](const SnapState& snap) { return set_snap(image, snap.id); });
}

int rbd_snap_rollback(rbd_image_t image, const char* snapname) {
  return rbd_snap_rollback_with_progress(image, snapname, nullptr, nullptr);
}

// -ENOENT, -EROFS.
int rbd_snap_rollback_with_progress(rbd_image_t image, const char* snapname, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    if (image == nullptr || snapname == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    if (open.is_read_only()) return -EROFS;
    int error = open.change("snap.rollback", {{"name", snapname}}, progress(cb, cbdata)).error;
    // No data moves here: it is all done at once.
    if (error == 0 && cb != nullptr) cb(1, 1, cbdata);
    return error;
  });
}

}  // extern "C"
