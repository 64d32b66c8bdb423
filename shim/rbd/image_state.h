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
  uint64_t size = 0;  // bytes of it that count
  bool writable = false;
  bool has_volume = false;  // image.changed names layers without their volumes
  VolumeState volume;
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
  std::vector<LayerState> layers;               // newest first
  bool has_layers = false;                      // false: they did not change, or come without volumes
};

// Whether both describe the same chain of volumes.
bool same_layers(const std::vector<LayerState>& one, const std::vector<LayerState>& other);

// Reads `json` into `state`. Returns 0, or -EIO where it is not what the protocol says.
int parse_image_state(const nlohmann::json& json, ImageState& state);

}  // namespace cbd::rbd
