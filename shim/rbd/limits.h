// Reads the rbd_qos_* options into the limits of a Throttle.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "block/throttle.h"

namespace cbd::rbd {

// A number with Ceph's size suffixes (K, M, G, T, P, with or without i and B). Nothing where it is none.
std::optional<uint64_t> parse_size(const std::string& text);

// `option` gives an option's value as text. A burst under its limit is taken for none, as librbd does.
void set_limits(block::Throttle& throttle, const std::function<std::string(const std::string&)>& option);

}  // namespace cbd::rbd
