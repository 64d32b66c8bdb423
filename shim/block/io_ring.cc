// The ring as its users see it: one core for each process that uses it, and requests that wait or complete.
#include "block/io_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "block/fork_generation.h"
#include "block/futex.h"
#include "block/io_ring_core.h"

namespace cbd::block {
namespace {

// The end of a client's request on its way to the ring's thread; lies in Request::scratch.
struct Completion : IoRing::Task {
  Request* request = nullptr;
};
static_assert(sizeof(Completion) <= sizeof(Request::scratch));

}  // namespace

// `core` is null until first use; the one of another process is never followed but by abandon().
struct IoRing::Holder {
  explicit Holder(Options o) : options(o) {}
  struct Made {
    uint32_t generation;
    std::shared_ptr<Core> core;
  };
  const Options options;
  std::atomic<Made*> made{nullptr};
  std::atomic<int> listened{-1};  // the client's eventfd
};

IoRing::IoRing(Options options) : holder_(std::make_unique<Holder>(options)) {}

IoRing::~IoRing() {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  if (!made || made->generation != fork_generation()) return;
  made->core->stop();
  delete made;
}

IoRing::Core& IoRing::core() {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  const uint32_t now = fork_generation();
  if (made && made->generation == now) return *made->core;
  auto fresh = std::make_unique<Holder::Made>(Holder::Made{now, std::make_shared<Core>(holder_->options)});
  for (;;) {
    Holder::Made* before = made;
    if (holder_->made.compare_exchange_strong(made, fresh.get(), std::memory_order_acq_rel)) {
      if (before) before->core->abandon();
      Core& core = *fresh.release()->core;
      core.listen(holder_->listened.load(std::memory_order_acquire));
      return core;
    }
    if (made && made->generation == now) return *made->core;
  }
}

bool IoRing::on_thread() const {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  return made && made->generation == fork_generation() && made->core->is_current_thread();
}

bool IoRing::in_callback() const {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  return made && made->generation == fork_generation() && (made->core->is_current_thread() || made->core->is_helper());
}

int64_t IoRing::perform(const Task& task) {
  for (;;) {
    int64_t rc = 0;
    switch (task.kind) {
      case Task::Kind::read:
        rc = preadv2(task.fd, task.iov, task.iovcnt, static_cast<off_t>(task.offset), 0);
        break;
      case Task::Kind::write:
        rc = pwritev2(task.fd, task.iov, task.iovcnt, static_cast<off_t>(task.offset), 0);
        break;
      case Task::Kind::sync:
        rc = fdatasync(task.fd);
        break;
      case Task::Kind::allocate:
        rc = fallocate(task.fd, task.mode, static_cast<off_t>(task.offset), static_cast<off_t>(task.length));
        break;
      case Task::Kind::call:
        return task.result;
    }
    if (rc >= 0) return rc;
    if (errno != EINTR) return -errno;
  }
}

void IoRing::start(Task& task) {
  task.is_completion = false;
  task.is_done = false;
  task.is_direct = false;
  Core& c = core();
  if (c.ensure_thread()) {
    c.push(task);
    return;
  }
  task.result = perform(task);
  task.finish(task);
}

bool IoRing::start_direct(Task& task, bool raises_listened, bool* was_raised) {
  task.is_completion = false;
  task.is_done = false;
  task.is_direct = true;
  Core& c = core();
  return c.ensure_thread() && c.submit_direct(task, raises_listened, was_raised);
}

void IoRing::listen(int event_fd) {
  holder_->listened.store(event_fd, std::memory_order_release);
  core().listen(event_fd);
}

void IoRing::help() {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  if (!made || made->generation != fork_generation()) return;
  // A callback may close the image.
  const std::shared_ptr<Core> keep = made->core;
  keep->help();
}

void IoRing::complete(Request& request, int result) {
  Core& c = core();
  auto* completion = new (request.scratch) Completion;
  completion->request = &request;
  completion->is_completion = true;
  completion->result = result;
  completion->finish = [](Task& self) {
    Request* r = static_cast<Completion&>(self).request;
    r->done(r, static_cast<int>(self.result));
  };
  if (c.add_completion_here(*completion)) {
    // Its turn comes on this thread.
  } else if (c.ensure_thread()) {
    c.push(*completion);
  } else {
    completion->finish(*completion);
  }
}

int IoRing::run(Device& device, Request& request) {
  struct Waiter {
    enum : uint32_t { running, over, slept_on };
    std::atomic<uint32_t> ended{running};
    int result = 0;
    std::shared_ptr<Core> core;  // set where the ring's own thread waits
  } waiter;
  if (on_thread()) waiter.core = core().shared_from_this();
  request.may_block = true;
  request.context = &waiter;
  request.done = [](Request* self, int result) {
    auto* w = static_cast<Waiter*>(self->context);
    std::shared_ptr<Core> ring = w->core;
    w->result = result;
    const uint32_t was = w->ended.exchange(Waiter::over, std::memory_order_seq_cst);
    // From here on `w` may be gone; waking the address needs nothing of what was there.
    if (ring) {
      ring->wake();
    } else if (was == Waiter::slept_on) {
      futex_wake(w->ended);
    }
  };
  device.submit(request);
  if (waiter.core) {
    waiter.core->pump_until(waiter.ended);
  } else {
    uint32_t expected = Waiter::running;
    if (waiter.ended.compare_exchange_strong(expected, Waiter::slept_on)) {
      while (waiter.ended.load(std::memory_order_acquire) != Waiter::over) {
        futex_wait(waiter.ended, Waiter::slept_on);
      }
    }
  }
  return waiter.result;
}

}  // namespace cbd::block
