// Throttle over a volume in memory. Time is never compared with a clock of the test's own: what is counted is
// how much got through before the bucket was empty, and that the rest comes later and in order.
#include "block/throttle.h"

#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "block/memory_volume.h"
#include "block/support.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;
using Kind = Throttle::Kind;

namespace {

// Asynchronous requests that note the order in which they ended.
struct Crowd {
  struct One {
    Request request;
    iovec iov{};
    Bytes memory;
    Crowd* crowd = nullptr;
    int index = 0;
  };
  std::deque<One> ones;
  std::mutex lock;  // guards order
  std::vector<int> order;
  std::atomic<int> ended{0};
  std::atomic<int> result{0};

  void go(Device& device, Op op, uint64_t length) {
    One& one = ones.emplace_back();
    one.memory.resize(length);
    one.iov = {one.memory.data(), length};
    one.crowd = this;
    one.index = static_cast<int>(ones.size()) - 1;
    one.request.op = op;
    one.request.length = length;
    one.request.iov = &one.iov;
    one.request.iovcnt = 1;
    one.request.context = &one;
    one.request.done = [](Request* self, int rc) {
      auto* o = static_cast<One*>(self->context);
      Crowd* c = o->crowd;
      {
        std::lock_guard<std::mutex> guard(c->lock);
        c->order.push_back(o->index);
      }
      c->result = rc;
      c->ended.fetch_add(1);
      c->ended.notify_all();
    };
    device.submit(one.request);
  }
  void wait(int count) {
    for (int now = ended; now < count; now = ended) ended.wait(now);
  }
  bool in_order() {
    std::lock_guard<std::mutex> guard(lock);
    return std::is_sorted(order.begin(), order.end());
  }
};

}  // namespace

int main() {
  tap::test("without a limit everything passes at once, and there is no thread", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    const int before = count_threads();
    Crowd crowd;
    for (int i = 0; i < 1000; ++i) crowd.go(throttle, Op::write, 4096);
    CHECK_EQ(crowd.ended.load(), 1000);
    CHECK_EQ(count_threads(), before);
  });

  tap::test("the bucket's worth passes at once and the rest later, in order", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 100}), 0);
    Crowd crowd;
    for (int i = 0; i < 130; ++i) crowd.go(throttle, i % 2 ? Op::write : Op::read, 4096);
    CHECK(crowd.ended >= 100);
    CHECK(crowd.ended < 130);
    crowd.wait(130);
    CHECK(crowd.in_order());
  });

  tap::test("a request larger than the bucket goes through in the end", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::bps, {.rate = 1 << 20, .burst = 1 << 20}), 0);
    CHECK_EQ(throttle.set_limit(Kind::write_bps, {.rate = 4 << 20}), 0);
    Crowd crowd;
    crowd.go(throttle, Op::write, 1 << 20);
    CHECK_EQ(crowd.ended.load(), 1);
    crowd.go(throttle, Op::write, 300 << 10);
    CHECK_EQ(crowd.ended.load(), 1);
    crowd.wait(2);
  });

  tap::test("a burst lets more through at once than the average", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::write_iops, {.rate = 10, .burst = 200, .burst_seconds = 2}), 0);
    Crowd crowd;
    for (int i = 0; i < 200; ++i) crowd.go(throttle, Op::write, 4096);
    CHECK_EQ(crowd.ended.load(), 200);
  });

  tap::test("a limit of reads does not hold writes, flushes are never held, excluded ones neither", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::read_iops, {.rate = 1}), 0);
    Crowd crowd;
    for (int i = 0; i < 3; ++i) crowd.go(throttle, Op::read, 4096);
    CHECK_EQ(crowd.ended.load(), 1);
    for (int i = 0; i < 50; ++i) crowd.go(throttle, Op::write, 4096);
    crowd.go(throttle, Op::flush, 0);
    CHECK_EQ(crowd.ended.load(), 52);
    throttle.set_excluded(Throttle::exclude_read);
    crowd.go(throttle, Op::read, 4096);
    CHECK_EQ(crowd.ended.load(), 53);
    // A limit that is taken away lets those that wait go.
    CHECK_EQ(throttle.set_limit(Kind::read_iops, {}), 0);
    crowd.wait(55);
  });

  tap::test("a burst under the limit is refused with EINVAL and changes nothing", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 100, .burst = 99}), -EINVAL);
    CHECK_EQ(throttle.set_schedule_tick_min(0), -EINVAL);
    Crowd crowd;
    for (int i = 0; i < 300; ++i) crowd.go(throttle, Op::write, 4096);
    CHECK_EQ(crowd.ended.load(), 300);
  });

  tap::test("a limit that is raised while requests wait counts for them", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 1, .burst_seconds = 1}), 0);
    Crowd crowd;
    for (int i = 0; i < 2000; ++i) crowd.go(throttle, Op::write, 4096);
    CHECK(crowd.ended < 10);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 1000000}), 0);
    crowd.wait(2000);
    CHECK(crowd.in_order());
  });

  tap::test("synchronous requests wait on their own threads, and asynchronous ones go on meanwhile", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::write_iops, {.rate = 50}), 0);
    std::vector<std::thread> writers;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      writers.emplace_back([&] {
        Sync sync(throttle);
        Bytes data(4096);
        for (int i = 0; i < 20; ++i) wrong += sync.write(0, data.data(), 4096) != 0;
      });
    }
    Crowd crowd;
    for (int i = 0; i < 100; ++i) crowd.go(throttle, Op::read, 4096);
    CHECK_EQ(crowd.ended.load(), 100);
    for (auto& writer : writers) writer.join();
    CHECK_EQ(wrong.load(), 0);
    CHECK_EQ(volume.count(Op::write), 80u);
  });

  tap::test("shutting down answers whatever waits", [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 1}), 0);
    CHECK_EQ(throttle.set_limit(Kind::bps, {.rate = 4096}), 0);
    Crowd crowd;
    for (int i = 0; i < 20; ++i) crowd.go(throttle, Op::write, 4096);
    CHECK(crowd.ended < 20);
    std::atomic<int> blocked{1};
    std::thread writer([&] {
      Sync sync(throttle);
      Bytes data(4096);
      blocked = sync.write(0, data.data(), 4096);
    });
    throttle.shut_down(-ESHUTDOWN);
    crowd.wait(20);
    writer.join();
    CHECK_EQ(crowd.result.load(), -ESHUTDOWN);
    CHECK(blocked == -ESHUTDOWN || blocked == 0);
  });

  const char* forked = "a forked child is limited too, and owes nothing for what its parent has waiting";
  if (!threads_after_fork) return tap::skip(forked, no_threads_after_fork), tap::finish();
  tap::test(forked, [] {
    MemoryVolume volume({.size = 1 << 20});
    Throttle throttle(volume);
    CHECK_EQ(throttle.set_limit(Kind::iops, {.rate = 100}), 0);
    Crowd crowd;
    for (int i = 0; i < 120; ++i) crowd.go(throttle, Op::write, 4096);
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(20);
      Crowd own;
      for (int i = 0; i < 110; ++i) own.go(throttle, Op::write, 4096);
      const bool held = own.ended < 110;
      own.wait(110);
      _exit(held && own.in_order() ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    crowd.wait(120);
  });

  return tap::finish();
}
