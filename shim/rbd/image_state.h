// What the daemon says of an open image ("Image state" in docs/protocol.md), read once into plain fields.
#pragma once

#include <ctime>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cbd::rbd {

// Where a layer's bytes are.
struct VolumeState {
  enum class Driver { file, nebd } driver = Driver::file;
  size_t fd = 0;       // file: index into the descriptors of the reply
  std::string socket;  // nebd
  std::string file;    // nebd
  uint64_t size = 0;   // nebd: bytes of the volume
  uint32_t block_size = 4096;  // nebd
};

struct LayerState {
  std::string id;
  bool is_cow = false;
  bool is_frozen = false;
  bool is_inherited = false;  // of the image that this one was cloned from
  uint64_t size = 0;     // bytes of it that count
  uint64_t created = 0;  // cow: the size that its volume is made for
  bool has_volume = false;  // those that the handle has open already come without
  VolumeState volume;
};

// What the handle may do without asking (docs/protocol-layers.md, "own").
enum class Own { none, read, write, shared, frozen };
// How much that is: 0 nothing, 1 reading, 2 writing.
int rank(Own own);

struct SnapState {
  uint64_t id = 0;
  std::string name;
  uint64_t size = 0;
  bool is_protected = false;
  timespec timestamp{};
  bool is_trash = false;
  std::string original_name;  // of one in the trash
  uint64_t children = 0;
};

struct ParentState {
  int64_t pool = -1;
  std::string pool_name, name_space, id, name;
  uint64_t snap_id = 0;
  std::string snap_name;
  bool snap_is_trash = false;
  uint64_t overlap = 0;
  bool is_trash = false;
};

enum class ManagedLock { none, mine, other };

struct ImageState {
  std::string id;
  std::string name;
  std::string prefix;
  uint64_t size = 0;
  int order = 22;
  uint64_t features = 0;
  uint64_t op_features = 0;
  uint64_t flags = 0;
  uint64_t stripe_unit = 0;
  uint64_t stripe_count = 1;
  timespec create_time{}, access_time{}, modify_time{};
  int64_t data_pool = -1;  // -1: the image's own pool
  std::optional<uint64_t> snap_id;
  bool read_only = false;
  ManagedLock lock = ManagedLock::none;
  std::map<std::string, std::string> metadata;  // the conf_... entries
  std::map<std::string, std::string> pool_config;  // the pool's, without conf_
  bool limited_below = false;                      // the backend keeps the limits of I/O
  std::vector<LayerState> layers;               // newest first
  bool has_layers = false;                      // false: they did not change
  uint64_t serial = 0;                          // grows
  Own own = Own::shared;
  std::vector<SnapState> snaps;  // in the order of creation
  std::optional<uint64_t> snap_limit;
  bool snap_gone = false;  // the handle is at a snapshot that was removed
  std::optional<ParentState> parent;
};

// The snapshot of that name in the user's namespace, or null.
const SnapState* find_snap(const ImageState& state, const std::string& name);
// The one of that id in any namespace, or null.
const SnapState* find_snap(const ImageState& state, uint64_t id);

// Reads `json` into `state`. Returns 0, or -EIO where it is not what the protocol says.
int parse_image_state(const nlohmann::json& json, ImageState& state);
// The same for the `layers` of layer.chain.
int parse_layers(const nlohmann::json& json, std::vector<LayerState>& layers);

}  // namespace cbd::rbd
