// What the tests of devices share: requests in one line, temporary files, patterns.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "block/device.h"
#include "block/io_ring.h"
#include "control/unique_fd.h"

namespace cbd::block::test {

using Bytes = std::vector<unsigned char>;

// Synchronous requests through a ring (which makes no thread for them).
class Sync {
 public:
  explicit Sync(Device& device, std::shared_ptr<IoRing> ring = std::make_shared<IoRing>())
      : device_(device), ring_(std::move(ring)) {}

  int read(uint64_t offset, void* to, uint64_t length) { return transfer(Op::read, offset, to, length); }
  int write(uint64_t offset, const void* from, uint64_t length) {
    return transfer(Op::write, offset, const_cast<void*>(from), length);
  }
  int plain(Op op, uint64_t offset = 0, uint64_t length = 0, bool keep_allocated = false) {
    Request r;
    r.op = op;
    r.offset = offset;
    r.length = length;
    r.keep_allocated = keep_allocated;
    return ring_->run(device_, r);
  }
  int flush() { return plain(Op::flush); }
  int compare_and_write(uint64_t offset, const Bytes& expected, const Bytes& fresh, uint64_t& mismatch) {
    const iovec a{const_cast<unsigned char*>(expected.data()), expected.size()};
    const iovec b{const_cast<unsigned char*>(fresh.data()), fresh.size()};
    Request r;
    r.op = Op::compare_and_write;
    r.offset = offset;
    r.length = fresh.size();
    r.compare = &a;
    r.comparecnt = 1;
    r.iov = &b;
    r.iovcnt = 1;
    const int rc = ring_->run(device_, r);
    mismatch = r.mismatch_offset;
    return rc;
  }
  Bytes bytes(uint64_t offset, uint64_t length) {
    Bytes out(length, 0xee);
    return read(offset, out.data(), length) == 0 ? out : Bytes{};
  }

 private:
  int transfer(Op op, uint64_t offset, void* memory, uint64_t length) {
    const iovec iov{memory, length};
    Request r;
    r.op = op;
    r.offset = offset;
    r.length = length;
    r.iov = &iov;
    r.iovcnt = 1;
    return ring_->run(device_, r);
  }
  Device& device_;
  std::shared_ptr<IoRing> ring_;
};

// A file without a name in `folder`, so that nothing is left behind.
inline UniqueFd temporary_file(const char* folder = nullptr) {
  if (!folder) folder = std::getenv("TMPDIR");
  if (!folder) folder = "/var/tmp";
  std::string path = std::string(folder) + "/cbd-native-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) {
    std::perror(path.c_str());
    std::abort();
  }
  unlink(path.c_str());
  return UniqueFd(fd);
}

// ThreadSanitizer ends a forked child that starts a thread.
#ifdef __SANITIZE_THREAD__
constexpr bool threads_after_fork = false;
#else
constexpr bool threads_after_fork = true;
#endif
constexpr const char* no_threads_after_fork = "ThreadSanitizer does not let a forked child start threads";

inline int count_threads() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    count += !entry.path().empty();
  return count;
}

inline Bytes pattern(size_t length, unsigned seed) {
  Bytes out(length);
  uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
  for (auto& byte : out) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    byte = static_cast<unsigned char>(x);
  }
  return out;
}

}  // namespace cbd::block::test
