// FileVolume over real files: through the page cache and around it, with io_uring and with threads.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <thread>

#include "block/support.h"
#include "block/volume_file.h"
#include "tap.h"

using namespace cbd;
using namespace cbd::block;
using namespace cbd::block::test;

namespace {

struct Kind {
  const char* name;
  bool threads;
  bool direct;
};

constexpr uint64_t mib = 1024 * 1024;

// Asynchronous requests, `depth` at a time, each of which checks that no two completions run together.
struct Flood {
  IoRing& ring;
  Device& device;
  std::atomic<int> running{0}, overlaps{0}, ended{0}, failed{0};

  struct One {
    Request request;
    iovec iov;
    Flood* flood;
  };
  void go(One& one, Op op, uint64_t offset, void* memory, uint64_t length) {
    one.flood = this;
    one.iov = {memory, length};
    one.request.op = op;
    one.request.may_block = false;
    one.request.offset = offset;
    one.request.length = length;
    one.request.iov = &one.iov;
    one.request.iovcnt = op == Op::flush ? 0 : 1;
    one.request.context = &one;
    one.request.done = [](Request* self, int result) {
      // What an image does: hand the end to the ring, and tell the client there.
      auto* o = static_cast<One*>(self->context);
      self->done = [](Request* r, int rc) {
        Flood* f = static_cast<One*>(r->context)->flood;
        if (f->running.fetch_add(1)) ++f->overlaps;
        if (rc) ++f->failed;
        f->running.fetch_sub(1);
        f->ended.fetch_add(1);
        f->ended.notify_all();
      };
      o->flood->ring.complete(*self, result);
    };
    device.submit(one.request);
  }
  void wait(int count) {
    for (int now = ended; now < count; now = ended) ended.wait(now);
  }
};

void basics(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), 4 * mib, ring, {.direct = kind.direct});
  Sync sync(volume, ring);
  const uint32_t block = volume.block_size();
  CHECK_EQ(volume.is_direct(), kind.direct);
  CHECK_EQ(volume.size(), 4 * mib);

  CHECK(sync.bytes(2 * mib, 8192) == Bytes(8192, 0));
  const Bytes data = pattern(3 * 4096, 1);
  CHECK_EQ(sync.write(4096, data.data(), data.size()), 0);
  CHECK(sync.bytes(4096, data.size()) == data);
  CHECK_EQ(sync.flush(), 0);

  // Memory of any alignment.
  Bytes odd(block * 8 + 1);
  CHECK_EQ(sync.read(4096, odd.data() + 1, block * 8), 0);
  CHECK(std::equal(odd.begin() + 1, odd.end(), data.begin()));

  for (bool keep : {false, true}) {
    CHECK_EQ(sync.write(0, data.data(), data.size()), 0);
    CHECK_EQ(sync.plain(Op::zero, 4096, 4096, keep), 0);
    CHECK(sync.bytes(4096, 4096) == Bytes(4096, 0));
    CHECK(sync.bytes(0, 4096) == Bytes(data.begin(), data.begin() + 4096));
  }
  CHECK_EQ(sync.plain(Op::discard, 0, 4096), 0);
  CHECK(sync.bytes(0, 4096) == Bytes(4096, 0));

  // The last piece of a file that ends early.
  CHECK_EQ(sync.write(4 * mib - block, data.data(), block), 0);
  CHECK(sync.bytes(4 * mib - block, block) == Bytes(data.begin(), data.begin() + block));
}

void refusals(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), mib, ring, {.direct = kind.direct});
  Sync sync(volume, ring);
  Bytes page(4096);
  CHECK_EQ(sync.read(0, page.data(), 0), -EINVAL);
  CHECK_EQ(sync.write(mib, page.data(), 4096), -EINVAL);
  CHECK_EQ(sync.read(mib - 512, page.data(), 1024), -EINVAL);
  CHECK_EQ(sync.read(UINT64_MAX - 511, page.data(), 4096), -EINVAL);
  CHECK_EQ(sync.plain(Op::discard, 0, 2 * mib), -EINVAL);
  if (kind.direct) {
    CHECK_EQ(sync.write(1, page.data(), 4096), -EINVAL);
    CHECK_EQ(sync.write(0, page.data(), 100), -EINVAL);
  }
  std::vector<Extent> extents;
  CHECK_EQ(volume.extents(0, 2 * mib, extents), -EINVAL);
  CHECK(extents.empty());
}

void many_at_once(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), 8 * mib, ring, {.direct = kind.direct});
  constexpr int per_thread = 500, threads = 3;
  Flood flood{*ring, volume};
  std::vector<std::thread> clients;
  std::vector<std::vector<Flood::One>> requests(threads);
  std::vector<Bytes> contents;
  for (int t = 0; t < threads; ++t) contents.push_back(pattern(per_thread * 4096, 10 + t));
  for (int t = 0; t < threads; ++t) {
    requests[t] = std::vector<Flood::One>(per_thread);
    clients.emplace_back([&, t] {
      for (int i = 0; i < per_thread; ++i) {
        const bool flush = i % 50 == 49;
        flood.go(requests[t][i], flush ? Op::flush : Op::write, flush ? 0 : (t * per_thread + i) * 4096ull,
                 contents[t].data() + i * 4096, flush ? 0 : 4096);
      }
    });
  }
  // The submitting threads end while their requests are under way, which must not cancel any.
  for (auto& client : clients) client.join();
  flood.wait(per_thread * threads);
  CHECK_EQ(flood.overlaps.load(), 0);
  CHECK_EQ(flood.failed.load(), 0);
  Sync sync(volume, ring);
  int wrong = 0;
  for (int t = 0; t < threads; ++t) {
    for (int i = 0; i < per_thread; ++i) {
      const unsigned char* expected = contents[t].data() + i * 4096;
      const Bytes got = sync.bytes((t * per_thread + i) * 4096ull, 4096);
      const bool is_flush = i % 50 == 49;
      if (is_flush ? got != Bytes(4096, 0) : !std::equal(got.begin(), got.end(), expected)) ++wrong;
    }
  }
  CHECK_EQ(wrong, 0);
}

void long_scatter(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), 4 * mib, ring, {.direct = kind.direct});
  // More pieces than the kernel takes at once, of odd lengths that add up to whole blocks.
  const Bytes data = pattern(1500 * 512, 3);
  Bytes copy = data;
  std::vector<iovec> iov;
  for (size_t at = 0, i = 0; at < copy.size(); ++i) {
    const size_t n = std::min<size_t>(copy.size() - at, i % 2 ? 341 : 171);
    iov.push_back({copy.data() + at, n});
    at += n;
  }
  for (Op op : {Op::write, Op::read}) {
    for (bool block : {true, false}) {
      if (op == Op::read) std::fill(copy.begin(), copy.end(), 0);
      Request r;
      r.op = op;
      r.offset = 4096;
      r.length = copy.size() / 4096 * 4096;
      r.iov = iov.data();
      r.iovcnt = static_cast<int>(iov.size());
      int result = 1;
      if (block) {
        result = ring->run(volume, r);
      } else {
        std::atomic<int> ended{1};
        r.may_block = false;
        r.context = &ended;
        r.done = [](Request* self, int rc) {
          auto* e = static_cast<std::atomic<int>*>(self->context);
          e->store(rc);
          e->notify_all();
        };
        volume.submit(r);
        ended.wait(1);
        result = ended;
      }
      CHECK_EQ(result, 0);
      CHECK(std::equal(copy.begin(), copy.begin() + static_cast<long>(r.length), data.begin()));
    }
  }
}

void inside_a_callback(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), mib, ring, {.direct = kind.direct});
  struct Outer {
    Request request;
    iovec iov;
    IoRing* ring;
    FileVolume* volume;
    int inner = 1;
    bool nested_completion = false;
    std::atomic<int> ended{0};
  } outer;
  Bytes page(4096, 7);
  outer.iov = {page.data(), page.size()};
  outer.ring = ring.get();
  outer.volume = &volume;
  outer.request.op = Op::write;
  outer.request.length = 4096;
  outer.request.iov = &outer.iov;
  outer.request.iovcnt = 1;
  outer.request.context = &outer;
  outer.request.done = [](Request* self, int result) {
    auto* o = static_cast<Outer*>(self->context);
    self->done = [](Request* r, int rc) {
      auto* u = static_cast<Outer*>(r->context);
      // A client's callback does synchronous I/O, and starts a request whose end comes at once: not inside
      // this callback.
      Bytes back(4096);
      Sync sync(*u->volume, std::shared_ptr<IoRing>(u->ring, [](IoRing*) {}));
      u->inner = rc ? rc : sync.read(0, back.data(), 4096);
      if (back != Bytes(4096, 7)) u->inner = -EIO;
      static Request refused;
      static std::atomic<bool> inside;
      inside = true;
      refused = Request{};
      refused.context = u;
      refused.done = [](Request* x, int) {
        auto* v = static_cast<Outer*>(x->context);
        if (inside) v->nested_completion = true;
        v->ended = 1;
        v->ended.notify_all();
      };
      u->ring->complete(refused, -EINVAL);
      inside = false;
    };
    o->ring->complete(*self, result);
  };
  volume.submit(outer.request);
  outer.ended.wait(0);
  CHECK_EQ(outer.inner, 0);
  CHECK_EQ(outer.nested_completion, false);
}

void forked(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), 8 * mib, ring, {.direct = kind.direct});
  Flood flood{*ring, volume};
  Bytes page = pattern(4096, 5);
  std::vector<Flood::One> ones(64);
  // The sanitizers' own locks do not survive a fork while another thread is being made, so let all be made
  // first.
  for (int i = 0; i < 64; ++i) flood.go(ones[i], Op::write, i * 4096ull, page.data(), 4096);
  flood.wait(64);
  flood.ended = 0;
  for (int i = 0; i < 64; ++i) flood.go(ones[i], Op::write, i * 4096ull, page.data(), 4096);
  // Children are made while the parent's requests are under way, and use the same volume at once.
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(20);
      Flood mine{*ring, volume};
      std::vector<Flood::One> own(16);
      const Bytes data = pattern(4096, 100 + c);
      Bytes copy = data;
      for (int i = 0; i < 16; ++i)
        mine.go(own[i], Op::write, mib + (c * 16 + i) * 4096ull, copy.data(), 4096);
      mine.wait(16);
      Sync sync(volume, ring);
      const bool good = mine.failed == 0 && sync.bytes(mib + c * 65536, 4096) == data;
      _exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  flood.wait(64);
  for (pid_t pid : children) {
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
  }
  for (int i = 0; i < 64; ++i) flood.go(ones[i], Op::read, i * 4096ull, page.data(), 4096);
  flood.wait(128);
  CHECK_EQ(flood.failed.load(), 0);
}

void full(const Kind& kind) {
  auto ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = kind.threads});
  FileVolume volume(temporary_file(), 8 * mib, ring, {.direct = kind.direct});
  Sync sync(volume, ring);
  Bytes page(8192, 1);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4 * mib, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const int inside = sync.write(4 * mib - 8192, page.data(), 8192);
  const int outside = sync.write(4 * mib, page.data(), 8192);
  const int across = sync.write(4 * mib - 4096, page.data(), 8192);
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK_EQ(inside, 0);
  CHECK_EQ(outside, -EFBIG);
  CHECK_EQ(across, -EFBIG);
}

}  // namespace

// What QEMU's or a container's sandbox does: io_uring_setup gives EPERM.
bool forbid_io_uring() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main() {
  tap::test("where a sandbox forbids io_uring threads do the work", [] {
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(60);
      if (!forbid_io_uring()) _exit(2);
      many_at_once({"sandbox", false, false});
      many_at_once({"sandbox", false, true});
      _exit(tap::counts().failures_here ? 1 : 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
  });

  const Kind kinds[] = {{"io_uring, page cache", false, false},
                        {"threads, page cache", true, false},
                        {"io_uring, O_DIRECT", false, true},
                        {"threads, O_DIRECT", true, true}};
  for (const Kind& kind : kinds) {
    const std::string tail = std::string(" (") + kind.name + ")";
    auto run = [&](const char* sentence, void (*body)(const Kind&)) {
      tap::test((sentence + tail).c_str(), [&] { body(kind); });
    };
    run("what is written, zeroed and discarded is read back so", basics);
    run("empty, unaligned and outlying requests are refused with EINVAL", refusals);
    run("requests of threads that end meanwhile all finish, and completions never overlap", many_at_once);
    run("a request of more pieces than the kernel takes is done whole", long_scatter);
    run("a callback may do synchronous I/O, and completions do not nest", inside_a_callback);
    if (threads_after_fork) {
      run("forked children use the volume while the parent goes on", forked);
    } else {
      tap::skip(("forked children use the volume while the parent goes on" + tail).c_str(),
                no_threads_after_fork);
    }
    run("a file that cannot grow says so", full);
  }

  tap::test("a file system without O_DIRECT gets the page cache", [] {
    auto ring = std::make_shared<IoRing>();
    FileVolume volume(temporary_file("/dev/shm"), mib, ring, {.direct = true});
    const bool works = volume.block_size() == 1 || volume.is_direct();
    CHECK(works);
    Sync sync(volume, ring);
    Bytes page = pattern(4096, 1);
    CHECK_EQ(sync.write(4096, page.data(), 4096), 0);
    CHECK_EQ(sync.plain(Op::zero, 4096, 4096, true), 0);
    CHECK(sync.bytes(4096, 4096) == Bytes(4096, 0));
  });

  tap::test("extents tell data from holes, clipped and without gaps", [] {
    auto ring = std::make_shared<IoRing>();
    FileVolume volume(temporary_file(), 4 * mib, ring);
    Sync sync(volume, ring);
    Bytes page(65536, 1);
    CHECK_EQ(sync.write(mib, page.data(), 65536), 0);
    std::vector<Extent> extents;
    CHECK_EQ(volume.extents(4096, 3 * mib, extents), 0);
    uint64_t at = 4096, data = 0;
    for (const Extent& e : extents) {
      CHECK_EQ(e.offset, at);
      at += e.length;
      if (e.kind == Extent::Kind::data) data += e.length;
    }
    CHECK_EQ(at, 4096 + 3 * mib);
    CHECK_EQ(data, 65536u);
  });

  tap::test("nothing is made before the first asynchronous request", [] {
    const int before = count_threads();
    auto ring = std::make_shared<IoRing>();
    FileVolume volume(temporary_file(), mib, ring);
    Sync sync(volume, ring);
    Bytes page(4096);
    CHECK_EQ(sync.write(0, page.data(), 4096), 0);
    CHECK_EQ(count_threads(), before);
  });
  return tap::finish();
}
