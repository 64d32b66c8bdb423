// The sparse pages, the held requests and the record.
#include "block/memory_volume.h"

#include <errno.h>

#include <algorithm>
#include <cstring>

#include "block/iov.h"

namespace cbd::block {

MemoryVolume::MemoryVolume(Options options) : options_(options), size_(options.size) {}

MemoryVolume::~MemoryVolume() {
  stop_holding();
}

void MemoryVolume::submit(Request& request) {
  if (request.op == Op::compare_and_write) return request.done(&request, -EOPNOTSUPP);
  if (request.op != Op::flush) {
    const uint64_t end = request.offset + request.length;
    if (!request.length || end < request.offset || end > size_ ||
        (request.offset | request.length) % options_.block_size) {
      return request.done(&request, -EINVAL);
    }
  }
  if (!request.may_block) {
    std::lock_guard<std::mutex> guard(lock_);
    if (holding_) {
      held_.push_back(&request);
      arrived_.notify_one();
      return;
    }
  }
  request.done(&request, carry_out(request));
}

int MemoryVolume::carry_out(Request& request) {
  std::lock_guard<std::mutex> guard(lock_);
  ++counts_[static_cast<size_t>(request.op)];
  if (decide_) {
    if (int error = decide_(request)) return error;
  }
  std::vector<std::byte> data;
  switch (request.op) {
    case Op::read:
      data.resize(request.length);
      get(request.offset, data.data(), request.length);
      copy_to_iov(request.iov, request.iovcnt, 0, data.data(), request.length);
      return 0;
    case Op::write:
      if (pages_.size() * page_bytes + request.length > capacity_) return -ENOSPC;
      data.resize(request.length);
      copy_from_iov(data.data(), request.iov, request.iovcnt, 0, request.length);
      put(request.offset, data.data(), request.length);
      break;
    case Op::discard:
      if (!options_.discard_zeroes) break;
      [[fallthrough]];
    case Op::zero:
      clear(request.offset, request.length);
      break;
    default:
      break;
  }
  if (options_.record) records_.push_back({request.op, request.offset, request.length, std::move(data)});
  return 0;
}

void MemoryVolume::put(uint64_t offset, const std::byte* from, uint64_t length) {
  while (length) {
    const uint64_t within = offset % page_bytes, n = std::min(length, page_bytes - within);
    auto& page = pages_[offset / page_bytes];
    if (!page) page = std::make_unique<Page>();
    std::memcpy(page->data() + within, from, n);
    offset += n, from += n, length -= n;
  }
}

void MemoryVolume::clear(uint64_t offset, uint64_t length) {
  while (length) {
    const uint64_t within = offset % page_bytes, n = std::min(length, page_bytes - within);
    if (n == page_bytes) {
      pages_.erase(offset / page_bytes);
    } else if (auto it = pages_.find(offset / page_bytes); it != pages_.end()) {
      std::memset(it->second->data() + within, 0, n);
    }
    offset += n, length -= n;
  }
}

void MemoryVolume::get(uint64_t offset, std::byte* to, uint64_t length) const {
  while (length) {
    const uint64_t within = offset % page_bytes, n = std::min(length, page_bytes - within);
    if (auto it = pages_.find(offset / page_bytes); it != pages_.end()) {
      std::memcpy(to, it->second->data() + within, n);
    } else {
      std::memset(to, 0, n);
    }
    offset += n, to += n, length -= n;
  }
}

int MemoryVolume::extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
  if (offset + length < offset || offset + length > size_) return -EINVAL;
  std::lock_guard<std::mutex> guard(lock_);
  const uint64_t end = offset + length;
  while (offset < end) {
    const bool kept = pages_.count(offset / page_bytes) != 0;
    uint64_t to = (offset / page_bytes + 1) * page_bytes;
    while (to < end && (pages_.count(to / page_bytes) != 0) == kept) to += page_bytes;
    to = std::min(to, end);
    out.push_back({kept ? Extent::Kind::data : Extent::Kind::zero, offset, to - offset});
    offset = to;
  }
  return 0;
}

void MemoryVolume::hold() {
  std::lock_guard<std::mutex> guard(lock_);
  holding_ = true;
}

void MemoryVolume::answer_from_thread(uint32_t seed) {
  hold();
  random_.seed(seed);
  thread_ = std::thread([this] { serve(); });
}

void MemoryVolume::serve() {
  std::unique_lock<std::mutex> guard(lock_);
  for (;;) {
    arrived_.wait(guard, [this] { return stop_ || !held_.empty(); });
    if (held_.empty()) return;
    const size_t index = random_() % held_.size();
    Request* request = held_[index];
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(index));
    guard.unlock();
    request->done(request, carry_out(*request));
    guard.lock();
  }
}

size_t MemoryVolume::release(size_t index) {
  Request* request;
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (index >= held_.size()) return held_.size();
    request = held_[index];
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(index));
  }
  request->done(request, carry_out(*request));
  return held();
}

size_t MemoryVolume::held() const {
  std::lock_guard<std::mutex> guard(lock_);
  return held_.size();
}

void MemoryVolume::stop_holding() {
  {
    std::lock_guard<std::mutex> guard(lock_);
    holding_ = false;
    stop_ = true;
    arrived_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  while (held()) release(0);
  std::lock_guard<std::mutex> guard(lock_);
  stop_ = false;
}

void MemoryVolume::fail_if(std::function<int(const Request&)> decide) {
  std::lock_guard<std::mutex> guard(lock_);
  decide_ = std::move(decide);
}

void MemoryVolume::peek(uint64_t offset, void* to, uint64_t length) const {
  std::lock_guard<std::mutex> guard(lock_);
  get(offset, static_cast<std::byte*>(to), length);
}

void MemoryVolume::poke(uint64_t offset, const void* from, uint64_t length) {
  std::lock_guard<std::mutex> guard(lock_);
  put(offset, static_cast<const std::byte*>(from), length);
}

uint64_t MemoryVolume::bytes_kept() const {
  std::lock_guard<std::mutex> guard(lock_);
  return pages_.size() * page_bytes;
}

void MemoryVolume::apply(const Record& record, uint64_t bytes) {
  std::lock_guard<std::mutex> guard(lock_);
  if (record.op == Op::write) put(record.offset, record.data.data(), bytes);
  if (record.op == Op::zero || (record.op == Op::discard && options_.discard_zeroes))
    clear(record.offset, bytes);
}

std::unique_ptr<MemoryVolume> MemoryVolume::copy() const {
  auto twin = std::make_unique<MemoryVolume>(options_);
  std::lock_guard<std::mutex> guard(lock_);
  twin->size_ = size_.load();
  for (const auto& [number, page] : pages_) twin->pages_[number] = std::make_unique<Page>(*page);
  return twin;
}

}  // namespace cbd::block
