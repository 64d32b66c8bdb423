#include "control/callback_threads.h"

#include <chrono>

#include "control/graveyard.h"
#include "control/thread.h"

namespace cbd::control {

namespace {

constexpr unsigned max_threads = 8;
constexpr size_t stack_size = 1 << 20;  // hosts run interpreters in callbacks
constexpr std::chrono::seconds idle_time{5};

thread_local const CallbackThreads* current_pool = nullptr;

}  // namespace

// With the lock held.
int CallbackThreads::start_one() {
  threads_++;
  Thread thread;
  int error = thread.start("cbd2rbd-call", stack_size, [self = shared_from_this()] { self->run(); });
  if (error == 0) {
    thread.detach();
  } else {
    threads_--;
  }
  return error;
}

int CallbackThreads::ensure() {
  std::lock_guard lock(mutex_);
  return threads_ > 0 ? 0 : start_one();
}

void CallbackThreads::post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  // Where no further thread can be had, those that are there come to it in their time.
  if (idle_ >= tasks_.size() || threads_ >= max_threads || start_one() != 0) conditions_->work.notify_one();
}

void CallbackThreads::run() {
  current_pool = this;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (tasks_.empty()) {
      if (stopping_) break;
      idle_++;
      auto conditions = conditions_;
      conditions->work.wait_for(lock, idle_time, [&] { return !tasks_.empty() || stopping_; });
      idle_--;
      if (tasks_.empty() && (stopping_ || threads_ > 1)) break;  // one stays
      continue;
    }
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds may end things that take this lock
    lock.lock();
  }
  threads_--;
  conditions_->ended.notify_all();
}

void CallbackThreads::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  conditions_->work.notify_all();
  unsigned own = current_pool == this ? 1 : 0;
  conditions_->ended.wait(lock, [&] { return threads_ <= own; });
}

void CallbackThreads::after_fork_in_child() {
  bury(std::move(conditions_));
  bury(std::make_shared<std::deque<std::function<void()>>>(std::move(tasks_)));
  conditions_ = std::make_shared<Conditions>();
  tasks_.clear();
  threads_ = 0;
  idle_ = 0;
  mutex_.unlock();
}

}  // namespace cbd::control
