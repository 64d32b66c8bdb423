// See image_state.h.
#include "rbd/image_state.h"

#include <algorithm>
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
  layer.is_frozen = from.value("frozen", false);
  layer.is_inherited = from.value("inherited", false);
  layer.created = from.value("created", layer.size);
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

SnapState read_snap(const json& from) {
  SnapState snap;
  snap.id = from.at("id").get<uint64_t>();
  snap.name = from.at("name").get<std::string>();
  snap.size = from.at("size").get<uint64_t>();
  snap.is_protected = from.value("protected", false);
  snap.timestamp = read_time(from, "timestamp");
  snap.children = from.value("children", uint64_t{0});
  auto space = from.find("namespace");
  if (space != from.end() && space->is_object() && space->value("type", "user") == "trash") {
    snap.is_trash = true;
    snap.original_name = space->value("originalName", "");
  }
  return snap;
}

ParentState read_parent(const json& from) {
  ParentState parent;
  parent.pool = from.at("pool").get<int64_t>();
  parent.pool_name = from.value("poolName", "");
  parent.name_space = from.value("namespace", "");
  parent.id = from.at("id").get<std::string>();
  parent.name = from.value("name", "");
  parent.snap_id = from.at("snapId").get<uint64_t>();
  parent.snap_name = from.value("snapName", "");
  auto space = from.find("snapNamespace");
  parent.snap_is_trash = space != from.end() && space->is_object() && space->value("type", "user") == "trash";
  parent.overlap = from.value("overlap", uint64_t{0});
  parent.is_trash = from.value("trash", false);
  return parent;
}

Own read_own(const json& from) {
  const std::string own = from.value("own", "shared");
  if (own == "none") return Own::none;
  if (own == "read") return Own::read;
  if (own == "write") return Own::write;
  return own == "frozen" ? Own::frozen : Own::shared;
}

void read_snapshots(const json& from, ImageState& state) {
  auto snaps = from.find("snaps");
  if (snaps != from.end() && snaps->is_array()) {
    for (const json& snap : *snaps) state.snaps.push_back(read_snap(snap));
  }
  auto limit = from.find("snapLimit");
  if (limit != from.end() && limit->is_number()) state.snap_limit = limit->get<uint64_t>();
  state.snap_gone = from.value("snapGone", false);
  auto parent = from.find("parent");
  if (parent != from.end() && parent->is_object()) state.parent = read_parent(*parent);
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
  state.stripe_unit = from.value("stripeUnit", uint64_t{0});
  if (!from.contains("stripeUnit") && state.order >= 0 && state.order < 63) state.stripe_unit = uint64_t{1} << state.order;
  state.stripe_count = from.value("stripeCount", uint64_t{1});
  state.create_time = read_time(from, "createTime");
  state.access_time = read_time(from, "accessTime");
  state.modify_time = read_time(from, "modifyTime");
  auto data_pool = from.find("dataPool");
  if (data_pool != from.end() && data_pool->is_number()) state.data_pool = data_pool->get<int64_t>();
  auto snap = from.find("snapId");
  if (snap != from.end() && snap->is_number()) state.snap_id = snap->get<uint64_t>();
  state.read_only = from.value("readOnly", false);
  state.serial = from.value("serial", uint64_t{0});
  state.own = read_own(from);
  read_snapshots(from, state);
  auto lock = from.find("exclusiveLock");
  if (lock != from.end() && lock->is_string()) {
    state.lock = *lock == "mine" ? ManagedLock::mine : ManagedLock::other;
  }
  state.metadata = read_texts(from, "metadata");
  state.pool_config = read_texts(from, "poolConfig");
  state.limited_below = from.value("limitedBelow", false);
  auto layers = from.find("layers");
  if (layers != from.end() && layers->is_array()) {
    for (const json& layer : *layers) state.layers.push_back(read_layer(layer));
    state.has_layers = true;
  }
}

}  // namespace

int rank(Own own) {
  if (own == Own::none) return 0;
  return own == Own::write || own == Own::shared ? 2 : 1;
}

const SnapState* find_snap(const ImageState& state, const std::string& name) {
  for (const SnapState& snap : state.snaps) {
    if (!snap.is_trash && snap.name == name) return &snap;
  }
  return nullptr;
}

const SnapState* find_snap(const ImageState& state, uint64_t id) {
  for (const SnapState& snap : state.snaps) {
    if (snap.id == id) return &snap;
  }
  return nullptr;
}

namespace {

// What the rest divides and shifts by, and adds up.
bool is_sound(const ImageState& state) {
  constexpr uint64_t most_bytes = uint64_t{1} << 62;
  if (state.order < 0 || state.order > 62 || state.stripe_unit == 0 || state.size > most_bytes) return false;
  return std::all_of(state.layers.begin(), state.layers.end(), [](const LayerState& layer) {
    return layer.size <= most_bytes && layer.created <= most_bytes;
  });
}

}  // namespace

int parse_image_state(const json& from, ImageState& state) {
  try {
    read_state(from, state);
    return is_sound(state) ? 0 : -EIO;
  } catch (const json::exception&) {
    return -EIO;
  }
}

int parse_layers(const json& from, std::vector<LayerState>& layers) {
  try {
    for (const json& layer : from) layers.push_back(read_layer(layer));
    return 0;
  } catch (const json::exception&) {
    return -EIO;
  }
}

}  // namespace cbd::rbd
