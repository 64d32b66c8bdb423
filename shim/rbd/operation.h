// What every request to the daemon has in common.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "abi/ceph_api.h"
#include "rados/handles.h"

namespace cbd::rbd {

// The `op` of a call that changes something: by it the daemon knows a repetition.
std::string new_operation_id();

// The `at` of docs/protocol.md.
nlohmann::json at_json(const rados::IoCtx& at);

// What rados_ioctx_t points at.
inline const rados::IoCtx* ioctx(void* handle) { return static_cast<const rados::IoCtx*>(handle); }

}  // namespace cbd::rbd
