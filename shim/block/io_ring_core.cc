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

}  // namespace cbd::block
