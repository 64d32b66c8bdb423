// A client's progress callback as the session wants it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "abi/ceph_api.h"

namespace cbd::rbd {

// Nothing for a callback of NULL.
inline std::function<int(uint64_t, uint64_t)> progress(librbd_progress_fn_t callback, void* argument) {
  if (callback == nullptr) return {};
  return [callback, argument](uint64_t done, uint64_t total) { return callback(done, total, argument); };
}

// Asks the callback before something that then happens in one step. 0, or what the callback returned below 0.
inline int may_begin(librbd_progress_fn_t callback, void* argument, uint64_t total) {
  return callback == nullptr ? 0 : std::min(callback(0, total, argument), 0);
}

}  // namespace cbd::rbd
