// A client's progress callback as the session wants it.
#pragma once

#include <cstdint>
#include <functional>

#include "abi/ceph_api.h"

namespace cbd::rbd {

// Nothing for a callback of NULL.
inline std::function<int(uint64_t, uint64_t)> progress(librbd_progress_fn_t callback, void* argument) {
  if (callback == nullptr) return {};
  return [callback, argument](uint64_t done, uint64_t total) { return callback(done, total, argument); };
}

}  // namespace cbd::rbd
