// The NEBD volume over a server in memory: what it sends, in which order, and what it does when things go wrong.
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

using namespace cbd::block;
using cbd::test::MemoryNebd;

namespace {

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
  std::mutex lock;
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

int run(Device& device, Io& io, bool may_block = false) {
  io.may_block = may_block;
  device.submit(io);
  return io.wait();
}

int write(Device& device, uint64_t offset, uint64_t length, uint8_t fill, bool may_block = false) {
  Io io(Op::write, offset, length, fill);
  return run(device, io, may_block);
}

// The byte that the range is full of, or -1.
int read_fill(Device& device, uint64_t offset, uint64_t length, bool may_block = false) {
  Io io(Op::read, offset, length, 0xee);
  const int result = run(device, io, may_block);
  if (result != 0) return result;
  for (uint8_t byte : io.bytes) {
    if (byte != io.bytes[0]) return -1;
  }
  return io.bytes[0];
}

// Waits until it holds; that it never does fails the test.
void until(const std::function<bool()>& holds) {
  for (int i = 0; i < 20000; ++i) {
    if (holds()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(!"it never came to be");
}

void basics() {
  tap::test("what was written is read, in every length and by either way of waiting", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    for (bool may_block : {false, true}) {
      CHECK_EQ(write(volume, 0, 4096, 1, may_block), 0);
      CHECK_EQ(write(volume, 8192, 3 << 20, 2, may_block), 0);
      CHECK_EQ(write(volume, size - 4096, 4096, 3, may_block), 0);
      CHECK_EQ(read_fill(volume, 0, 4096, may_block), 1);
      CHECK_EQ(read_fill(volume, 4096, 4096, may_block), 0);
      CHECK_EQ(read_fill(volume, 8192, 3 << 20, may_block), 2);
      CHECK_EQ(read_fill(volume, size - 4096, 4096, may_block), 3);
    }
    CHECK_EQ(s.server->connections(), 1);
    CHECK_EQ(s.server->crash(), "");
  });
  tap::test("scattered memory is gathered and scattered", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<uint8_t> memory(2 << 20), back(2 << 20);
    std::mt19937 random(3);
    for (auto& byte : memory) byte = static_cast<uint8_t>(random());
    auto cut = [&](std::vector<uint8_t>& bytes) {
      std::vector<iovec> pieces;
      for (size_t at = 0; at < bytes.size();) {
        const size_t n = std::min<size_t>(bytes.size() - at, 1 + random() % 5000);
        pieces.push_back({bytes.data() + at, n});
        at += n;
      }
      return pieces;
    };
    for (Op op : {Op::write, Op::read}) {
      auto pieces = cut(op == Op::write ? memory : back);
      Io io(Op::discard, 1 << 20, memory.size());
      io.op = op;
      io.iov = pieces.data();
      io.iovcnt = static_cast<int>(pieces.size());
      CHECK_EQ(run(volume, io), 0);
    }
    CHECK(memory == back);
  });
  tap::test("what is no whole block of the volume, empty, or outside it, is refused and not sent", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    for (Op op : {Op::read, Op::write, Op::zero, Op::discard}) {
      for (auto [offset, length] : std::vector<std::pair<uint64_t, uint64_t>>{
               {0, 0}, {0, 512}, {512, 4096}, {1, 1}, {size, 4096}, {size - 4096, 8192}, {UINT64_MAX - 4095, 4096}, {UINT64_MAX - 4095, 8192}, {4096, 4097}}) {
        Io io(op, offset, 0);
        io.length = length;
        CHECK_EQ(run(volume, io), -EINVAL);
      }
    }
    CHECK_EQ(s.server->requests("Read") + s.server->requests("Write") + s.server->requests("Discard"), 1u);
    Io compare(Op::compare_and_write, 0, 4096);
    CHECK_EQ(run(volume, compare), -EOPNOTSUPP);
    CHECK_EQ(s.server->crash(), "");
  });
  tap::test("zero writes zeroes, discard is passed on, flush costs nothing", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 2 << 20, 7), 0);
    Io zero(Op::zero, 4096, (2 << 20) - 8192), discard(Op::discard, 0, 2 * gib), flush(Op::flush, 0, 0);
    CHECK_EQ(run(volume, zero), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 7);
    CHECK_EQ(read_fill(volume, 4096, (2 << 20) - 8192), 0);
    CHECK_EQ(run(volume, discard), 0);
    CHECK_EQ(s.server->requests("Discard"), 1u);
    CHECK_EQ(run(volume, flush), 0);
    CHECK_EQ(s.server->requests("Flush"), 0u);
    CHECK(!volume.discard_zeroes());
    std::vector<Extent> extents;
    CHECK_EQ(volume.extents(4096, 8192, extents), 0);
    CHECK(extents.size() == 1 && extents[0].kind == Extent::Kind::data);
  });
  tap::test("blocks of 512 bytes, and a server whose blocks are larger than ours", [] {
    Setting s(512);
    s.server->start();
    NebdVolume small(s.options);
    CHECK_EQ(write(small, 512, 1024, 5), 0);
    CHECK_EQ(read_fill(small, 512, 1024), 5);
    s.options.block = 4096;
    NebdVolume large(s.options);
    CHECK_EQ(read_fill(large, 4096, 4096), 0);
    Setting other;
    other.options.block = 512;
    other.server->start();
    NebdVolume wrong(other.options);
    CHECK_EQ(write(wrong, 512, 512, 5), -EIO);
    CHECK_EQ(other.server->requests("Write"), 0u);
    CHECK_EQ(other.server->crash(), "");
  });
  tap::test("names are this process's and this volume's own; volumes share the connection; a released one is closed", [] {
    Setting s;
    s.server->start();
    auto first = std::make_unique<NebdVolume>(s.options), second = std::make_unique<NebdVolume>(s.options);
    CHECK_EQ(write(*first, 0, 4096, 1), 0);
    CHECK_EQ(read_fill(*second, 0, 4096), 1);
    auto names = s.server->open_names();
    CHECK_EQ(names.size(), 2u);
    CHECK(names[0] != names[1]);
    for (const auto& name : names) {
      CHECK(name.starts_with("cbd:pool-" + std::to_string(getpid()) + "-"));
      CHECK(name.ends_with("//pool/disk_user1_:"));
    }
    CHECK_EQ(s.server->connections(), 1);
    first.reset();
    second.reset();
    until([&] { return s.server->open_names().empty(); });
  });
}

void order() {
  tap::test("replies are matched in any order", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" || seen.method == "Read" ? MemoryNebd::Do::hold : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::unique_ptr<Io>> ios;
    for (uint64_t i = 0; i < 500; ++i) {
      ios.push_back(std::make_unique<Io>(Op::write, i * 8192, 4096, static_cast<uint8_t>(i)));
      volume.submit(*ios.back());
    }
    until([&] { return s.server->held() == 500; });
    s.server->release();
    for (auto& io : ios) CHECK_EQ(io->wait(), 0);
    ios.clear();
    for (uint64_t i = 0; i < 500; ++i) {
      ios.push_back(std::make_unique<Io>(Op::read, i * 8192, 4096));
      volume.submit(*ios.back());
    }
    until([&] { return s.server->held() == 500; });
    s.server->release();
    for (uint64_t i = 0; i < 500; ++i) {
      CHECK_EQ(ios[i]->wait(), 0);
      CHECK(ios[i]->bytes == std::vector<uint8_t>(4096, static_cast<uint8_t>(i)));
    }
  });
  tap::test("a write waits for an earlier one to the same place, and nothing else waits", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" ? MemoryNebd::Do::hold : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    Io first(Op::write, 8192, 8192, 1), second(Op::write, 12288, 8192, 2), third(Op::write, 16384, 4096, 3), apart(Op::write, 1 << 20, 4096, 4);
    for (Io* io : {&first, &second, &third, &apart}) volume.submit(*io);
    until([&] { return s.server->held() == 2; });
    CHECK_EQ(read_fill(volume, 8192, 8192), 0);
    CHECK_EQ(s.server->requests("Write"), 2u);
    s.server->release();
    CHECK_EQ(first.wait() + apart.wait(), 0);
    until([&] { return s.server->held() == 1; });
    s.server->release();
    CHECK_EQ(second.wait(), 0);
    until([&] { return s.server->held() == 1; });
    s.server->release();
    CHECK_EQ(third.wait(), 0);
    CHECK_EQ(read_fill(volume, 12288, 4096), 2);
    CHECK_EQ(read_fill(volume, 16384, 4096), 3);
  });
  tap::test("a completion may submit, and wait, on the thread that it runs on", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    Io outer(Op::write, 0, 4096, 1);
    int inner = 1, again = 1;
    outer.then = [&] {
      inner = write(volume, 4096, 2 << 20, 2, true);
      again = read_fill(volume, 4096, 2 << 20, true);
    };
    CHECK_EQ(run(volume, outer), 0);
    CHECK_EQ(inner, 0);
    CHECK_EQ(again, 2);
    // And through a reconnect.
    Io last(Op::read, 0, 4096);
    last.then = [&] {
      s.server->disconnect();
      inner = write(volume, 4096, 4096, 3, true);
      s.server->disconnect();
      again = read_fill(volume, 4096, 4096, true);
    };
    CHECK_EQ(run(volume, last), 0);
    CHECK_EQ(inner, 0);
    CHECK_EQ(again, 3);
  });
  tap::test("many threads, both ways of waiting, against a model of bytes", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        std::array<uint8_t, 64> model{};
        for (int i = 0; i < 600; ++i) {
          const uint64_t first = random() % 64, count = 1 + random() % (64 - first), base = t * gib;
          const bool may_block = (t + static_cast<uint64_t>(i)) % 2;
          if (random() % 2) {
            const auto fill = static_cast<uint8_t>(random());
            CHECK_EQ(write(volume, base + first * 4096, count * 4096, fill, may_block), 0);
            for (uint64_t b = first; b < first + count; ++b) model[b] = fill;
          } else {
            CHECK_EQ(read_fill(volume, base + first * 4096, 4096, may_block), model[first]);
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK_EQ(s.server->crash(), "");
  });
}

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
      while (!stop) {
        std::this_thread::sleep_for(std::chrono::milliseconds(7));
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
  tap::test("I/O that is refused every time ends in EIO; on a volume whose writer may be fenced, at once in ESHUTDOWN", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" ? MemoryNebd::Do::refuse : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), -EIO);
    CHECK_EQ(s.server->requests("Write"), 4u);
    CHECK_EQ(read_fill(volume, 0, 4096), 0);
    s.options.open_again = false;
    NebdVolume owned(s.options);
    CHECK_EQ(write(owned, 0, 4096, 1), -ESHUTDOWN);
    CHECK_EQ(s.server->requests("Write"), 5u);
    CHECK_EQ(read_fill(owned, 0, 4096), -ESHUTDOWN);
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

void forks() {
  tap::test("eight forked children and their parent all use the volume, each under its own name", [] {
    Setting s;
    s.server->start();
    auto volume = std::make_unique<NebdVolume>(s.options);
    CHECK_EQ(write(*volume, 0, 4096, 100), 0);
    std::vector<pid_t> children;
    for (int i = 1; i <= 8; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        const uint64_t at = static_cast<uint64_t>(i) * gib;
        bool good = read_fill(*volume, 0, 4096) == 100;
        for (int round = 0; round < 50 && good; ++round) {
          good = write(*volume, at, 1 << 16, static_cast<uint8_t>(round), round % 2) == 0 && read_fill(*volume, at, 1 << 16, round % 2) == round;
        }
        volume.reset();
        _exit(good ? 0 : 1);
      }
      children.push_back(pid);
    }
    for (int round = 0; round < 50; ++round) CHECK_EQ(write(*volume, 4096, 1 << 16, static_cast<uint8_t>(round)), 0);
    for (pid_t pid : children) {
      int status = -1;
      waitpid(pid, &status, 0);
      CHECK_EQ(status, 0);
    }
    for (int i = 1; i <= 8; ++i) CHECK_EQ(read_fill(*volume, static_cast<uint64_t>(i) * gib, 1 << 16), 49);
    until([&] { return s.server->open_names().size() == 1; });
    CHECK_EQ(s.server->connections(), 9);
  });
}

void hostile() {
  tap::test("spoiled replies never harm the process, and good ones afterwards are taken", [] {
    Setting s;
    std::mt19937_64 random(11);
    std::atomic<bool> spoiling{true};
    s.server->spoil = [&spoiling, random = std::mt19937_64(12)](std::vector<uint8_t>& frame) mutable {
      if (!spoiling || random() % 3) return;
      switch (random() % 6) {
        case 0: frame[random() % frame.size()] = static_cast<uint8_t>(random()); break;
        case 1: frame.resize(random() % frame.size()); break;
        case 2: frame.insert(frame.end(), frame.begin(), frame.end()); break;
        case 3: frame.assign(random() % 300, static_cast<uint8_t>(random())); break;
        case 4: for (int i = 0; i < 4; ++i) frame[12 + random() % 12] = static_cast<uint8_t>(random()); break;
        default: memcpy(frame.data() + 4, "\xff\xff\xff\xff", 4); break;
      }
    };
    s.options.times.patience = 100;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::unique_ptr<Io>> ios;
    for (int i = 0; i < 300; ++i) {
      ios.push_back(std::make_unique<Io>(random() % 2 ? Op::read : Op::write, (random() % 64) << 12, (1 + random() % 20) << 12, 1));
      volume.submit(*ios.back());
      if (i % 10 == 9) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    spoiling = false;
    s.server->disconnect();
    for (auto& io : ios) io->wait();
    CHECK_EQ(s.server->crash(), "");
    CHECK_EQ(write(volume, 0, 4096, 5), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 5);
  });
}

}  // namespace

// Forked children make threads, which TSan takes no notice of but stops by default.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main() {
  basics();
  order();
  failures();
  forks();
  hostile();
  return tap::finish();
}
