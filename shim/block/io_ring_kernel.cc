// What IoRing needs of io_uring, through liburing.
#include "block/io_ring_kernel.h"

#include <errno.h>

#include <atomic>
#include <climits>

namespace cbd::block {
namespace {

constexpr unsigned sq_entries = 256;
constexpr unsigned cq_entries = 4096;

// The operations that we need came with Linux 5.6; one that is missing would answer -EINVAL only when it is
// used.
bool has_operations(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (!probe) return false;
  const bool all = io_uring_opcode_supported(probe, IORING_OP_READ) &&
                   io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                   io_uring_opcode_supported(probe, IORING_OP_FALLOCATE) &&
                   io_uring_opcode_supported(probe, IORING_OP_FSYNC);
  io_uring_free_probe(probe);
  return all;
}

// A seccomp filter may allow the set-up and refuse the rest.
int try_out(io_uring& ring) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (!sqe) return -EIO;
  io_uring_prep_nop(sqe);
  const int entered = io_uring_submit_and_wait(&ring, 1);
  if (entered < 0) return entered;
  io_uring_cqe* cqe = nullptr;
  if (io_uring_peek_cqe(&ring, &cqe) != 0 || !cqe) return -EIO;
  const int result = cqe->res;
  io_uring_cqe_seen(&ring, cqe);
  return result;
}

// The kernel may put a new ring where one was that is gone. That the one came before the other is seen from here by
// ThreadSanitizer, which does not see liburing's own calls of mmap and munmap.
std::atomic<uint64_t> rings_gone{0};

}  // namespace

KernelRing::~KernelRing() {
  if (!is_open_) return;
  io_uring_queue_exit(&ring_);
  rings_gone.fetch_add(1, std::memory_order_release);
}

int KernelRing::open(int wake_fd) {
  // One thread submits and waits, so results need not interrupt it (6.1, then 5.19, then anything older).
  const unsigned choices[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                              IORING_SETUP_COOP_TASKRUN, 0};
  int rc = -EINVAL;
  for (unsigned flags : choices) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE;
    params.cq_entries = cq_entries;
    rc = io_uring_queue_init_params(sq_entries, &ring_, &params);
    if (rc != -EINVAL) break;
  }
  if (rc < 0) return rc;
  rings_gone.fetch_add(0, std::memory_order_acq_rel);
  rc = has_operations(ring_) ? try_out(ring_) : -EOPNOTSUPP;
  if (rc < 0) {
    io_uring_queue_exit(&ring_);
    return rc;
  }
  io_uring_ring_dontfork(&ring_);
  wake_fd_ = wake_fd;
  is_open_ = true;
  return 0;
}

bool KernelRing::add(IoRing::Task& task) {
  if (in_flight_ >= cq_entries - 2) return false;  // completions never overflow
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) return false;
  using Kind = IoRing::Task::Kind;
  const bool single = task.iovcnt == 1 && task.iov->iov_len <= INT_MAX;
  switch (task.kind) {
    case Kind::read:
      if (single) {
        io_uring_prep_read(sqe, task.fd, task.iov->iov_base, static_cast<unsigned>(task.iov->iov_len),
                           task.offset);
      } else {
        io_uring_prep_readv(sqe, task.fd, task.iov, static_cast<unsigned>(task.iovcnt), task.offset);
      }
      break;
    case Kind::write:
      if (single) {
        io_uring_prep_write(sqe, task.fd, task.iov->iov_base, static_cast<unsigned>(task.iov->iov_len),
                            task.offset);
      } else {
        io_uring_prep_writev(sqe, task.fd, task.iov, static_cast<unsigned>(task.iovcnt), task.offset);
      }
      break;
    case Kind::sync:
      io_uring_prep_fsync(sqe, task.fd, IORING_FSYNC_DATASYNC);
      break;
    case Kind::allocate:
      // liburing 2.3's own function takes off_t for both, as the kernel does.
      io_uring_prep_fallocate(sqe, task.fd, task.mode, static_cast<off_t>(task.offset),
                              static_cast<off_t>(task.length));
      break;
    case Kind::call:
      io_uring_prep_nop(sqe);
      break;
  }
  io_uring_sqe_set_data(sqe, &task);
  ++in_flight_;
  return true;
}

void KernelRing::arm_wake() {
  if (wake_armed_) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) return;  // the queue is full, so the wait ends soon anyway
  io_uring_prep_read(sqe, wake_fd_, &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data(sqe, nullptr);
  wake_armed_ = true;
}

void KernelRing::enter() {
  io_uring_submit_and_get_events(&ring_);
}

void KernelRing::enter_and_wait(unsigned ms) {
  arm_wake();
  if (ms == 0) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  __kernel_timespec time{ms / 1000, (ms % 1000) * 1000000L};
  io_uring_cqe* first;
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, &time, nullptr);
}

IoRing::Task** KernelRing::reap(IoRing::Task** tail) {
  io_uring_cqe* cqe;
  unsigned head;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    auto* task = static_cast<IoRing::Task*>(io_uring_cqe_get_data(cqe));
    if (!task) {
      wake_armed_ = false;
      continue;
    }
    --in_flight_;
    task->result = cqe->res;
    task->is_done = true;
    task->next = nullptr;
    *tail = task;
    tail = &task->next;
  }
  if (seen) io_uring_cq_advance(&ring_, seen);
  return tail;
}

}  // namespace cbd::block
