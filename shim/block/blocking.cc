// A word to sleep on.
#include "block/blocking.h"

#include <atomic>

namespace cbd::block {

int run_blocking(Device& device, Request& request) {
  struct Waiter {
    std::atomic<int> ended{0};
    int result = 0;
  } waiter;
  request.may_block = true;
  request.context = &waiter;
  request.done = [](Request* self, int result) {
    auto* w = static_cast<Waiter*>(self->context);
    w->result = result;
    w->ended.store(1, std::memory_order_release);
    w->ended.notify_one();
  };
  device.submit(request);
  waiter.ended.wait(0, std::memory_order_acquire);
  return waiter.result;
}

namespace {

int transfer(Device& device, Op op, uint64_t offset, void* memory, uint64_t length) {
  const iovec iov{memory, length};
  Request r;
  r.op = op;
  r.offset = offset;
  r.length = length;
  r.iov = &iov;
  r.iovcnt = 1;
  return run_blocking(device, r);
}

}  // namespace

int read_blocking(Device& device, uint64_t offset, void* to, uint64_t length) {
  return transfer(device, Op::read, offset, to, length);
}

int write_blocking(Device& device, uint64_t offset, const void* from, uint64_t length) {
  return transfer(device, Op::write, offset, const_cast<void*>(from), length);
}

int plain_blocking(Device& device, Op op, uint64_t offset, uint64_t length) {
  Request r;
  r.op = op;
  r.offset = offset;
  r.length = length;
  return run_blocking(device, r);
}

}  // namespace cbd::block
