// A thread as a library in somebody else's process may start one: small stack, all signals blocked, with a name.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>

namespace cbd::control {

class Thread {
 public:
  Thread() = default;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  // Must be joined, detached or forgotten before.
  ~Thread() = default;

  // Runs `body` on a new thread. `name` is at most 15 bytes; `stack` in bytes. Returns 0 or -errno.
  int start(const char* name, size_t stack, std::function<void()> body);
  // Waits for the thread's end; where the caller is that thread itself, lets it run out alone.
  void join();
  void detach();
  bool started() const { return started_; }
  bool is_self() const { return started_ && pthread_equal(thread_, pthread_self()); }
  // In a forked child: the thread is not here, and there is nothing to join.
  void forget() { started_ = false; }

 private:
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace cbd::control
