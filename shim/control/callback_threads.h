// The threads on which other people's code runs: listeners and the ends of asynchronous calls. None exists before it is
// needed; one does the work normally, another starts only where all are busy.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace cbd::control {

class CallbackThreads : public std::enable_shared_from_this<CallbackThreads> {
 public:
  // Makes sure that there is a thread, so that a task posted later is sure to run. 0 or -errno.
  int ensure();

  // Runs `task` on one of the threads, soon.
  void post(std::function<void()> task);

  // Waits until every task has run and ends the threads. A caller that is one of them is not waited for.
  void stop();

  // Around a fork (control/fork.h). In the child the queue is empty and no thread is there.
  void before_fork() { mutex_.lock(); }
  void after_fork_in_parent() { mutex_.unlock(); }
  void after_fork_in_child();

 private:
  // Apart, so that a forked child can take new ones: what its parent's threads waited on stays as it was.
  struct Conditions {
    std::condition_variable work, ended;
  };

  int start_one();
  void run();

  std::mutex mutex_;  // guards all below; never held while a task runs
  std::shared_ptr<Conditions> conditions_ = std::make_shared<Conditions>();
  std::deque<std::function<void()>> tasks_;
  unsigned threads_ = 0;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace cbd::control
