// Numbers on the wire are JSON numbers up to 2^53 - 1 (docs/protocol.md).
#pragma once

#include <cstdint>

namespace cbd::rbd {

constexpr uint64_t kMaxWireNumber = (uint64_t{1} << 53) - 1;

}  // namespace cbd::rbd
