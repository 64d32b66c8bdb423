// The NEBD volume when things go wrong: servers that die, forget, refuse and fall silent.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "curvebs/volume_support.h"

using namespace cbd::test;

namespace {

void failures() {
  tap::test("a server that was killed and started again costs a pause and no error", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    for (int i = 0; i < 10; ++i) {
      s.server->stop();
      Io waiting(Op::write, 4096, 4096, static_cast<uint8_t>(i)), blocking(Op::read, 0, 4096);
      volume.submit(waiting);
      std::thread other([&] { CHECK_EQ(run(volume, blocking, true), 0); });
      s.server->start();
      CHECK_EQ(waiting.wait(), 0);
      other.join();
      CHECK_EQ(blocking.bytes[0], 1);
      CHECK_EQ(read_fill(volume, 4096, 4096), i);
    }
  });
  tap::test("what was in flight when the connection broke is sent again in its order, behind a CloseFile", [] {
    Setting s;
    std::atomic<int> closes_before{-1};
    s.server->decide = [&](const MemoryNebd::Seen& seen) {
      if (seen.method == "Write" && closes_before < 0) return MemoryNebd::Do::carry_out;
      return MemoryNebd::Do::answer;
    };
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::unique_ptr<Io>> ios;
    for (int i = 1; i <= 8; ++i) {
      ios.push_back(std::make_unique<Io>(Op::write, 0, 4096, static_cast<uint8_t>(i)));
      ios.push_back(std::make_unique<Io>(Op::write, static_cast<uint64_t>(i) << 20, 2 << 20, static_cast<uint8_t>(i)));
    }
    for (auto& io : ios) volume.submit(*io);
    until([&] { return s.server->requests("Write") > 0; });
    CHECK_EQ(s.server->requests("CloseFile"), 0u);
    closes_before = 0;
    s.server->disconnect();
    for (auto& io : ios) CHECK_EQ(io->wait(), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 8);
    CHECK_EQ(read_fill(volume, 8 << 20, 2 << 20), 8);
    CHECK_EQ(read_fill(volume, 4 << 20, 1 << 20), 4);
    CHECK(s.server->requests("CloseFile") >= 1);
  });
  tap::test("connections cut again and again under load: no error and nothing lost", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    std::atomic<bool> stop{false};
    std::thread cutter([&] {
      for (uint64_t next = 40; !stop; next = s.server->requests("Write") + 40) {
        until([&] { return stop || s.server->requests("Write") >= next; });
        s.server->disconnect();
      }
    });
    std::mt19937_64 random(5);
    std::array<uint8_t, 256> model{};
    for (int round = 0; round < 60; ++round) {
      std::vector<std::unique_ptr<Io>> ios;
      for (int i = 0; i < 24; ++i) {
        const uint64_t block = random() % 256;
        const auto fill = static_cast<uint8_t>(random());
        ios.push_back(std::make_unique<Io>(Op::write, block << 16, 1 << 16, fill));
        model[block] = fill;
        volume.submit(*ios.back());
      }
      for (auto& io : ios) CHECK_EQ(io->wait(), 0);
      const uint64_t block = random() % 256;
      CHECK_EQ(read_fill(volume, block << 16, 1 << 16, round % 2), model[block]);
    }
    stop = true;
    cutter.join();
    for (uint64_t block = 0; block < 256; ++block) CHECK_EQ(read_fill(volume, block << 16, 1 << 16), model[block]);
    CHECK_EQ(s.server->crash(), "");
    CHECK(s.server->connections() > 3);
  });
  tap::test("a server that forgot its fds is asked to open again", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    s.server->forget_fds();
    CHECK_EQ(read_fill(volume, 0, 4096), 1);
    CHECK_EQ(s.server->requests("OpenFile"), 2u);
    s.server->forget_fds();
    CHECK_EQ(write(volume, 0, 4096, 2, true), 0);
  });
  tap::test("KeepAlive names every open file, and one that is refused opens the file again", [] {
    Setting s;
    s.options.times.keep_alive = 50;
    std::atomic<int> refused{0};
    s.server->decide = [&](const MemoryNebd::Seen& seen) {
      if (seen.method == "KeepAlive" && seen.count > 20 && refused++ == 0) return MemoryNebd::Do::refuse;
      return MemoryNebd::Do::answer;
    };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    until([&] { return s.server->requests("KeepAlive") > 3; });
    until([&] { return refused > 0 && s.server->requests("OpenFile") == 2; });
    CHECK_EQ(read_fill(volume, 0, 4096), 1);
  });
  tap::test("a socket that we may not connect to: files that were never open end in EACCES, others wait until we may", [] {
    Setting s;
    s.options.times.denied = 100;
    s.server->start();
    NebdVolume used(s.options), fresh(s.options);
    CHECK_EQ(write(used, 0, 4096, 1), 0);
    CHECK_EQ(nebd::try_socket(s.options.socket), 0);
    s.server->stop();
    // Nobody passes through the folder. Root may everything: be somebody else meanwhile.
    const bool is_root = geteuid() == 0;
    if (is_root) CHECK_EQ(seteuid(65534), 0);
    chmod(s.folder.c_str(), 0);
    Io waiting(Op::write, 0, 4096, 2);
    used.submit(waiting);
    CHECK_EQ(nebd::try_socket(s.options.socket), -EACCES);
    CHECK_EQ(write(fresh, 4096, 4096, 3), -EACCES);
    CHECK_EQ(write(fresh, 4096, 4096, 3, true), -EACCES);
    CHECK(!waiting.is_over());
    if (is_root) CHECK_EQ(seteuid(0), 0);
    chmod(s.folder.c_str(), 0700);
    s.server->start();
    CHECK_EQ(waiting.wait(), 0);
    CHECK_EQ(write(fresh, 4096, 4096, 3), 0);
    CHECK_EQ(nebd::try_socket(s.folder + "/none.sock"), 0);
  });
  tap::test("a volume that cannot be opened ends in EIO when patience is over", [] {
    Setting s;
    s.options.times.patience = 200;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "OpenFile" ? MemoryNebd::Do::refuse : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), -EIO);
    CHECK_EQ(read_fill(volume, 0, 4096, true), -EIO);
    CHECK(s.server->requests("OpenFile") > 2);
  });
  tap::test("I/O that is refused every time ends in EIO", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" ? MemoryNebd::Do::refuse : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), -EIO);
    CHECK_EQ(s.server->requests("Write"), 4u);
    CHECK_EQ(read_fill(volume, 0, 4096), 0);
  });
  tap::test("an fd that no longer answers, of a volume that does, is replaced by a new one", [] {
    Setting s;
    s.options.times = {50, 5000, 200, 300};
    int32_t wedged = -1;
    s.server->decide = [&](const MemoryNebd::Seen& seen) {
      if (seen.method == "Write" && wedged < 0) wedged = seen.fd;
      return seen.method != "OpenFile" && seen.method != "KeepAlive" && seen.fd == wedged ? MemoryNebd::Do::ignore : MemoryNebd::Do::answer;
    };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 9), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 9);
    const auto names = s.server->open_names();
    CHECK_EQ(names.size(), 2u);
  });
  tap::test("a volume that was removed while an fd is silent ends in EIO", [] {
    Setting s;
    s.options.times = {50, 300, 100, 300};
    std::atomic<bool> removed{false};
    s.server->decide = [&](const MemoryNebd::Seen& seen) {
      if (!removed) return MemoryNebd::Do::answer;
      return seen.method == "OpenFile" ? MemoryNebd::Do::refuse : seen.method == "KeepAlive" ? MemoryNebd::Do::answer : MemoryNebd::Do::ignore;
    };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 9), 0);
    removed = true;
    CHECK_EQ(write(volume, 0, 4096, 9), -EIO);
  });
  tap::test("a volume that grew is usable to its new end at once", [] {
    Setting s;
    s.options.size = 9 * gib;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 9 * gib, 4096, 1), -EINVAL);
    CHECK_EQ(write(volume, 9 * gib - 4096, 4096, 1), 0);
    volume.grow(size);
    CHECK_EQ(volume.size(), size);
    CHECK_EQ(write(volume, size - 4096, 4096, 1), 0);
  });
}

}  // namespace

int main() {
  failures();
  return tap::finish();
}
