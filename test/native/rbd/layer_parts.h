// What tests of an image over one cow layer are made of: the layer as the daemon tells of it, and a volume in memory.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "rbd/image_io.h"

namespace cbd::test {

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t image_size = 8 * mib;

inline rbd::LayerState cow(const char* id, bool has_volume = true) {
  rbd::LayerState layer;
  layer.id = id;
  layer.is_cow = true;
  layer.size = layer.created = image_size;
  layer.has_volume = has_volume;
  return layer;
}

struct Volume {
  int fd = memfd_create("volume", MFD_CLOEXEC);
  Volume() {
    if (ftruncate(fd, static_cast<off_t>((uint64_t{1} << 30) + image_size)) != 0) abort();
  }
  ~Volume() { ::close(fd); }
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  // A description of its own, as a daemon passes.
  std::vector<UniqueFd> open() const {
    std::vector<UniqueFd> fds;
    fds.emplace_back(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC));
    return fds;
  }
};

}  // namespace cbd::test
