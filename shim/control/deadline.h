// A point in time at which somebody stops waiting, or never.
#pragma once

#include <algorithm>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace cbd::control {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  Deadline() = default;  // never
  static Deadline never() { return {}; }
  // 0 milliseconds is never, as the options that bound waits have it.
  static Deadline after_ms(uint64_t ms) {
    Deadline d;
    if (ms != 0 && ms < uint64_t{1} << 50) d.at_ = Clock::now() + std::chrono::milliseconds(ms);
    return d;
  }

  bool is_never() const { return at_ == Clock::time_point::max(); }
  bool passed() const { return !is_never() && Clock::now() >= at_; }
  Clock::time_point at() const { return at_; }
  Deadline earlier(const Deadline& other) const { return other.at_ < at_ ? other : *this; }

  // For poll(2): -1 is never; rounded up, so that a wait does not end a little early and spin.
  int poll_ms() const {
    if (is_never()) return -1;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - Clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
  }

  // Waits until `done` holds or the time has come; returns whether `done` holds.
  template <typename Done>
  bool wait(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, Done done) const {
    if (is_never()) {
      condition.wait(lock, done);
      return true;
    }
    return condition.wait_until(lock, at_, done);
  }

 private:
  Clock::time_point at_ = Clock::time_point::max();
};

}  // namespace cbd::control
