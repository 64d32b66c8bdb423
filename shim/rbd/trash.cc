// The C functions of a pool's trash.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/json_numbers.h"
#include "rbd/operation.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

using control::Json;
using control::Reply;

Reply call(rados_ioctx_t io, const char* method, Json params, librbd_progress_fn_t callback = nullptr,
           void* argument = nullptr) {
  params["at"] = at_json(*ioctx(io));
  return ioctx(io)->client->call(method, std::move(params), 0, progress(callback, argument));
}

rbd_trash_image_source_t source_of(const std::string& name) {
  if (name == "MIRRORING") return RBD_TRASH_IMAGE_SOURCE_MIRRORING;
  if (name == "MIGRATION") return RBD_TRASH_IMAGE_SOURCE_MIGRATION;
  if (name == "REMOVING") return RBD_TRASH_IMAGE_SOURCE_REMOVING;
  if (name == "USER_PARENT") return RBD_TRASH_IMAGE_SOURCE_USER_PARENT;
  return RBD_TRASH_IMAGE_SOURCE_USER;
}

// A time of the daemon's: seconds, or {sec, nsec}.
time_t seconds_of(const Json& time) { return time.is_object() ? time.at("sec").get<time_t>() : time.get<time_t>(); }

void fill(rbd_trash_image_info_t& info, const Json& entry) {
  info.id = duplicate(entry.at("id").get<std::string>());
  info.name = duplicate(entry.at("name").get<std::string>());
  info.source = source_of(entry.value("source", "USER"));
  info.deletion_time = seconds_of(entry.at("deletionTime"));
  info.deferment_end_time = seconds_of(entry.at("deferUntil"));
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// `delay` in seconds. -ENOENT.
int rbd_trash_move(rados_ioctx_t io, const char* name, uint64_t delay) {
  return guarded([&] {
    if (io == nullptr || name == nullptr || delay > kMaxWireNumber) return -EINVAL;
    return call(io, "trash.move", {{"name", name}, {"delay", delay}, {"op", new_operation_id()}}).error;
  });
}

int rbd_trash_get(rados_ioctx_t io, const char* id, rbd_trash_image_info_t* info) {
  return guarded([&] {
    if (io == nullptr || id == nullptr || info == nullptr) return -EINVAL;
    Reply reply = call(io, "trash.get", {{"id", id}});
    if (reply.error != 0) return reply.error;
    fill(*info, *reply.result);
    return 0;
  });
}

void rbd_trash_get_cleanup(rbd_trash_image_info_t* info) {
  free(info->id);
  free(info->name);
}

// Returns the number of entries; -ERANGE with it in *num_entries where there is not enough room.
int rbd_trash_list(rados_ioctx_t io, rbd_trash_image_info_t* trash_entries, size_t* num_entries) {
  return guarded([&] {
    clear(trash_entries, num_entries);
    if (io == nullptr || num_entries == nullptr) return -EINVAL;
    Reply reply = call(io, "trash.list", Json::object());
    if (reply.error != 0) return reply.error;
    const Json& entries = reply.result->at("entries");
    const size_t room = *num_entries;
    *num_entries = entries.size();
    if (room < entries.size()) return -ERANGE;
    if (trash_entries == nullptr && !entries.empty()) return -EINVAL;
    for (size_t i = 0; i < entries.size(); i++) fill(trash_entries[i], entries[i]);
    return static_cast<int>(entries.size());
  });
}

void rbd_trash_list_cleanup(rbd_trash_image_info_t* trash_entries, size_t num_entries) {
  for (size_t i = 0; i < num_entries; i++) rbd_trash_get_cleanup(&trash_entries[i]);
}

int rbd_trash_purge(rados_ioctx_t io, time_t expire_ts, float threshold) {
  return rbd_trash_purge_with_progress(io, expire_ts, threshold, nullptr, nullptr);
}

// Removes what may go at `expire_ts` (0: now), or, with a threshold of 0 to 1, until the pool is no fuller than that.
int rbd_trash_purge_with_progress(rados_ioctx_t io, time_t expire_ts, float threshold, librbd_progress_fn_t cb,
                                  void* cbdata) {
  return guarded([&] {
    if (io == nullptr) return -EINVAL;
    Json params = {{"expireTs", static_cast<int64_t>(expire_ts)}, {"threshold", threshold}, {"op", new_operation_id()}};
    return call(io, "trash.purge", std::move(params), cb, cbdata).error;
  });
}

int rbd_trash_remove(rados_ioctx_t io, const char* id, bool force) {
  return rbd_trash_remove_with_progress(io, id, force, nullptr, nullptr);
}

// -ENOENT, -EPERM before its time unless forced, -EBUSY, -ENOTEMPTY.
int rbd_trash_remove_with_progress(rados_ioctx_t io, const char* id, bool force, librbd_progress_fn_t cb,
                                   void* cbdata) {
  return guarded([&] {
    if (io == nullptr || id == nullptr) return -EINVAL;
    Json params = {{"id", id}, {"force", force}, {"op", new_operation_id()}};
    return call(io, "trash.remove", std::move(params), cb, cbdata).error;
  });
}

// Under its old name where `name` is empty. -ENOENT, -EEXIST.
int rbd_trash_restore(rados_ioctx_t io, const char* id, const char* name) {
  return guarded([&] {
    if (io == nullptr || id == nullptr || name == nullptr) return -EINVAL;
    return call(io, "trash.restore", {{"id", id}, {"to", name}, {"op", new_operation_id()}}).error;
  });
}

}  // extern "C"
