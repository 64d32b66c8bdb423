// See volumes.h.
#include "rbd/volumes.h"

#include <cerrno>

namespace cbd::rbd {

int Volumes::open(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size,
                  const std::shared_ptr<block::IoRing>& ring, bool direct) {
  if (layers.size() != 1 || layers[0].is_cow) return -EOPNOTSUPP;
  const VolumeState& volume = layers[0].volume;
  if (volume.driver == VolumeState::Driver::nebd) return open_nebd(volume);
  if (volume.fd >= fds.size()) return -EIO;
  block::FileVolume::Options options;
  options.direct = direct;
  file_ = std::make_unique<block::FileVolume>(std::move(fds[volume.fd]), size, ring, options);
  return 0;
}

int Volumes::open_nebd(const VolumeState& volume) {
  block::NebdVolume::Options options;
  options.socket = volume.socket;
  options.file = volume.file;
  options.size = volume.size;
  options.block = volume.block_size;
  options.add_random = false;  // the daemon did
  nebd_ = std::make_unique<block::NebdVolume>(std::move(options));
  return 0;
}

block::Device& Volumes::top() {
  if (nebd_) return *nebd_;
  return *file_;
}

void Volumes::set_size(uint64_t size) {
  if (file_) return file_->set_size(size);
  // CurveBS's volumes grow by whole GiB, and the daemon has seen to it before it told us. They never shrink.
  constexpr uint64_t gib = 1 << 30;
  nebd_->grow((size + gib - 1) / gib * gib);
}

}  // namespace cbd::rbd
