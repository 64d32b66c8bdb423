// The fallback where io_uring is not allowed: a few threads that block in the kernel. They run no client's
// code.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "block/io_ring.h"

namespace cbd::block {

// Starts a thread named "cbd-io" that blocks all signals. Returns 0 or -errno.
int start_io_thread(pthread_t& thread, size_t stack_bytes, void* (*body)(void*), void* argument);

class Workers {
 public:
  // `give_back` takes each finished task (on a worker's thread).
  Workers(unsigned max_threads, std::function<void(IoRing::Task&)> give_back);
  // Nothing may be in flight.
  ~Workers();

  // Queues a task; where not even one thread can be made it is carried out here.
  void add(IoRing::Task& task);

 private:
  void work();

  const unsigned max_threads_;
  const std::function<void(IoRing::Task&)> give_back_;
  std::mutex lock_;  // guards all below
  std::condition_variable wanted_;
  IoRing::Task* head_ = nullptr;
  IoRing::Task* tail_ = nullptr;
  unsigned queued_ = 0;
  unsigned idle_ = 0;
  bool stop_ = false;
  std::vector<pthread_t> threads_;
};

}  // namespace cbd::block
