// Threads that block in preadv2, pwritev2, fdatasync and fallocate.
#include "block/io_ring_workers.h"

#include <signal.h>

namespace cbd::block {

int start_io_thread(pthread_t& thread, size_t stack_bytes, void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  if (int rc = pthread_attr_init(&attributes)) return -rc;
  pthread_attr_setstacksize(&attributes, stack_bytes);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int rc = pthread_create(&thread, &attributes, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (rc == 0) pthread_setname_np(thread, "cbd-io");
  return -rc;
}

namespace {
// Enough for a system call and for the thread-local storage of large programs, which lies on the stack too.
constexpr size_t worker_stack = 256 * 1024;
}  // namespace

Workers::Workers(unsigned max_threads, std::function<void(IoRing::Task&)> give_back)
    : max_threads_(max_threads ? max_threads : 1), give_back_(std::move(give_back)) {}

Workers::~Workers() {
  {
    std::lock_guard<std::mutex> guard(lock_);
    stop_ = true;
    wanted_.notify_all();
  }
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void Workers::add(IoRing::Task& task) {
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (queued_ >= idle_ && threads_.size() < max_threads_) {
      pthread_t thread;
      auto body = [](void* self) -> void* {
        static_cast<Workers*>(self)->work();
        return nullptr;
      };
      if (start_io_thread(thread, worker_stack, body, this) == 0) threads_.push_back(thread);
    }
    if (!threads_.empty()) {
      task.next = nullptr;
      (tail_ ? tail_->next : head_) = &task;
      tail_ = &task;
      ++queued_;
      wanted_.notify_one();
      return;
    }
  }
  task.result = IoRing::perform(task);
  give_back_(task);
}

void Workers::work() {
  std::unique_lock<std::mutex> guard(lock_);
  for (;;) {
    ++idle_;
    wanted_.wait(guard, [this] { return head_ || stop_; });
    --idle_;
    if (!head_) return;
    IoRing::Task* task = head_;
    head_ = task->next;
    if (!head_) tail_ = nullptr;
    --queued_;
    guard.unlock();
    task->result = IoRing::perform(*task);
    give_back_(*task);
    guard.lock();
  }
}

}  // namespace cbd::block
