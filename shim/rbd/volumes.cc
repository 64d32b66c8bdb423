// See volumes.h.
#include "rbd/volumes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace cbd::rbd {

namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

// Bytes of the volume that a layer addresses: a cow layer's data begins behind its map.
uint64_t volume_size(const LayerState& layer) {
  if (!layer.is_cow) return layer.size;
  return kGiB + round_up(std::max(layer.size, layer.created), 4096);
}

}  // namespace

int Volumes::open(const LayerState& layer, std::vector<UniqueFd>& fds, Volume& volume) {
  if (!layer.has_volume) return -EIO;
  const VolumeState& from = layer.volume;
  if (from.driver == VolumeState::Driver::nebd) {
    block::NebdVolume::Options options;
    options.socket = from.socket;
    options.file = from.file;
    options.size = from.size;
    options.block = from.block_size;
    options.add_random = false;  // the daemon did
    // A cow head is one process's at a time; whoever does not answer is fenced.
    if (layer.is_cow && !layer.is_frozen) options.ask_leave = questions_.leave(layer.id);
    // Of a cow layer the map says it.
    if (!layer.is_cow && questions_.allocated) options.ask_allocated = questions_.allocated(layer.id);
    volume.nebd = std::make_shared<block::NebdVolume>(std::move(options));
    volume.socket = from.socket;
    return 0;
  }
  if (from.fd >= fds.size() || !fds[from.fd]) return -EIO;
  block::FileVolume::Options options;
  options.direct = direct_;
  volume.file = std::make_shared<block::FileVolume>(std::move(fds[from.fd]), volume.size, ring_, options);
  return 0;
}

int Volumes::update(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds,
                    std::vector<block::LayerSpec>& specs) {
  std::map<std::string, Volume> next;
  for (const LayerState& layer : layers) {
    const uint64_t size = volume_size(layer);
    auto known = volumes_.find(layer.id);
    Volume volume;
    if (known != volumes_.end()) {
      volume = known->second;
      // What shrinks is cut when nothing is in flight any more.
      if (size > volume.size && volume.file) volume.file->set_size(size);
      // CurveBS's volumes grow by whole GiB, and the daemon has seen to it before it told us. They never shrink.
      if (size > volume.size && volume.nebd) volume.nebd->grow(round_up(size, kGiB));
      volume.size = size;
    } else {
      volume.size = size;
      if (int error = open(layer, fds, volume)) return error;
    }
    specs.push_back({layer.id, layer.is_cow, layer.is_frozen, layer.size, volume.device()});
    next[layer.id] = std::move(volume);
  }
  volumes_.swap(next);
  return 0;
}

void Volumes::cut() {
  for (auto& [id, volume] : volumes_) {
    if (volume.file && volume.size < volume.file->size()) volume.file->set_size(volume.size);
  }
}

void Volumes::lose_leave() {
  for (auto& [id, volume] : volumes_) {
    if (volume.nebd) volume.nebd->lose_leave();
  }
}

int Volumes::try_access(std::string& message) const {
  std::set<std::string> tried;
  for (const auto& [id, volume] : volumes_) {
    if (!volume.nebd || !tried.insert(volume.socket).second) continue;
    const int error = block::nebd::try_socket(volume.socket);
    if (error == 0) continue;
    message = "it may not connect to nebd-server's socket " + volume.socket + " (effective uid " + std::to_string(geteuid()) +
              "): that user must be able to write to it";
    return error;
  }
  return 0;
}

void Volumes::shut_out() {
  for (auto& [id, volume] : volumes_) {
    if (volume.nebd) volume.nebd->shut_out();
  }
}

std::vector<std::string> Volumes::ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, volume] : volumes_) ids.push_back(id);
  return ids;
}

}  // namespace cbd::rbd
