// What one process has of an IoRing: the loop of its thread, and how other threads reach it: a lock-free list
// of tasks and one word to sleep on.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "block/aio_queue.h"
#include "block/fork_generation.h"
#include "block/io_ring.h"
#include "block/io_ring_kernel.h"
#include "block/io_ring_workers.h"
#include "control/unique_fd.h"

namespace cbd::block {

// What one process has of a ring. Shared by the IoRing and the thread, since a client may destroy the IoRing
// on the thread itself. All but the atomics and what `start_lock_` guards belongs to the thread.
class IoRing::Core : public std::enable_shared_from_this<IoRing::Core> {
 public:
  explicit Core(Options options) : options_(options) {}

  bool is_current_thread() const { return running_here == this; }
  // Whether the caller is inside help().
  bool is_helper() const;

  // False where no thread can be made.
  bool ensure_thread();
  void push(Task& task);
  void wake();
  // False where the caller neither is the ring's thread nor helps: the completion is left alone.
  bool add_completion_here(Task& task);
  // As IoRing's functions say.
  bool submit_direct(Task& task, bool raises_listened, bool* was_raised);
  void listen(int event_fd);
  void help();
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
  void hand_over_direct();
  // Until there is something in the inbox, something finished, or `unless` is set (and wake() was called).
  void sleep(const std::atomic<uint32_t>& unless, bool nested);
  bool spin(const std::atomic<uint32_t>& unless);
  bool is_current_process() const { return generation_ == fork_generation(); }

  bool run_completions();
  void finish(Task& task);
  bool has_kernel_work() const;
  bool watch();

  static thread_local Core* running_here;
  struct Helper;
  static thread_local Helper* helping_here;

  const Options options_;
  const uint32_t generation_ = fork_generation();

  std::mutex start_lock_;  // guards the making of the thread and of aio_
  std::atomic<bool> started_{false};
  pthread_t thread_{};

  std::atomic<Task*> inbox_{nullptr};  // newest first
  std::atomic<uint32_t> sleep_{awake};
  std::atomic<uint32_t> stop_{0};
  UniqueFd wake_fd_;

  // Tasks that were started without the thread.
  AioQueue aio_;
  std::atomic<bool> has_no_aio_{false};
  std::atomic<unsigned> refused_writes_{0}, writes_to_skip_{0};  // of direct writes: in a row; not to be tried
  std::atomic<bool> hears_wake_fd_{false};  // the thread waits with io_uring
  // The client's eventfd, or -1; how many tasks raise only that one; and whether the thread looks once a tick for ends
  // that the client has not fetched.
  std::atomic<int> listened_{-1};
  std::atomic<uint64_t> raised_{0};
  std::atomic<bool> watches_{false};
  std::atomic<bool> can_watch_{false};
  uint64_t watched_ = 0;  // of raised_, a tick ago
  // Who runs clients' callbacks, so that they never overlap. Whoever finds them taken leaves his to the ring's thread.
  enum class Callbacks : uint32_t { nobody, by_ring, by_helper };
  std::atomic<Callbacks> callbacks_{Callbacks::nobody};
  std::atomic<bool> waits_for_helper_{false};  // the ring's thread sleeps with completions that it could not run

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
    void prepend(Task& task) {
      if (!(task.next = head)) tail = &task.next;
      head = &task;
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

}  // namespace cbd::block
