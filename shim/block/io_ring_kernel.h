// io_uring for one thread: tasks in, finished tasks out. Used by IoRing's thread alone, so it needs no lock.
#pragma once

#include <liburing.h>

#include "block/io_ring.h"

namespace cbd::block {

class KernelRing {
 public:
  KernelRing() = default;
  ~KernelRing();
  KernelRing(const KernelRing&) = delete;
  KernelRing& operator=(const KernelRing&) = delete;

  // To be called on the thread that uses the ring. Writes to `wake_fd` (an eventfd, not owned) end a wait.
  // Returns 0, or -errno where io_uring cannot be used here (seccomp, an old kernel, limits).
  int open(int wake_fd);
  bool is_open() const { return is_open_; }

  // Takes a task; false where there is no room before the next enter().
  bool add(IoRing::Task& task);

  // Hands over what was added.
  void enter();
  // The same, and returns only when something finished, the eventfd was written, or the time is over (`ms`; 0: never).
  void enter_and_wait(unsigned ms);
  // Whether enter_and_wait() can wait for a time only (Linux 5.11).
  bool can_time() const { return ring_.features & IORING_FEAT_EXT_ARG; }

  // Chains what finished, in order of completion, behind `tail`; returns the new tail.
  IoRing::Task** reap(IoRing::Task** tail);

  unsigned in_flight() const { return in_flight_; }
  // The ring's descriptor: a forked child closes its copy.
  int fd() const { return ring_.ring_fd; }

 private:
  void arm_wake();

  io_uring ring_{};
  bool is_open_ = false;
  int wake_fd_ = -1;
  uint64_t wake_count_ = 0;
  bool wake_armed_ = false;
  unsigned in_flight_ = 0;
};

}  // namespace cbd::block
