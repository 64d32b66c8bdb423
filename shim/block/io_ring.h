// The one thread of an open image ("cbd-io"): it gives I/O to the kernel, takes the results, and runs
// completions, so that completions of one image never run concurrently. Knows nothing of images or of what a
// task is for.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>

#include "block/device.h"

namespace cbd::block {

class IoRing {
 public:
  struct Options {
    // Never io_uring, always threads that block in preadv2 and its like (tests; a kernel that refuses is
    // noticed without).
    bool force_threads = false;
    // How many threads the fallback may have at most; they are made one by one as work waits.
    unsigned max_threads = 8;
  };

  // One operation of the kernel on a file. Its owner keeps it, and what it points to, until `finish`, which
  // is called exactly once, on the ring's thread.
  struct Task {
    enum class Kind : uint8_t { read, write, sync, allocate, call };
    Kind kind =
        Kind::call;  // sync: fdatasync; allocate: fallocate(mode); call: nothing, just `finish` with `result`
    // The kernel is expected to do it at once (a write into the page cache): the ring's thread does it
    // itself, which costs a fraction of what io_uring takes to hand it to a thread of its own.
    bool is_quick = false;
    bool is_completion = false;  // a client's callback may run in `finish` (IoRing's own use)
    bool is_done = false;        // `result` holds the end (IoRing's own use)
    bool is_direct = false;      // for AioQueue (IoRing's own use)
    int16_t mode = 0;
    int fd = -1;
    int iovcnt = 0;
    const iovec* iov = nullptr;
    uint64_t offset = 0;  // bytes
    uint64_t length = 0;  // bytes; allocate only
    int64_t result = 0;   // bytes or -errno
    // Where the kernel raises the client's eventfd, not the ring's: start_direct()'s `was_raised` (IoRing's own use).
    bool* raised = nullptr;
    void (*finish)(Task& self) = nullptr;
    Task* next = nullptr;
  };

  explicit IoRing(Options options);
  IoRing() : IoRing(Options{}) {}
  // Nothing may be in flight. May run on the ring's own thread (a client that closes its image in a
  // callback).
  ~IoRing();
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  // Starts a task from any thread. Makes the thread on first use; where none can be made, the task is carried
  // out here.
  void start(Task& task);

  // Starts a small read or write around the page cache. Where few are under way the calling thread itself gives it to
  // the kernel (and never waits for the disk); where many are, it shares the work with the ring's thread. Where
  // `raises_listened` and listen() was called, the kernel itself raises the client's eventfd when it ends, and
  // `*was_raised` is set before anybody can see the end; he may hear of it a little before `finish` is called. False, and
  // nothing happened, where that cannot be done: use start().
  bool start_direct(Task& task, bool raises_listened, bool* was_raised);

  // The client waits on this eventfd for the ends of its requests, and calls help() when it is raised. What he leaves
  // lying ends on the ring's thread, up to a millisecond late.
  void listen(int event_fd);
  // Finishes on the calling thread what has ended of start_direct()'s tasks, and runs the completions of these here,
  // unless others run just now: then they have their turn on the ring's thread.
  void help();

  // Carries a task out here and now, on the calling thread; `finish` is not called. Returns bytes or -errno.
  static int64_t perform(const Task& task);

  // Runs request.done(&request, result) on the ring's thread: at once where this is the ring's thread and no
  // other completion is running, otherwise later; never inside a submit() of a client. For the image layer:
  // give every end of an asynchronous request to this, and clients' callbacks neither nest nor overlap. Uses
  // request.scratch.
  void complete(Request& request, int result);

  // Submits with may_block, waits for the end and returns it (0 or -errno). `done` and `context` are
  // overwritten. Works on the ring's own thread, inside a client's callback: what the request waits for goes
  // on meanwhile.
  int run(Device& device, Request& request);

  // Whether the caller is the ring's thread.
  bool on_thread() const;
  // Whether the caller is a client's callback, on the ring's thread or inside help(); also what else the ring's thread does.
  bool in_callback() const;

 private:
  class Core;
  Core& core();
  struct Holder;
  std::unique_ptr<Holder> holder_;
};

}  // namespace cbd::block
