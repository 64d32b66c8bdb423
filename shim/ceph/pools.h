// Telling a pool on a real Ceph from ours, by its rados_ioctx_t. Header only: both libraries ask.
#pragma once

#include "rados/handles.h"

namespace cbd::ceph {

inline bool is_pool(void* io) {
  return io != nullptr && static_cast<rados::IoCtx*>(io)->ceph != nullptr;
}

// The real rados_ioctx_t behind a pool that is_pool(); null where a forked child cannot connect.
inline void* real_pool(void* io) {
  return static_cast<rados::IoCtx*>(io)->ceph->ioctx();
}

}  // namespace cbd::ceph
