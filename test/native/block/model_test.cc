// The whole stack of a plain image (throttle over align over a file) against memory, with resizes and
// reopens:
//   native_block_model [operations]    20,000 in all by default; 1,000,000 is the long form
#include "block/model.h"

#include <sys/stat.h>

#include "block/align.h"
#include "block/throttle.h"
#include "block/volume_file.h"

using namespace cbd;
using namespace cbd::block;
using namespace cbd::block::test;

namespace {

struct Image {
  std::shared_ptr<IoRing> ring;
  FileVolume volume;
  Align align;
  Throttle throttle;

  Image(int fd, uint64_t size, bool threads, bool direct)
      : ring(std::make_shared<IoRing>(IoRing::Options{.force_threads = threads})),
        volume(UniqueFd(own_description(fd)), size, ring, {.direct = direct}),
        align(volume, size),
        throttle(align) {}

  // O_DIRECT belongs to the open file description.
  static int own_description(int fd) {
    return open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
  }
};

void run(bool threads, bool direct, uint64_t operations) {
  const UniqueFd file = temporary_file();
  std::mt19937 random(operations + direct * 2 + threads);
  Bytes model(1000003, 0);
  auto image = std::make_unique<Image>(file.get(), model.size(), threads, direct);
  const uint64_t round = std::min<uint64_t>(operations, 600);
  for (uint64_t done = 0; done < operations; done += round) {
    ModelRun test(image->throttle, image->ring, {});
    if (!run_threads(test, model, round, random())) return;
    const uint64_t size = 200000 + random() % 1500000;
    switch (random() % 4) {
      case 0:
        image.reset();
        image = std::make_unique<Image>(file.get(), model.size(), threads, direct);
        break;
      case 1:
        // What the image layer and the daemon do: growing tells the volume first, shrinking cuts the file
        // last.
        if (size < model.size()) {
          image->align.set_size(size);
          image->volume.set_size(size);
          CHECK_EQ(ftruncate(file.get(), static_cast<off_t>(size)), 0);
        } else {
          image->volume.set_size(size);
          image->align.set_size(size);
        }
        model.resize(size, 0);
        break;
      default:
        break;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000;
  for (bool threads : {false, true}) {
    for (bool direct : {false, true}) {
      const std::string name = std::string("random operations match a model of bytes (") +
                               (threads ? "threads, " : "io_uring, ") +
                               (direct ? "O_DIRECT)" : "page cache)");
      tap::test(name.c_str(), [&] { run(threads, direct, operations / 4); });
    }
  }
  return tap::finish();
}
