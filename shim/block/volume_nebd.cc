// The device in front of a nebd::Connection: what is no I/O of NEBD's ends here.
#include "block/volume_nebd.h"

#include <errno.h>

#include <algorithm>

namespace cbd::block {

NebdVolume::NebdVolume(Options options) : options_(std::move(options)), size_(options_.size) {}

NebdVolume::~NebdVolume() {
  Opened* own = opened_.existing();
  if (!own) return;
  if (nebd::File* file = own->file.load(std::memory_order_acquire)) own->connection->release(file);
}

// Null where the socket's path is no path of a socket.
NebdVolume::Opened* NebdVolume::opened() {
  Opened& own = opened_.get();
  if (own.file.load(std::memory_order_acquire)) return &own;
  std::lock_guard<std::mutex> guard(own.lock);
  if (own.file.load(std::memory_order_relaxed)) return &own;
  own.connection = nebd::Connection::to(options_.socket);
  if (!own.connection) return nullptr;
  own.file.store(own.connection->add_file({options_.file, options_.add_random, size(), options_.block, options_.times, options_.ask_leave}),
                 std::memory_order_release);
  return &own;
}

void NebdVolume::submit(Request& request) {
  if (request.op == Op::flush) return request.done(&request, 0);
  if (request.op == Op::compare_and_write) return request.done(&request, -EOPNOTSUPP);
  const uint64_t block = options_.block;
  const bool is_whole = block > 0 && request.length > 0 && request.offset % block == 0 && request.length % block == 0;
  const uint64_t end = request.offset + request.length;
  if (!is_whole || end < request.offset || end > size()) return request.done(&request, -EINVAL);
  Opened* own = opened();
  if (!own) return request.done(&request, -EINVAL);
  own->connection->submit(*own->file.load(std::memory_order_relaxed), request);
}

int NebdVolume::extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
  if (offset + length < offset || offset + length > size()) return -EINVAL;
  if (length == 0) return 0;
  const size_t from = out.size();
  const uint64_t end = offset + length;
  std::vector<Extent> allocated;
  if (!options_.ask_allocated || options_.ask_allocated(offset, length, allocated) != 0) {
    out.push_back({Extent::Kind::data, offset, length});
    return 0;
  }
  auto add = [&](Extent::Kind kind, uint64_t stop) {
    if (stop <= offset) return;
    if (out.size() > from && out.back().kind == kind) {
      out.back().length += stop - offset;
    } else {
      out.push_back({kind, offset, stop - offset});
    }
    offset = stop;
  };
  for (const Extent& extent : allocated) {
    add(Extent::Kind::zero, std::min(extent.offset, end));
    add(Extent::Kind::data, std::min(extent.offset + extent.length, end));
  }
  add(Extent::Kind::zero, end);
  return 0;
}

void NebdVolume::grow(uint64_t size) {
  uint64_t before = size_.load(std::memory_order_relaxed);
  while (size > before && !size_.compare_exchange_weak(before, size)) {
  }
  Opened* own = opened_.existing();
  if (!own) return;
  if (nebd::File* file = own->file.load(std::memory_order_acquire)) own->connection->grow(*file, size);
}

void NebdVolume::lose_leave() {
  if (options_.ask_leave) shut_out();
}

void NebdVolume::shut_out() {
  Opened* own = opened_.existing();
  if (!own) return;
  if (nebd::File* file = own->file.load(std::memory_order_acquire)) own->connection->lose_leave(*file);
}

}  // namespace cbd::block
