// The devices below Align: the volumes of an image's layers, and what joins them.
#pragma once

#include <memory>
#include <vector>

#include "block/device.h"
#include "block/io_ring.h"
#include "block/volume_file.h"
#include "block/volume_nebd.h"
#include "control/unique_fd.h"
#include "rbd/image_state.h"

namespace cbd::rbd {

class Volumes {
 public:
  // Opens the volumes of `layers`, newest first. -EOPNOTSUPP for a kind that this build does not know, -EIO where a
  // descriptor is missing.
  int open(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size,
           const std::shared_ptr<block::IoRing>& ring, bool direct);

  block::Device& top();

  // The image grew or shrank.
  void set_size(uint64_t size);

 private:
  int open_nebd(const VolumeState& volume);

  // One of the two.
  std::unique_ptr<block::FileVolume> file_;
  std::unique_ptr<block::NebdVolume> nebd_;
};

}  // namespace cbd::rbd
