#include "data/flow.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>

namespace cbd::hooks {
namespace {

volatile sig_atomic_t interrupted = 0;

void note_interrupt(int which) { interrupted = which; }

constexpr int read_depth = 8;

}  // namespace

bool is_zero(const char* data, size_t length) {
  return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

bool is_interrupted() { return interrupted != 0; }

int interrupted_by() { return interrupted; }

void watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Buffers::Free::~Free() {
  for (char* one : list) free(one);
}

Buffers::Buffer Buffers::take() const {
  constexpr size_t page = 4096;
  char* memory = nullptr;
  {
    std::lock_guard<std::mutex> hold(free_->lock);
    if (!free_->list.empty()) {
      memory = free_->list.back();
      free_->list.pop_back();
    }
  }
  if (memory == nullptr) memory = static_cast<char*>(aligned_alloc(page, (free_->bytes + page - 1) / page * page));
  if (memory == nullptr) throw std::bad_alloc();
  return Buffer(memory, [pool = free_](char* used) {
    std::lock_guard<std::mutex> hold(pool->lock);
    pool->list.push_back(used);
  });
}

struct WriteFlow::Piece {
  WriteFlow* flow;
  Buffers::Buffer buffer;
  const char* data;
  size_t length;
  int weight;
};

int WriteFlow::weight(size_t length) { return static_cast<int>(std::clamp<size_t>(length / kSmallest, 1, kLarge)); }

void WriteFlow::done(rbd_completion_t completion, void* context) {
  std::unique_ptr<Piece> piece(static_cast<Piece*>(context));
  int result = static_cast<int>(rbd_aio_get_return_value(completion));
  rbd_aio_release(completion);
  WriteFlow* flow = piece->flow;
  std::lock_guard<std::mutex> hold(flow->lock_);
  if (result < 0 && flow->error_ == 0) flow->error_ = result;
  flow->free_ += piece->weight;
  --flow->flying_;
  if (flow->flying_ == 0 || (flow->wanted_ != 0 && flow->free_ >= flow->wanted_)) flow->changed_.notify_all();
}

int WriteFlow::start(Piece* given, const std::function<int(Piece*)>& submit) {
  std::unique_ptr<Piece> piece(given);
  {
    std::unique_lock<std::mutex> hold(lock_);
    if (free_ < given->weight) {
      // Not for every small one that ends.
      wanted_ = std::max(given->weight, all_ / 4);
      changed_.wait(hold, [&] { return free_ >= wanted_; });
      wanted_ = 0;
    }
    if (error_ != 0) return error_;
    free_ -= given->weight;
    ++flying_;
  }
  int result = submit(piece.get());
  if (result == 0) {
    piece.release();
    return 0;
  }
  std::lock_guard<std::mutex> hold(lock_);
  free_ += piece->weight;
  --flying_;
  if (error_ == 0) error_ = result;
  return result;
}

int WriteFlow::write(uint64_t offset, Buffers::Buffer buffer, size_t from, size_t length) {
  const char* data = buffer.get() + from;
  return start(new Piece{this, std::move(buffer), data, length, weight(length)}, [&](Piece* own) {
    rbd_completion_t completion;
    int result = rbd_aio_create_completion(own, done, &completion);
    if (result < 0) return result;
    result = rbd_aio_write(image_, offset, own->length, own->data, completion);
    if (result < 0) rbd_aio_release(completion);
    return result;
  });
}

int WriteFlow::zero(uint64_t offset, uint64_t length) {
  return start(new Piece{this, {}, nullptr, 0, kLarge}, [&](Piece* own) {
    rbd_completion_t completion;
    int result = rbd_aio_create_completion(own, done, &completion);
    if (result < 0) return result;
    result = rbd_aio_write_zeroes(image_, offset, length, completion, 0, 0);
    if (result < 0) rbd_aio_release(completion);
    return result;
  });
}

int WriteFlow::drain() {
  std::unique_lock<std::mutex> hold(lock_);
  changed_.wait(hold, [&] { return flying_ == 0; });
  return error_;
}

int read_in_order(rbd_image_t image, uint64_t offset, uint64_t length, uint64_t piece,
                  const std::function<int(uint64_t, const char*, size_t)>& take) {
  struct Flying {
    uint64_t offset;
    size_t length;
    Buffers::Buffer data;
    rbd_completion_t completion;
  };
  const Buffers buffers(static_cast<size_t>(std::min(piece, length)));
  std::deque<std::unique_ptr<Flying>> flying;
  uint64_t next = offset;
  const uint64_t end = offset + length;
  int result = 0;
  while (next < end || !flying.empty()) {
    while (result == 0 && next < end && flying.size() < read_depth) {
      auto one = std::make_unique<Flying>();
      one->offset = next;
      one->length = static_cast<size_t>(std::min(piece, end - next));
      one->data = buffers.take();
      result = rbd_aio_create_completion(nullptr, nullptr, &one->completion);
      if (result < 0) break;
      result = rbd_aio_read(image, next, one->length, one->data.get(), one->completion);
      if (result < 0) {
        rbd_aio_release(one->completion);
        break;
      }
      next += one->length;
      flying.push_back(std::move(one));
    }
    if (result != 0) next = end;
    if (flying.empty()) break;
    auto one = std::move(flying.front());
    flying.pop_front();
    rbd_aio_wait_for_complete(one->completion);
    ssize_t got = rbd_aio_get_return_value(one->completion);
    rbd_aio_release(one->completion);
    if (result != 0) continue;
    if (got < 0) {
      result = static_cast<int>(got);
    } else if (is_interrupted()) {
      result = -EINTR;
    } else {
      // The image became smaller meanwhile.
      if (static_cast<size_t>(got) < one->length) memset(one->data.get() + got, 0, one->length - static_cast<size_t>(got));
      result = take(one->offset, one->data.get(), one->length);
    }
  }
  return result;
}

int for_each_nonzero(const char* data, size_t length, size_t block, const std::function<int(size_t, size_t)>& take) {
  size_t start = 0, at = 0;
  bool is_open = false;
  for (; at < length; at += block) {
    bool zero = is_zero(data + at, std::min(block, length - at));
    if (!zero && !is_open) start = at;
    if (zero && is_open) {
      if (int result = take(start, at - start); result != 0) return result;
    }
    is_open = !zero;
  }
  return is_open ? take(start, length - start) : 0;
}

}  // namespace cbd::hooks
