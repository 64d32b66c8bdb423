// What rados_xattrs_iter_t, rados_omap_iter_t and rados_list_ctx_t point at. Each begins with a mark of its own, by which
// the forwarders to a real Ceph tell ours from theirs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cbd::rados {

inline constexpr uint64_t xattrs_magic = 0x6362642d78617472;  // "cbd-xatr"
inline constexpr uint64_t omap_magic = 0x6362642d6f6d6170;    // "cbd-omap"
inline constexpr uint64_t list_magic = 0x6362642d6c697374;    // "cbd-list"

// Names (or keys) and values, walked once; what next() pointed at lives as long as the iterator.
struct PairIterator {
  uint64_t magic;
  std::vector<std::pair<std::string, std::string>> pairs;
  size_t next = 0;
};

// Out of an answer's [[name, value in base64]...]; `hex_names`: the names are in hex.
std::vector<std::pair<std::string, std::string>> read_pairs(const nlohmann::json& list, bool hex_names);

}  // namespace cbd::rados
