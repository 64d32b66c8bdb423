// The open volumes of an image's layers, by layer. Knows nothing of what lies above them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "block/io_ring.h"
#include "block/layer.h"
#include "block/volume_file.h"
#include "block/volume_nebd.h"
#include "control/unique_fd.h"
#include "rbd/image_state.h"

namespace cbd::rbd {

class Volumes {
 public:
  // What a volume of a CurveBS layer asks the daemon.
  struct Questions {
    // Whether the layer of that id is this process's own to change still.
    std::function<block::nebd::AskLeave(const std::string& layer)> leave;
    // What of it takes space.
    std::function<block::AskAllocated(const std::string& layer)> allocated;
  };

  Volumes(std::shared_ptr<block::IoRing> ring, bool direct, Questions questions)
      : ring_(std::move(ring)), direct_(direct), questions_(std::move(questions)) {}

  // Opens what `layers` name and is not open, closes what they do not name, and describes them for a chain. Returns 0;
  // -EIO where a volume is missing in the message. `fds` came with it.
  int update(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, std::vector<block::LayerSpec>& specs);

  // The layers' bytes as the last update() had them: for a shrink, when nothing is in flight any more.
  void cut();

  void lose_leave();
  // The client is shut out: every change of any of them ends in -ESHUTDOWN.
  void shut_out();

  // -EACCES, and in `message` why, where this process may not connect to what the volumes are behind; 0.
  int try_access(std::string& message) const;

  // Closes all. In a forked child they are the parent's, under its names: the child is given its own.
  void forget() { volumes_.clear(); }

  std::vector<std::string> ids() const;

 private:
  struct Volume {
    std::shared_ptr<block::FileVolume> file;  // one of the two
    std::shared_ptr<block::NebdVolume> nebd;
    std::string socket;  // of `nebd`
    uint64_t size = 0;

    std::shared_ptr<block::Device> device() const {
      if (nebd) return nebd;
      return file;
    }
  };
  int open(const LayerState& layer, std::vector<UniqueFd>& fds, Volume& volume);

  std::shared_ptr<block::IoRing> ring_;
  bool direct_;
  Questions questions_;
  std::map<std::string, Volume> volumes_;
};

}  // namespace cbd::rbd
