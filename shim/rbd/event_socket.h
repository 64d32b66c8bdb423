// rbd_set_image_notification and rbd_poll_io_events: a descriptor of the client that becomes readable as completions
// end, and the list of those that it has not fetched. Knows nothing of images.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>

#include "rbd/completion.h"

namespace cbd::rbd {

class EventSocket {
 public:
  ~EventSocket();

  // `fd` stays the client's. Returns 0; -EINVAL for a type that is not known, or where one was set before.
  int set(int fd, int type);
  bool is_set() const { return fd_.load(std::memory_order_acquire) >= 0; }

  // What the client has heard of an end: nothing; that there is one, before it could be fetched; or he fetches just now.
  enum class Heard : uint8_t { nothing, early, fetches };
  // The completion has ended: it can be fetched, and the client hears of it (one uint64 1, or one byte in a pipe) unless
  // he did already. Who heard early and came before there was anything to fetch hears of it again.
  void announce(Completion& completion, Heard heard);
  // Fetches up to `room` completions, oldest first, into `out`. Returns how many.
  int fetch(rbd_completion_t* out, int room);

  // Around a fork(): what the lock guards is whole in the child.
  void before_fork() { lock_.lock(); }
  void after_fork() { lock_.unlock(); }

 private:
  std::mutex lock_;  // guards ended_ and the setting of fd_
  std::atomic<int> fd_{-1};
  int type_ = 0;
  std::deque<Completion*> ended_;  // with a reference each
};

}  // namespace cbd::rbd
