// See volumes.h.
#include "rbd/volumes.h"

#include <cerrno>

namespace cbd::rbd {

int Volumes::open(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size,
                  const std::shared_ptr<block::IoRing>& ring, bool direct) {
  if (layers.size() != 1 || layers[0].is_cow) return -EOPNOTSUPP;
  const VolumeState& volume = layers[0].volume;
  if (volume.driver != VolumeState::Driver::file) return -EOPNOTSUPP;
  if (volume.fd >= fds.size()) return -EIO;
  block::FileVolume::Options options;
  options.direct = direct;
  file_ = std::make_unique<block::FileVolume>(std::move(fds[volume.fd]), size, ring, options);
  return 0;
}

}  // namespace cbd::rbd
