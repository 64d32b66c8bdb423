// rbd_completion_t: one asynchronous call, from its submission to the end of its callback. It carries the block
// request, so that an I/O allocates nothing else. It must not know what an image is.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>

#include "abi/ceph_api.h"
#include "rbd/transfer.h"

namespace cbd::rbd {

class Completion;
class Image;

// Told of a completion's end: an image with its event socket and its count of calls that are under way.
class CompletionOwner {
 public:
  virtual ~CompletionOwner() = default;
  // The callback has returned; waiters have not been woken yet.
  virtual void callback_returned(Completion& completion) = 0;
  // The last thing that happens to a completion; the owner may be gone when this returns.
  virtual void completion_finished() = 0;
  // Waits for `completion` on a thread that its I/O needs (inside a callback). False where the caller's is no such thread.
  virtual bool wait_on_thread(Completion& completion) = 0;
};

class Completion {
 public:
  Completion(void* arg, rbd_callback_t callback) : callback_(callback), arg_(arg) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // What the C handle points at.
  static Completion* from(rbd_completion_t handle) { return static_cast<Completion*>(handle); }

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Marks the completion as under way and takes a reference for that. `owner` may be null.
  void start(CompletionOwner* owner, bool wants_event) {
    retain();
    wants_event_ = wants_event;
    owner_.store(owner, std::memory_order_release);
  }

  bool wants_event() const { return wants_event_; }
  void set_result(ssize_t result) { result_ = result; }
  ssize_t result() const { return result_; }
  void* arg() const { return arg_; }

  // Runs the callback and wakes the waiters, on the calling thread, and drops start()'s reference.
  void run();

  // True from the moment that the callback begins.
  bool is_complete() const { return state_.load(std::memory_order_acquire) != kPending; }
  // Returns when the callback has returned; at once when called inside it.
  void wait();
  bool has_callback() const { return callback_ != nullptr; }
  // Has `end` called with `kept` when this completion goes: what must stay for as long as its client has it.
  void keep(void* kept, void (*end)(void*)) {
    kept_ = kept;
    end_kept_ = end;
  }
  // Has `request.done` called with 0 when waiters wake, or at once where they have. One at a time.
  void tell(block::Request& request);

  Transfer transfer;
  Image* image = nullptr;  // whose I/O it is

 private:
  enum State : uint32_t { kPending, kCallback, kComplete };

  ~Completion() {
    if (end_kept_ != nullptr) end_kept_(kept_);
  }

  const rbd_callback_t callback_;
  void* const arg_;
  std::atomic<CompletionOwner*> owner_{nullptr};
  bool wants_event_ = false;
  ssize_t result_ = 0;
  void* kept_ = nullptr;
  void (*end_kept_)(void*) = nullptr;
  std::atomic<uint32_t> references_{1};
  std::atomic<uint32_t> state_{kPending};
  std::atomic<block::Request*> waiter_{nullptr};
};

}  // namespace cbd::rbd
