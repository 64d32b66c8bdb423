// Synchronous requests to a volume driver, for whoever has no ring: drivers do requests that may block on the
// caller's thread.
#pragma once

#include "block/device.h"

namespace cbd::block {

// Submits with may_block and waits. `done` and `context` are overwritten. Returns 0 or -errno.
int run_blocking(Device& device, Request& request);

int read_blocking(Device& device, uint64_t offset, void* to, uint64_t length);
int write_blocking(Device& device, uint64_t offset, const void* from, uint64_t length);
// zero, discard or flush.
int plain_blocking(Device& device, Op op, uint64_t offset = 0, uint64_t length = 0);

}  // namespace cbd::block
