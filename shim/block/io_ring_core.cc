// The loop of an image's thread.
#include "block/io_ring_core.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "block/futex.h"

namespace cbd::block {
namespace {

// Clients' callbacks run on it (Python's among them); only what is touched is ever backed by memory.
constexpr size_t reaper_stack = 1024 * 1024;

// With so many direct tasks under way the ring's thread gives the next to the kernel: two threads do more than one, and
// it is awake anyway.
constexpr unsigned shared_from = 3;

// After so many refused direct writes in a row the next 1 << so many are not tried.
constexpr unsigned most_refused = 6;

// How long a client who listens to his own eventfd may leave ends lying before the ring's thread runs his callbacks.
constexpr unsigned tick_ms = 1;

constexpr auto spin_time = std::chrono::microseconds(20);

void pause_processor() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

thread_local IoRing::Core* IoRing::Core::running_here = nullptr;

// A client's thread inside help(): the completions that have their turn on it.
struct IoRing::Core::Helper {
  Core* core;
  List completions;
};
thread_local IoRing::Core::Helper* IoRing::Core::helping_here = nullptr;

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
  // Once it is in the list the task may end, and whoever waited for it may close the image, before we have looked whether
  // the thread sleeps.
  const std::shared_ptr<Core> keep = shared_from_this();
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

// Gives the direct tasks at the head of those that wait to the kernel.
void IoRing::Core::hand_over_direct() {
  Task* first = waiting_.head;
  Task* last = nullptr;
  for (int n = 0; n < AioQueue::most && waiting_.head && waiting_.head->is_direct; ++n) last = waiting_.pop();
  last->next = nullptr;
  // A task that was taken may be over and gone, so what comes behind it is looked up first.
  Task* tasks[AioQueue::most];
  int count = 0;
  for (Task* task = first; task; task = task->next) {
    tasks[count++] = task;
    aio_.announce();
    // This thread looks for its end before it sleeps.
    if (task->raised) watches_.store(true, std::memory_order_seq_cst);
  }
  const int taken = aio_.submit(first, wake_fd_.get(), listened_.load(std::memory_order_relaxed));
  for (int n = count; n-- > taken;) {
    // io_uring takes it, and tells nobody else.
    if (tasks[n]->raised) *tasks[n]->raised = false;
    tasks[n]->is_direct = false;
    waiting_.prepend(*tasks[n]);
  }
}

void IoRing::Core::hand_over() {
  while (waiting_.head) {
    Task& task = *waiting_.head;
    if (task.is_direct) {
      hand_over_direct();
    } else if (task.is_quick) {
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
  if (kernel_.is_open()) {
    if (kernel_.in_flight()) kernel_.enter();
    ready_.tail = kernel_.reap(ready_.tail);
  }
  ready_.tail = aio_.reap(ready_.tail);
  bool did = false;
  while (Task* task = ready_.pop()) {
    did = true;
    if (!task->is_completion) {
      finish(*task);
      if (!is_current_process()) return true;
    } else {
      completions_.append(*task);
    }
  }
  if (nested) return did;
  return run_completions() || did;
}

// Ends a task that the kernel is done with, on the ring's thread or a helper's.
void IoRing::Core::finish(Task& task) {
  if (task.is_direct) {
    const bool is_write = task.kind == Task::Kind::write;
    if (task.result == -EAGAIN || task.result == -EINTR) {
      // It would have had to wait for the disk: io_uring has threads for that.
      if (is_write) {
        const unsigned refused = std::min(refused_writes_.load(std::memory_order_relaxed) + 1, most_refused);
        refused_writes_.store(refused, std::memory_order_relaxed);
        writes_to_skip_.store(1u << refused, std::memory_order_relaxed);
      }
      task.is_direct = task.is_done = false;
      return push(task);
    }
    if (is_write) refused_writes_.store(0, std::memory_order_relaxed);
  }
  if (task.result == -EINTR || task.result == -EAGAIN || task.result == -ECANCELED) task.result = perform(task);
  task.finish(task);
}

// Clients' callbacks, on the ring's thread; false where there was none, or a helper runs his just now and will wake us.
bool IoRing::Core::run_completions() {
  if (!completions_.head) return false;
  Callbacks nobody = Callbacks::nobody;
  if (!callbacks_.compare_exchange_strong(nobody, Callbacks::by_ring)) return false;
  while (Task* task = completions_.pop()) {
    task->finish(*task);
    if (!is_current_process()) return true;
  }
  callbacks_.store(Callbacks::nobody);
  return true;
}

bool IoRing::Core::is_helper() const { return helping_here && helping_here->core == this; }

bool IoRing::Core::add_completion_here(Task& task) {
  if (is_current_thread()) {
    completions_.append(task);
    return true;
  }
  if (!is_helper()) return false;
  helping_here->completions.append(task);
  return true;
}

bool IoRing::Core::submit_direct(Task& task, bool raises_listened, bool* was_raised) {
  if (!hears_wake_fd_.load(std::memory_order_acquire)) return false;
  if (!aio_.is_open()) {
    if (has_no_aio_.load(std::memory_order_acquire)) return false;
    {
      std::lock_guard<std::mutex> guard(start_lock_);
      if (!aio_.is_open() && !aio_.open()) has_no_aio_.store(true, std::memory_order_release);
    }
    // The thread must sleep where it hears wake_fd_.
    wake();
    if (!aio_.is_open()) return false;
  }
  if (task.kind == Task::Kind::write) {
    // Into holes each write has to wait for the file system: where the last were refused it is tried ever more rarely.
    const unsigned skip = writes_to_skip_.load(std::memory_order_relaxed);
    if (skip > 0) {
      writes_to_skip_.store(skip - 1, std::memory_order_relaxed);
      return false;
    }
  }
  const int listened = listened_.load(std::memory_order_acquire);
  const bool raises = raises_listened && listened >= 0 && can_watch_.load(std::memory_order_relaxed);
  task.raised = raises ? was_raised : nullptr;
  task.next = nullptr;
  if (raises) *was_raised = true;
  if (aio_.in_flight() >= shared_from && !inbox_.load(std::memory_order_relaxed)) {
    push(task);
    return true;
  }
  aio_.announce();
  if (raises) {
    raised_.fetch_add(1, std::memory_order_relaxed);
    // Pairs with watch(): either it finds the task in flight, or we find that it stopped.
    if (!watches_.load(std::memory_order_seq_cst)) {
      watches_.store(true, std::memory_order_seq_cst);
      wake();
    }
  }
  if (aio_.submit(&task, wake_fd_.get(), listened) == 1) return true;
  if (raises) *was_raised = false;
  return false;
}

void IoRing::Core::listen(int event_fd) {
  listened_.store(event_fd, std::memory_order_release);
}

// Whether the thread looks for ends that the client has not fetched: as long as there are tasks that wake only him.
bool IoRing::Core::watch() {
  if (!watches_.load(std::memory_order_seq_cst)) return false;
  const uint64_t raised = raised_.load(std::memory_order_relaxed);
  if (raised != watched_ || aio_.in_flight() > 0) {
    watched_ = raised;
    return true;
  }
  watches_.store(false, std::memory_order_seq_cst);
  // Pairs with submit_direct().
  if (aio_.in_flight() == 0) return false;
  watches_.store(true, std::memory_order_seq_cst);
  return true;
}

void IoRing::Core::help() {
  if (is_current_thread() || helping_here || !aio_.is_open()) return;
  List ended;
  ended.tail = aio_.reap(ended.tail);
  if (!ended.head) return;
  Callbacks nobody = Callbacks::nobody;
  if (!callbacks_.compare_exchange_strong(nobody, Callbacks::by_helper)) {
    while (Task* task = ended.pop()) push(*task);
    return;
  }
  Helper helper{this, {}};
  helping_here = &helper;
  while (Task* task = ended.pop()) finish(*task);
  while (Task* task = helper.completions.pop()) {
    task->finish(*task);
    if (!is_current_process()) break;
  }
  helping_here = nullptr;
  if (!is_current_process()) return;
  callbacks_.store(Callbacks::nobody, std::memory_order_seq_cst);
  // The ring's thread may have completions that it could not run.
  if (waits_for_helper_.load(std::memory_order_seq_cst)) wake();
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
      if (inbox_.load(std::memory_order_relaxed) || unless.load(std::memory_order_relaxed) || aio_.has_ended()) {
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

// Whether something may end that io_uring, or what it watches for us, tells of.
bool IoRing::Core::has_kernel_work() const {
  return kernel_.is_open() && (kernel_.in_flight() || aio_.is_open());
}

void IoRing::Core::sleep(const std::atomic<uint32_t>& unless, bool nested) {
  const bool kernel_works = has_kernel_work();
  if (!(kernel_.is_open() && kernel_.in_flight()) && spin(unless)) return;
  const bool has_completions = !nested && completions_.head;
  waits_for_helper_.store(has_completions, std::memory_order_seq_cst);
  sleep_.store(kernel_works ? in_kernel : in_futex, std::memory_order_seq_cst);
  const bool may_complete = has_completions && callbacks_.load(std::memory_order_seq_cst) == Callbacks::nobody;
  if (inbox_.load(std::memory_order_seq_cst) || unless.load(std::memory_order_seq_cst) || may_complete ||
      has_kernel_work() != kernel_works) {
    // There is something to do already.
  } else if (kernel_works) {
    kernel_.enter_and_wait(watch() ? tick_ms : 0);
  } else {
    while (sleep_.load(std::memory_order_acquire) == in_futex) futex_wait(sleep_, in_futex);
  }
  sleep_.store(awake, std::memory_order_seq_cst);
}

void IoRing::Core::loop() {
  running_here = this;
  cpu_set_t processors;
  may_spin_ = sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 1;
  if (!options_.force_threads && kernel_.open(wake_fd_.get()) == 0) {
    can_watch_.store(kernel_.can_time(), std::memory_order_relaxed);
    hears_wake_fd_.store(true, std::memory_order_release);
  } else {
    workers_ = std::make_unique<Workers>(options_.max_threads, [this](Task& task) {
      task.is_done = true;
      push(task);
    });
  }
  while (is_current_process()) {
    if (step(false)) continue;
    if (stop_.load(std::memory_order_acquire) && !inbox_.load(std::memory_order_acquire)) break;
    sleep(stop_, false);
  }
  if (is_current_process()) workers_.reset();
  running_here = nullptr;
}

void IoRing::Core::pump_until(const std::atomic<uint32_t>& flag) {
  while (!flag.load(std::memory_order_acquire)) {
    if (!step(true)) sleep(flag, true);
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

}  // namespace cbd::block
