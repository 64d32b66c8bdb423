// See aio_queue.h. The ring of results is read where the kernel has mapped it, as fio and QEMU do; its layout is in the
// kernel's fs/aio.c and has not changed since it was made.
#include "block/aio_queue.h"

#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace cbd::block {
namespace {

// In flight at most; counts against fs.aio-max-nr (65,536 by default) of the whole machine.
constexpr unsigned depth = 128;
constexpr unsigned ring_magic = 0xa10a10a1;

struct KernelResults {
  unsigned id;
  unsigned nr;
  unsigned head;  // the consumer's
  unsigned tail;  // the kernel's
  unsigned magic;
  unsigned compat_features;
  unsigned incompat_features;
  unsigned header_length;
  io_event events[];
};

KernelResults* results_of(aio_context_t context) {
  return reinterpret_cast<KernelResults*>(context);
}

}  // namespace

AioQueue::~AioQueue() {
  if (is_open()) syscall(SYS_io_destroy, context_);
}

bool AioQueue::open() {
  if (syscall(SYS_io_setup, depth, &context_) != 0) return false;
  const KernelResults* results = results_of(context_);
  if (results->magic != ring_magic || results->incompat_features != 0) {
    syscall(SYS_io_destroy, context_);
    return false;
  }
  is_open_.store(true, std::memory_order_seq_cst);
  return true;
}

int AioQueue::submit(IoRing::Task* first, int event_fd, int raised_fd) {
  iocb controls[most];
  iocb* list[most];
  int count = 0;
  for (IoRing::Task* task = first; task && count < most; task = task->next) {
    iocb& control = controls[count];
    std::memset(&control, 0, sizeof control);
    control.aio_data = reinterpret_cast<uintptr_t>(task);
    control.aio_lio_opcode = task->kind == IoRing::Task::Kind::read ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV;
    control.aio_fildes = static_cast<uint32_t>(task->fd);
    control.aio_buf = reinterpret_cast<uintptr_t>(task->iov);
    control.aio_nbytes = static_cast<uint64_t>(task->iovcnt);
    control.aio_offset = static_cast<int64_t>(task->offset);
    control.aio_rw_flags = RWF_NOWAIT;
    control.aio_flags = IOCB_FLAG_RESFD;
    control.aio_resfd = static_cast<uint32_t>(task->raised ? raised_fd : event_fd);
    list[count++] = &control;
  }
  // Nothing of this queue is read once the kernel has the tasks: when they end, the ring may go.
  const aio_context_t context = context_;
  submitted_.fetch_add(0, std::memory_order_release);  // pairs with reap()
  const long taken = syscall(SYS_io_submit, context, count, list);
  const int accepted = taken < 0 ? 0 : static_cast<int>(taken);
  if (accepted < count) submitted_.fetch_sub(static_cast<unsigned>(count - accepted), std::memory_order_release);
  return accepted;
}

bool AioQueue::has_ended() const {
  if (!is_open()) return false;
  const KernelResults* results = results_of(context_);
  return __atomic_load_n(&results->head, __ATOMIC_RELAXED) != __atomic_load_n(&results->tail, __ATOMIC_RELAXED);
}

IoRing::Task** AioQueue::reap(IoRing::Task** tail) {
  if (!is_open()) return tail;
  KernelResults* results = results_of(context_);
  std::lock_guard<std::mutex> guard(lock_);
  unsigned head = __atomic_load_n(&results->head, __ATOMIC_RELAXED);
  const unsigned end = __atomic_load_n(&results->tail, __ATOMIC_ACQUIRE);
  if (head == end) return tail;
  static_cast<void>(submitted_.load(std::memory_order_acquire));
  unsigned count = 0;
  while (head != end) {
    ++count;
    const io_event& event = results->events[head];
    auto* task = reinterpret_cast<IoRing::Task*>(static_cast<uintptr_t>(event.data));
    task->result = event.res;
    task->is_done = true;
    task->next = nullptr;
    *tail = task;
    tail = &task->next;
    head = head + 1 == results->nr ? 0 : head + 1;
  }
  __atomic_store_n(&results->head, head, __ATOMIC_RELEASE);
  reaped_.fetch_add(count, std::memory_order_relaxed);
  return tail;
}

}  // namespace cbd::block
