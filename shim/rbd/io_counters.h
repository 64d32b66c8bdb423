// What was asked of an image, and how long it took: counted only while somebody looks (rbd perf image iostat), so that nobody else pays
// for the clock.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace cbd::rbd {

class IoCounters {
 public:
  struct Totals {
    uint64_t ops = 0, bytes = 0, nanoseconds = 0;
  };

  // The time now where requests are counted, else 0.
  int64_t begin() const { return until_.load(std::memory_order_relaxed) == 0 ? 0 : now(); }

  // A request that began at `started` (not 0) has ended.
  void end(bool is_read, uint64_t bytes, int64_t started) {
    const int64_t time = now();
    Counter& counter = counters_[is_read ? 0 : 1];
    counter.ops.fetch_add(1, std::memory_order_relaxed);
    counter.bytes.fetch_add(bytes, std::memory_order_relaxed);
    counter.nanoseconds.fetch_add(static_cast<uint64_t>(time - started), std::memory_order_relaxed);
    int64_t until = until_.load(std::memory_order_relaxed);
    if (until != 0 && time > until) until_.compare_exchange_strong(until, 0, std::memory_order_relaxed);
  }

  // Counts from now on until nobody has looked for half a minute.
  void look() { until_.store(now() + keep_ns, std::memory_order_relaxed); }
  Totals reads() const { return totals(counters_[0]); }
  Totals writes() const { return totals(counters_[1]); }

 private:
  static constexpr int64_t keep_ns = 30'000'000'000;
  struct Counter {
    std::atomic<uint64_t> ops{0}, bytes{0}, nanoseconds{0};
  };
  static int64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  }
  static Totals totals(const Counter& counter) {
    return {counter.ops.load(std::memory_order_relaxed), counter.bytes.load(std::memory_order_relaxed),
            counter.nanoseconds.load(std::memory_order_relaxed)};
  }

  Counter counters_[2];  // reads, writes
  std::atomic<int64_t> until_{0};
};

}  // namespace cbd::rbd
