// Giving zeroes back: what is not zero as a whole piece stays, and nothing outside the ranges is looked at.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "block/give_back.h"
#include "block/io_ring.h"
#include "block/memory_volume.h"
#include "block/volume_file.h"
#include "tap.h"

using namespace cbd::block;

namespace {

constexpr uint64_t KiB = 1024;

// A file of `size` bytes of zeroes, every one of which is allocated.
struct Zeroes {
  explicit Zeroes(uint64_t size) : fd(memfd_create("zeroes", MFD_CLOEXEC)), bytes(size, 0) {
    put(0, bytes.data(), size);
    volume = std::make_shared<FileVolume>(cbd::UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)), size, std::make_shared<IoRing>());
  }
  ~Zeroes() { ::close(fd); }

  void put(uint64_t offset, const char* from, uint64_t length) {
    CHECK_EQ(pwrite(fd, from, length, static_cast<off_t>(offset)), static_cast<ssize_t>(length));
    memcpy(bytes.data() + offset, from, length);
  }
  // In bytes.
  uint64_t held() const {
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    return static_cast<uint64_t>(st.st_blocks) * 512;
  }
  bool is_unchanged() const {
    std::vector<char> now(bytes.size());
    return pread(fd, now.data(), now.size(), 0) == static_cast<ssize_t>(now.size()) && now == bytes;
  }

  int fd;
  std::vector<char> bytes;
  std::shared_ptr<FileVolume> volume;
};

}  // namespace

int main() {
  tap::test("whole pieces of zeroes are given back, others stay, and every byte reads as before", [] {
    Zeroes file(256 * KiB);
    file.put(20 * KiB, "x", 1);
    file.put(131 * KiB, "y", 1);
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 128 * KiB}, {128 * KiB, 64 * KiB}}, 4 * KiB), 0);
    CHECK(file.is_unchanged());
    // The two blocks with bytes in them, and the last quarter, of which nothing was said.
    CHECK_EQ(file.held(), (4 + 4 + 64) * KiB);
  });

  tap::test("a piece of several MiB goes as a whole or not at all", [] {
    Zeroes file(12 * KiB * KiB);
    file.put(8 * KiB * KiB - 1, "x", 1);
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 12 * KiB * KiB}}, 4 * KiB * KiB), 0);
    CHECK(file.is_unchanged());
    CHECK_EQ(file.held(), 4 * KiB * KiB);
  });

  tap::test("the end of a volume may be a part of a piece", [] {
    Zeroes file(10 * KiB);
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 10 * KiB}}, 8 * KiB), 0);
    CHECK(file.is_unchanged());
    CHECK(file.held() <= 4 * KiB);
  });

  tap::test("ranges outside the volume, and no grain, change nothing", [] {
    Zeroes file(64 * KiB);
    const uint64_t before = file.held();
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 4 * KiB}, {60 * KiB, 8 * KiB}}, 4 * KiB), -EINVAL);
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 4 * KiB}, {UINT64_MAX, 2}}, 4 * KiB), -EINVAL);
    CHECK_EQ(give_back_zeroes(*file.volume, {{0, 4 * KiB}}, 0), -EINVAL);
    CHECK_EQ(give_back_zeroes(*file.volume, {}, 4 * KiB), 0);
    CHECK_EQ(file.held(), before);
  });

  tap::test("a volume whose discarded ranges may read as anything is left alone", [] {
    MemoryVolume volume({.size = 64 * KiB, .discard_zeroes = false});
    CHECK_EQ(give_back_zeroes(volume, {{0, 64 * KiB}}, 4 * KiB), -EOPNOTSUPP);
  });

  return tap::finish();
}
