// The devices below Align: the volumes of an image's layers, and what joins them.
#pragma once

#include <memory>
#include <vector>

#include "block/device.h"
#include "block/io_ring.h"
#include "block/volume_file.h"
#include "control/unique_fd.h"
#include "rbd/image_state.h"

namespace cbd::rbd {

class Volumes {
 public:
  // Opens the volumes of `layers`, newest first. -EOPNOTSUPP for a kind that this build does not know, -EIO where a
  // descriptor is missing.
  int open(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size,
           const std::shared_ptr<block::IoRing>& ring, bool direct);

  block::Device& top() { return *file_; }

  // The image grew or shrank.
  void set_size(uint64_t size) { file_->set_size(size); }

 private:
  std::unique_ptr<block::FileVolume> file_;
};

}  // namespace cbd::rbd
