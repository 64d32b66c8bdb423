// Running a completion and waiting for one; and the C functions of rbd_completion_t.
#include "rbd/completion.h"

#include "rbd/guard.h"

namespace cbd::rbd {

namespace {
// The completion whose callback runs on this thread.
thread_local Completion* running = nullptr;
// Stands in waiter_ for "too late to wait".
constinit block::Request ended{};
}  // namespace

void Completion::run() {
  CompletionOwner* owner = owner_.load(std::memory_order_acquire);
  state_.store(kCallback, std::memory_order_release);
  if (callback_ != nullptr) {
    Completion* outer = std::exchange(running, this);
    callback_(this, arg_);
    running = outer;
  }
  if (owner != nullptr) owner->callback_returned(*this);
  // Sequentially consistent: notify_all() next looks whether anybody waits, and must not look before this is seen.
  state_.store(kComplete);
  state_.notify_all();
  if (block::Request* waiter = waiter_.exchange(&ended)) waiter->done(waiter, 0);
  release();
  if (owner != nullptr) owner->completion_finished();
}

void Completion::wait() {
  if (running == this || state_.load(std::memory_order_acquire) == kComplete) return;
  CompletionOwner* owner = owner_.load(std::memory_order_acquire);
  if (running != nullptr && owner != nullptr && owner->wait_on_thread(*this)) return;
  for (;;) {
    uint32_t state = state_.load(std::memory_order_acquire);
    if (state == kComplete) return;
    state_.wait(state, std::memory_order_acquire);
  }
}

void Completion::tell(block::Request& request) {
  block::Request* none = nullptr;
  if (!waiter_.compare_exchange_strong(none, &request)) request.done(&request, 0);
}

}  // namespace cbd::rbd

using cbd::rbd::Completion;

extern "C" {

// Returns 0, or -ENOMEM.
int rbd_aio_create_completion(void* cb_arg, rbd_callback_t complete_cb, rbd_completion_t* c) {
  return cbd::rbd::guarded([&] {
    *c = new Completion(cb_arg, complete_cb);
    return 0;
  });
}

int rbd_aio_is_complete(rbd_completion_t c) { return Completion::from(c)->is_complete() ? 1 : 0; }

int rbd_aio_wait_for_complete(rbd_completion_t c) {
  Completion::from(c)->wait();
  return 0;
}

ssize_t rbd_aio_get_return_value(rbd_completion_t c) { return Completion::from(c)->result(); }

void* rbd_aio_get_arg(rbd_completion_t c) { return Completion::from(c)->arg(); }

void rbd_aio_release(rbd_completion_t c) { Completion::from(c)->release(); }

}  // extern "C"
