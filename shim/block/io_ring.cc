// The loop of an image's thread, and how other threads reach it: a lock-free list of tasks and one word to
// sleep on.
#include "block/io_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <new>

#include "block/fork_generation.h"
#include "block/io_ring_kernel.h"
#include "block/io_ring_workers.h"
#include "control/unique_fd.h"

namespace cbd::block {
namespace {

// Clients' callbacks run on it (Python's among them); only what is touched is ever backed by memory.
constexpr size_t reaper_stack = 1024 * 1024;

constexpr auto spin_time = std::chrono::microseconds(20);

void pause_processor() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t while_it_is) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, while_it_is, nullptr, nullptr,
          0);
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

// The end of a client's request on its way to the ring's thread; lies in Request::scratch.
struct Completion : IoRing::Task {
  Request* request = nullptr;
};
static_assert(sizeof(Completion) <= sizeof(Request::scratch));

}  // namespace

// What one process has of a ring. Shared by the IoRing and the thread, since a client may destroy the IoRing
// on the thread itself. All but the atomics and what `start_lock_` guards belongs to the thread.
class IoRing::Core : public std::enable_shared_from_this<IoRing::Core> {
 public:
  explicit Core(Options options) : options_(options) {}

  bool is_current_thread() const { return running_here == this; }

  // False where no thread can be made.
  bool ensure_thread();
  void push(Task& task);
  void wake();
  // On the ring's thread only.
  void add_completion(Task& task) { completions_.append(task); }
  // Keeps I/O going on the ring's thread (not clients' callbacks) until `flag` is set; whoever sets it calls
  // wake().
  void pump_until(const std::atomic<uint32_t>& flag);
  void stop();
  // In a forked child: gives back the copy of the parent's descriptors.
  void abandon();

 private:
  enum Sleep : uint32_t { awake, in_futex, in_kernel };

  void loop();
  bool step(bool nested);
  void take_inbox();
  void hand_over();
  // Until there is something in the inbox, something finished, or `unless` is set (and wake() was called).
  void sleep(const std::atomic<uint32_t>& unless);
  bool spin(const std::atomic<uint32_t>& unless);
  bool is_current_process() const { return generation_ == fork_generation(); }

  static thread_local Core* running_here;

  const Options options_;
  const uint32_t generation_ = fork_generation();

  std::mutex start_lock_;  // guards the making of the thread
  std::atomic<bool> started_{false};
  pthread_t thread_{};

  std::atomic<Task*> inbox_{nullptr};  // newest first
  std::atomic<uint32_t> sleep_{awake};
  std::atomic<uint32_t> stop_{0};
  UniqueFd wake_fd_;

  KernelRing kernel_;
  std::unique_ptr<Workers> workers_;
  struct List {
    Task* head = nullptr;
    Task** tail = &head;
    void append(Task& task) {
      task.next = nullptr;
      *tail = &task;
      tail = &task.next;
    }
    Task* pop() {
      Task* task = head;
      if (task && !(head = task->next)) tail = &head;
      return task;
    }
  };
  List waiting_;      // for room in the kernel's ring
  List ready_;        // done, to be finished
  List completions_;  // clients' callbacks
  bool may_spin_ = false;
  unsigned fruitless_spins_ = 0;
  unsigned spins_to_skip_ = 0;
};

thread_local IoRing::Core* IoRing::Core::running_here = nullptr;

bool IoRing::Core::ensure_thread() {
  if (started_.load(std::memory_order_acquire)) return true;
  std::lock_guard<std::mutex> guard(start_lock_);
  if (started_.load(std::memory_order_relaxed)) return true;
  wake_fd_.reset(eventfd(0, EFD_CLOEXEC));
  if (!wake_fd_) return false;
  auto* self = new std::shared_ptr<Core>(shared_from_this());
  auto body = [](void* argument) -> void* {
    std::unique_ptr<std::shared_ptr<Core>> core(static_cast<std::shared_ptr<Core>*>(argument));
    (*core)->loop();
    // A callback forked and the child came back here: nothing of this is the child's to touch.
    if (!(*core)->is_current_process()) core.release();
    return nullptr;
  };
  if (start_io_thread(thread_, reaper_stack, body, self) != 0) {
    delete self;
    return false;
  }
  started_.store(true, std::memory_order_release);
  return true;
}

void IoRing::Core::push(Task& task) {
  Task* head = inbox_.load(std::memory_order_relaxed);
  do {
    task.next = head;
  } while (!inbox_.compare_exchange_weak(head, &task, std::memory_order_seq_cst, std::memory_order_relaxed));
  if (!is_current_thread()) wake();
}

void IoRing::Core::wake() {
  // Pairs with sleep(): either it sees what we did before, or we see that it sleeps.
  if (sleep_.load(std::memory_order_seq_cst) == awake) return;
  const uint32_t was = sleep_.exchange(awake, std::memory_order_seq_cst);
  if (was == in_futex) futex_wake(sleep_);
  if (was == in_kernel) eventfd_write(wake_fd_.get(), 1);
}

void IoRing::Core::take_inbox() {
  Task* newest = inbox_.exchange(nullptr, std::memory_order_acquire);
  Task* oldest = nullptr;
  while (newest) {
    Task* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest) {
    Task* next = oldest->next;
    if (oldest->is_done || oldest->kind == Task::Kind::call) {
      ready_.append(*oldest);
    } else {
      waiting_.append(*oldest);
    }
    oldest = next;
  }
}

void IoRing::Core::hand_over() {
  while (waiting_.head) {
    Task& task = *waiting_.head;
    if (task.is_quick) {
      waiting_.pop();
      task.result = perform(task);
      ready_.append(task);
    } else if (kernel_.is_open()) {
      if (!kernel_.add(task)) return;
      waiting_.pop();
    } else {
      waiting_.pop();
      workers_->add(task);
    }
  }
}

// One round; false where there was nothing to do.
bool IoRing::Core::step(bool nested) {
  take_inbox();
  hand_over();
  if (kernel_.is_open() && kernel_.in_flight()) {
    kernel_.enter(false);
    ready_.tail = kernel_.reap(ready_.tail);
  }
  bool did = false;
  while (Task* task = ready_.pop()) {
    did = true;
    if (!task->is_completion) {
      if (task->result == -EINTR || task->result == -EAGAIN || task->result == -ECANCELED) {
        task->result = perform(*task);
      }
      task->finish(*task);
      if (!is_current_process()) return true;
    } else {
      completions_.append(*task);
    }
  }
  if (nested) return did;
  while (Task* task = completions_.pop()) {
    did = true;
    task->finish(*task);
    if (!is_current_process()) return true;
  }
  return did;
}

// Whether it is worth to look for work a little longer before sleeping: waking a thread costs its waker more
// than a request out of the page cache takes. Where the last looks found nothing it is tried ever more
// rarely.
bool IoRing::Core::spin(const std::atomic<uint32_t>& unless) {
  if (!may_spin_) return false;
  if (spins_to_skip_ > 0) {
    --spins_to_skip_;
    return false;
  }
  const auto until = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (inbox_.load(std::memory_order_relaxed) || unless.load(std::memory_order_relaxed)) {
        fruitless_spins_ = 0;
        return true;
      }
      pause_processor();
    }
  } while (std::chrono::steady_clock::now() < until);
  fruitless_spins_ = std::min(fruitless_spins_ + 1, 8u);
  spins_to_skip_ = 1u << fruitless_spins_;
  return false;
}

void IoRing::Core::sleep(const std::atomic<uint32_t>& unless) {
  if (!(kernel_.is_open() && kernel_.in_flight()) && spin(unless)) return;
  const bool kernel_works = kernel_.is_open() && kernel_.in_flight();
  sleep_.store(kernel_works ? in_kernel : in_futex, std::memory_order_seq_cst);
  if (inbox_.load(std::memory_order_seq_cst) || unless.load(std::memory_order_seq_cst)) {
    // There is something to do already.
  } else if (kernel_works) {
    kernel_.enter(true);
  } else {
    while (sleep_.load(std::memory_order_acquire) == in_futex) futex_wait(sleep_, in_futex);
  }
  sleep_.store(awake, std::memory_order_seq_cst);
}

void IoRing::Core::loop() {
  running_here = this;
  cpu_set_t processors;
  may_spin_ = sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 1;
  if (options_.force_threads || kernel_.open(wake_fd_.get()) != 0) {
    workers_ = std::make_unique<Workers>(options_.max_threads, [this](Task& task) {
      task.is_done = true;
      push(task);
    });
  }
  while (is_current_process()) {
    if (step(false)) continue;
    if (stop_.load(std::memory_order_acquire) && !inbox_.load(std::memory_order_acquire)) break;
    sleep(stop_);
  }
  if (is_current_process()) workers_.reset();
  running_here = nullptr;
}

void IoRing::Core::pump_until(const std::atomic<uint32_t>& flag) {
  while (!flag.load(std::memory_order_acquire)) {
    if (!step(true)) sleep(flag);
  }
}

void IoRing::Core::stop() {
  std::lock_guard<std::mutex> guard(start_lock_);
  if (!started_.load(std::memory_order_acquire)) return;
  stop_.store(1, std::memory_order_seq_cst);
  if (is_current_thread()) {
    pthread_detach(thread_);
  } else {
    wake();
    pthread_join(thread_, nullptr);
  }
}

void IoRing::Core::abandon() {
  // The child may have closed the number and used it again, so look before closing.
  auto close_if = [](int fd, const char* what) {
    char path[32], target[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n > 0 && std::strstr(target, what)) ::close(fd);
  };
  if (kernel_.is_open()) close_if(kernel_.fd(), "[io_uring]");
  if (wake_fd_) close_if(wake_fd_.get(), "[eventfd]");
}

// `core` is null until first use; the one of another process is never followed but by abandon().
struct IoRing::Holder {
  explicit Holder(Options o) : options(o) {}
  struct Made {
    uint32_t generation;
    std::shared_ptr<Core> core;
  };
  const Options options;
  std::atomic<Made*> made{nullptr};
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
      return *fresh.release()->core;
    }
    if (made && made->generation == now) return *made->core;
  }
}

bool IoRing::on_thread() const {
  Holder::Made* made = holder_->made.load(std::memory_order_acquire);
  return made && made->generation == fork_generation() && made->core->is_current_thread();
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
  Core& c = core();
  if (c.ensure_thread()) {
    c.push(task);
    return;
  }
  task.result = perform(task);
  task.finish(task);
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
  if (c.is_current_thread()) {
    c.add_completion(*completion);
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
