// Linux AIO (io_submit) for small requests around the page cache: given to the kernel by the thread that has them,
// without a hop to the ring's thread, and finished by whoever looks first. io_uring cannot do this: its results need
// the thread that submitted. Knows nothing of who looks, or when.
#pragma once

#include <linux/aio_abi.h>

#include <atomic>
#include <mutex>

#include "block/io_ring.h"

namespace cbd::block {

class AioQueue {
 public:
  AioQueue() = default;
  ~AioQueue();
  AioQueue(const AioQueue&) = delete;
  AioQueue& operator=(const AioQueue&) = delete;

  // Once. False where the kernel gives no queue (fs.aio-max-nr is used up, or a seccomp filter).
  bool open();
  bool is_open() const { return is_open_.load(std::memory_order_seq_cst); }

  // Counts a task among those in flight before submit() is called for it: from here on in_flight() does not miss it.
  void announce() { submitted_.fetch_add(1, std::memory_order_seq_cst); }

  // Gives up to `most` of the reads and writes chained from `first`, each announced, to the kernel, from any thread; it
  // never waits for the disk. One eventfd, `event_fd` or for tasks that raise `raised_fd`, is raised by one as each has
  // ended: with -EAGAIN where it would have had to wait. Returns how many the kernel took, from the first on: these may be
  // over already. The others are no longer announced.
  static constexpr int most = 32;
  int submit(IoRing::Task* first, int event_fd, int raised_fd);

  // Tasks that were announced or taken, and not reaped; may be more, while another thread reaps.
  unsigned in_flight() const {
    return submitted_.load(std::memory_order_seq_cst) - reaped_.load(std::memory_order_relaxed);
  }
  // Whether reap() would find something.
  bool has_ended() const;

  // Chains what has ended, oldest first, behind `tail`; returns the new tail. From any thread.
  IoRing::Task** reap(IoRing::Task** tail);

 private:
  std::mutex lock_;  // guards the consumer's end of the kernel's ring of results
  aio_context_t context_ = 0;
  std::atomic<bool> is_open_{false};
  // Announced and not refused. Also orders a task's memory between who submits it and who reaps it: the kernel's own
  // ordering is not seen by TSan.
  std::atomic<unsigned> submitted_{0};
  std::atomic<unsigned> reaped_{0};
};

}  // namespace cbd::block
