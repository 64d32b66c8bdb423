// See image_state.h.
#include "rbd/image_state.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace cbd::rbd {

namespace {

using nlohmann::json;

timespec read_time(const json& from, const char* key) {
  timespec time{};
  auto found = from.find(key);
  if (found != from.end() && found->is_object()) {
    time.tv_sec = found->value("sec", int64_t{0});
    time.tv_nsec = found->value("nsec", int64_t{0});
  }
  return time;
}

std::map<std::string, std::string> read_texts(const json& from, const char* key) {
  std::map<std::string, std::string> texts;
  auto found = from.find(key);
  if (found != from.end() && found->is_object()) {
    for (const auto& [name, value] : found->items()) texts[name] = value.get<std::string>();
  }
  return texts;
}

LayerState read_layer(const json& from) {
  LayerState layer;
  layer.id = from.value("id", "");
  layer.is_cow = from.value("kind", "plain") == "cow";
  layer.size = from.at("size").get<uint64_t>();
  layer.writable = from.value("writable", false);
  layer.has_volume = from.contains("volume");
  if (!layer.has_volume) return layer;
  const json& volume = from.at("volume");
  if (volume.at("driver") == "file") {
    layer.volume.driver = VolumeState::Driver::file;
    layer.volume.fd = volume.at("fd").get<size_t>();
  } else {
    layer.volume.driver = VolumeState::Driver::nebd;
    layer.volume.socket = volume.at("socket").get<std::string>();
    layer.volume.file = volume.at("file").get<std::string>();
    layer.volume.size = volume.at("size").get<uint64_t>();
    layer.volume.block_size = volume.value("blockSize", 4096u);
  }
  return layer;
}

void read_state(const json& from, ImageState& state) {
  state.id = from.at("id").get<std::string>();
  state.name = from.value("name", "");
  state.prefix = from.value("prefix", "");
  state.size = from.at("size").get<uint64_t>();
  state.order = from.value("order", 22);
  state.features = from.value("features", uint64_t{0});
  state.op_features = from.value("opFeatures", uint64_t{0});
  state.flags = from.value("flags", uint64_t{0});
  state.stripe_unit = from.value("stripeUnit", uint64_t{1} << state.order);
  state.stripe_count = from.value("stripeCount", uint64_t{1});
  state.create_time = read_time(from, "createTime");
  state.access_time = read_time(from, "accessTime");
  state.modify_time = read_time(from, "modifyTime");
  auto data_pool = from.find("dataPool");
  if (data_pool != from.end() && data_pool->is_number()) state.data_pool = data_pool->get<int64_t>();
  auto snap = from.find("snapId");
  if (snap != from.end() && snap->is_number()) state.snap_id = snap->get<uint64_t>();
  state.read_only = from.value("readOnly", false);
  auto lock = from.find("exclusiveLock");
  if (lock != from.end() && lock->is_string()) {
    state.lock = *lock == "mine" ? ManagedLock::mine : ManagedLock::other;
  }
  state.metadata = read_texts(from, "metadata");
  state.pool_config = read_texts(from, "poolConfig");
  auto layers = from.find("layers");
  if (layers != from.end() && layers->is_array()) {
    for (const json& layer : *layers) state.layers.push_back(read_layer(layer));
    state.has_layers = !state.layers.empty() && state.layers[0].has_volume;
  }
}

}  // namespace

bool same_layers(const std::vector<LayerState>& one, const std::vector<LayerState>& other) {
  if (one.size() != other.size()) return false;
  for (size_t i = 0; i < one.size(); i++) {
    if (one[i].id != other[i].id || one[i].is_cow != other[i].is_cow || one[i].writable != other[i].writable) return false;
  }
  return true;
}

int parse_image_state(const json& from, ImageState& state) {
  try {
    read_state(from, state);
    return 0;
  } catch (const json::exception&) {
    return -EIO;
  }
}

}  // namespace cbd::rbd
