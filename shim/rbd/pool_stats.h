// What an rbd_pool_stats_t points at.
#pragma once

#include <cstdint>
#include <map>

namespace cbd::rbd {

// Which numbers (RBD_POOL_STAT_OPTION_*) the caller wants, and where.
using PoolStats = std::map<int, uint64_t*>;

}  // namespace cbd::rbd
