// The C functions over a pool as a whole: making it ready for images, and what its images add up to.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/operation.h"
#include "rbd/pool_stats.h"

namespace cbd::rbd {

namespace {

// What pool.images calls each number.
const char* stat_name(int option) {
  static const char* const names[] = {"images",      "provisionedBytes",      "maxProvisionedBytes",      "snapshots",
                                      "trashImages", "trashProvisionedBytes", "trashMaxProvisionedBytes", "trashSnapshots"};
  const bool is_known = option >= RBD_POOL_STAT_OPTION_IMAGES && option <= RBD_POOL_STAT_OPTION_TRASH_SNAPSHOTS;
  return is_known ? names[option] : nullptr;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Marks the pool as one of images. -EPERM where it is marked as something else, unless forced.
int rbd_pool_init(rados_ioctx_t io, bool force) {
  return guarded([&] {
    if (io == nullptr) return -EINVAL;
    nlohmann::json params = {{"pool", ioctx(io)->pool_id}, {"app", "rbd"}, {"force", force}, {"op", new_operation_id()}};
    return ioctx(io)->client->call("pool.app.enable", std::move(params)).error;
  });
}

void rbd_pool_stats_create(rbd_pool_stats_t* stats) {
  *stats = nullptr;
  guarded([&] {
    *stats = new PoolStats();
    return 0;
  });
}

void rbd_pool_stats_destroy(rbd_pool_stats_t stats) { delete static_cast<PoolStats*>(stats); }

// *stat_val is set by rbd_pool_stats_get. -ENOENT for an unknown number.
int rbd_pool_stats_option_add_uint64(rbd_pool_stats_t stats, int stat_option, uint64_t* stat_val) {
  return guarded([&] {
    if (stats == nullptr || stat_val == nullptr) return -EINVAL;
    if (stat_name(stat_option) == nullptr) return -ENOENT;
    (*static_cast<PoolStats*>(stats))[stat_option] = stat_val;
    return 0;
  });
}

int rbd_pool_stats_get(rados_ioctx_t io, rbd_pool_stats_t stats) {
  return guarded([&] {
    if (io == nullptr || stats == nullptr) return -EINVAL;
    cbd::control::Reply reply = ioctx(io)->client->call("pool.images", {{"at", at_json(*ioctx(io))}});
    if (reply.error != 0) return reply.error;
    for (auto& [option, value] : *static_cast<PoolStats*>(stats)) *value = reply.result->at(stat_name(option)).get<uint64_t>();
    return 0;
  });
}

}  // extern "C"
