// What the tests of the NEBD volume share: a server in memory with a volume on it, and requests that one can wait for.
#pragma once

#include "block/volume_nebd.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "curvebs/memory_nebd.h"
#include "tap.h"

namespace cbd::test {

using namespace cbd::block;

constexpr uint64_t gib = 1ull << 30;
constexpr uint64_t size = 10 * gib;

struct Setting {
  std::string folder;
  std::unique_ptr<MemoryNebd> server;
  NebdVolume::Options options;

  explicit Setting(uint32_t block = 4096) {
    char name[] = "/tmp/cbd-nebd-XXXXXX";
    folder = mkdtemp(name);
    server = std::make_unique<MemoryNebd>(folder + "/nebd.sock", size, block);
    options.socket = server->path();
    options.file = "cbd:pool//pool/disk_user1_:";
    options.size = size;
    options.block = block;
  }
  ~Setting() {
    server.reset();
    std::filesystem::remove_all(folder);
  }
};

// A request with its memory; wait() for its end.
struct Io : Request {
  std::vector<uint8_t> bytes;
  iovec vec{};
  std::mutex lock;  // guards `over` and `outcome`
  std::condition_variable changed;
  bool over = false;
  int outcome = 1;
  std::function<void()> then;

  Io(Op op_, uint64_t offset_, uint64_t length_, uint8_t fill = 0) : bytes(op_ == Op::read || op_ == Op::write ? length_ : 0, fill) {
    op = op_;
    offset = offset_;
    length = length_;
    vec = {bytes.data(), bytes.size()};
    iov = &vec;
    iovcnt = 1;
    context = this;
    done = [](Request* self, int result) {
      auto* io = static_cast<Io*>(self->context);
      if (io->then) io->then();
      std::lock_guard<std::mutex> guard(io->lock);
      io->outcome = result;
      io->over = true;
      io->changed.notify_all();
    };
  }
  int wait() {
    std::unique_lock<std::mutex> held(lock);
    if (!changed.wait_for(held, std::chrono::seconds(20), [this] { return over; })) {
      tap::check(false, __FILE__, __LINE__, "a request never ended");
      std::abort();
    }
    return outcome;
  }
  bool is_over() {
    std::lock_guard<std::mutex> guard(lock);
    return over;
  }
};

inline int run(Device& device, Io& io, bool may_block = false) {
  io.may_block = may_block;
  device.submit(io);
  return io.wait();
}

inline int write(Device& device, uint64_t offset, uint64_t length, uint8_t fill, bool may_block = false) {
  Io io(Op::write, offset, length, fill);
  return run(device, io, may_block);
}

// The byte that the range is full of, or -1.
inline int read_fill(Device& device, uint64_t offset, uint64_t length, bool may_block = false) {
  Io io(Op::read, offset, length, 0xee);
  const int result = run(device, io, may_block);
  if (result != 0) return result;
  for (uint8_t byte : io.bytes) {
    if (byte != io.bytes[0]) return -1;
  }
  return io.bytes[0];
}

// Waits until it holds; that it never does fails the test.
inline void until(const std::function<bool()>& holds) {
  for (int i = 0; i < 20000; ++i) {
    if (holds()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(!"it never came to be");
}

}  // namespace cbd::test
