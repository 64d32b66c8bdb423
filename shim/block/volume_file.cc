// Requests to a file's volume: one or more tasks of the ring each, or system calls on the caller's thread.
#include "block/volume_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "block/iov.h"

namespace cbd::block {
namespace {

constexpr int max_iov = 1024;                   // IOV_MAX
constexpr uint64_t bounce_bytes = 1024 * 1024;  // at a time
// Up to here a write into the page cache is done by the ring's thread itself. One that has to wait (too many
// dirty pages) then holds up what comes behind it, which waits for the same disk.
constexpr uint64_t quick_write = 128 * 1024;
// Up to here a read out of the page cache is done by the submitting thread; copying more would hold up an
// event loop.
constexpr uint64_t quick_read = 1024 * 1024;
// Up to here a request around the page cache is given to the kernel by the submitting thread. A larger one may be split
// below, which the kernel refuses to do without waiting.
constexpr uint64_t here_bytes = 64 * 1024;
constexpr int here_pieces = 16;
constexpr size_t zeroes_bytes = 64 * 1024;
constexpr int zeroes_repeat = 16;

alignas(4096) const std::byte zeroes[zeroes_bytes] = {};

// What statx says of O_DIRECT (Linux 6.1; the C library's struct has no such fields yet). False where it says
// nothing.
bool direct_alignment(int fd, uint32_t& memory, uint32_t& offset) {
  alignas(8) unsigned char answer[256] = {};
  constexpr unsigned statx_dioalign = 0x2000;
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, statx_dioalign, answer) != 0) return false;
  uint32_t mask;
  std::memcpy(&mask, answer, 4);
  if (!(mask & statx_dioalign)) return false;
  std::memcpy(&memory, answer + 0x98, 4);
  std::memcpy(&offset, answer + 0x9c, 4);
  return true;
}

// Names that the file has; 0 also where that cannot be said, and where the daemon has marked it as one that it takes from
// its writers: it makes the copy that will stand in its place (fenceVolume in src/backend/local.ts).
uint64_t name_count(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && !(status.st_mode & S_ISVTX) ? status.st_nlink : 0;
}

}  // namespace

// A request under way; lies in Request::scratch.
struct FileVolume::Transfer : IoRing::Task {
  FileVolume* volume;
  Request* request;
  uint64_t done_bytes;
  std::byte* bounce;  // where the client's memory does not suit O_DIRECT
  iovec* rest;        // what is left of a request of several pieces, or the zeroes to write
  iovec one;
  bool writes_zeroes;

  bool begin();
  void aim();
  bool advance(int64_t outcome, int& result);
  void end(int result);
};

FileVolume::FileVolume(UniqueFd fd, uint64_t size, std::shared_ptr<IoRing> ring, Options options)
    : fd_(std::move(fd)), size_(size), ring_(std::move(ring)) {
  static_assert(sizeof(Transfer) <= sizeof(Request::scratch));
  has_name_ = name_count(fd_.get()) > 0;
  if (options.direct) try_direct();
}

FileVolume::~FileVolume() = default;

void FileVolume::try_direct() {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags < 0 || fcntl(fd_.get(), F_SETFL, flags | O_DIRECT) != 0) return;
  uint32_t memory = 0, offset = 0;
  if (!direct_alignment(fd_.get(), memory, offset)) {
    memory = offset = 4096;
    void* page = nullptr;
    if (posix_memalign(&page, 4096, 4096) == 0) {
      if (pread(fd_.get(), page, 512, 512) >= 0) memory = offset = 512;
      std::free(page);
    }
  }
  // 0: not on this file. More than 4096: no layer's grain fits it.
  if (offset == 0 || memory == 0 || offset > 4096 || memory > 4096) {
    fcntl(fd_.get(), F_SETFL, flags & ~O_DIRECT);
    return;
  }
  block_ = std::max(offset, 512u);
  memory_align_ = memory;
}

uint64_t FileVolume::size() const {
  const uint64_t size = size_.load(std::memory_order_acquire);
  return (size + block_ - 1) / block_ * block_;
}

void FileVolume::submit(Request& request) {
  if (request.op == Op::compare_and_write) return request.done(&request, -EOPNOTSUPP);
  if (request.op == Op::flush) {
    if (const int lost = failed_sync_.load(std::memory_order_acquire)) return request.done(&request, lost);
  } else {
    const uint64_t end = request.offset + request.length;
    if (request.length == 0 || end < request.offset || end > size() ||
        (request.offset | request.length) % block_) {
      return request.done(&request, -EINVAL);
    }
  }
  begin(request);
}

void FileVolume::begin(Request& request) {
  auto* transfer = new (request.scratch) Transfer{};
  transfer->volume = this;
  transfer->request = &request;
  transfer->fd = fd_.get();
  if (!transfer->begin()) return transfer->end(-ENOMEM);
  if (request.may_block) {
    int result;
    while (!transfer->advance(IoRing::perform(*transfer), result)) {
    }
    return transfer->end(result);
  }
  if (transfer->kind == IoRing::Task::Kind::read && block_ == 1 &&
      tries_cache_.load(std::memory_order_relaxed)) {
    // What is in the page cache is there without waiting and without another thread.
    const ssize_t n = preadv2(transfer->fd, transfer->iov, transfer->iovcnt,
                              static_cast<off_t>(transfer->offset), RWF_NOWAIT);
    int result;
    // Linux 5.9 and 5.10 may give 0 for what is in the file and not in the cache.
    if (n > 0 && transfer->advance(n, result)) return transfer->end(result);
    if (n < 0 && errno != EAGAIN) tries_cache_.store(false, std::memory_order_relaxed);
  }
  transfer->is_quick =
      transfer->kind == IoRing::Task::Kind::write && block_ == 1 && request.length <= quick_write;
  transfer->finish = [](IoRing::Task& self) {
    auto& t = static_cast<Transfer&>(self);
    int result;
    if (t.advance(t.result, result)) {
      t.end(result);
    } else {
      t.volume->ring_->start(t);
    }
  };
  if (block_ > 1 && request.length <= here_bytes && transfer->iovcnt <= here_pieces &&
      (transfer->kind == IoRing::Task::Kind::read || transfer->kind == IoRing::Task::Kind::write) &&
      ring_->start_direct(*transfer, request.raises_listened, &request.was_raised)) {
    return;
  }
  ring_->start(*transfer);
}

// Sets the first task up; false without memory.
bool FileVolume::Transfer::begin() {
  const Request& r = *request;
  switch (r.op) {
    case Op::flush:
      kind = Kind::sync;
      return true;
    case Op::discard:
    case Op::zero:
      kind = Kind::allocate;
      mode = static_cast<int16_t>(
          FALLOC_FL_KEEP_SIZE | (r.op == Op::zero && r.keep_allocated ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE));
      offset = r.offset;
      length = r.length;
      return true;
    default:
      break;
  }
  kind = r.op == Op::read ? Kind::read : Kind::write;
  if (volume->block_ > 1 && !is_aligned(r.iov, r.iovcnt, volume->memory_align_, volume->block_)) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 4096, std::min(bounce_bytes, r.length)) != 0) return false;
    bounce = static_cast<std::byte*>(memory);
  } else if (r.iovcnt > max_iov) {
    rest = static_cast<iovec*>(std::malloc(sizeof(iovec) * max_iov));
    if (!rest) return false;
  }
  aim();
  return true;
}

// Points the task at what is left to do.
void FileVolume::Transfer::aim() {
  const Request& r = *request;
  offset = r.offset + done_bytes;
  const uint64_t left = r.length - done_bytes;
  if (writes_zeroes) {
    iov = rest;
    uint64_t covered = 0;
    for (iovcnt = 0; iovcnt < zeroes_repeat && covered < left; ++iovcnt) {
      const uint64_t n = std::min<uint64_t>(zeroes_bytes, left - covered);
      rest[iovcnt] = {const_cast<std::byte*>(zeroes), n};
      covered += n;
    }
  } else if (bounce) {
    one = {bounce, std::min(bounce_bytes, left)};
    if (kind == Kind::write) copy_from_iov(bounce, r.iov, r.iovcnt, done_bytes, one.iov_len);
    iov = &one;
    iovcnt = 1;
  } else if (rest) {
    iov = rest;
    iovcnt = slice_iov(r.iov, r.iovcnt, done_bytes, left, rest, max_iov);
  } else if (r.iovcnt == 1) {
    one = {static_cast<std::byte*>(r.iov->iov_base) + done_bytes, left};
    iov = &one;
    iovcnt = 1;
  } else {
    iov = r.iov;
    iovcnt = r.iovcnt;
  }
}

// Takes the outcome of a task. True when the request is over; false when the task has been set up to go on.
bool FileVolume::Transfer::advance(int64_t outcome, int& result) {
  const Request& r = *request;
  result = 0;
  if (kind == Kind::sync) return result = volume->remember_sync(static_cast<int>(outcome)), true;
  if (kind == Kind::allocate && outcome == -EOPNOTSUPP) {
    // The file system cannot do it, so write the zeroes.
    rest = static_cast<iovec*>(std::malloc(sizeof(iovec) * zeroes_repeat));
    if (!rest) return result = -ENOMEM, true;
    kind = Kind::write;
    writes_zeroes = true;
    aim();
    return false;
  }
  if (outcome < 0) return result = static_cast<int>(outcome), true;
  if (kind == Kind::allocate) return true;
  const auto n = static_cast<uint64_t>(outcome);
  if (kind == Kind::read) {
    if (bounce) copy_to_iov(r.iov, r.iovcnt, done_bytes, bounce, n);
    done_bytes += n;
    // The file ends here (around the page cache maybe inside a block): the rest of the volume reads as
    // zeroes.
    if (n == 0 || n % volume->block_) {
      zero_iov(r.iov, r.iovcnt, done_bytes, r.length - done_bytes);
      return true;
    }
  } else {
    if (n == 0 || n % volume->block_) return result = -EIO, true;
    done_bytes += n;
  }
  if (done_bytes >= r.length) return true;
  if (!rest && !bounce && r.iovcnt > 1) {
    rest = static_cast<iovec*>(std::malloc(sizeof(iovec) * max_iov));
    if (!rest) return result = -ENOMEM, true;
  }
  aim();
  return false;
}

int FileVolume::remember_sync(int outcome) {
  int lost = 0;
  // Another file stands in its place (fenced), or will, or none: nobody may ever see what was made durable in this one.
  if (outcome >= 0 && has_name_ && name_count(fd_.get()) == 0) outcome = -ESHUTDOWN;
  if (outcome < 0 && failed_sync_.compare_exchange_strong(lost, outcome)) return outcome;
  return lost ? lost : failed_sync_.load(std::memory_order_acquire);
}

void FileVolume::Transfer::end(int result) {
  std::free(bounce);
  std::free(rest);
  request->done(request, result);
}

int FileVolume::extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
  const uint64_t end = offset + length;
  if (end < offset || end > size()) return -EINVAL;
  auto add = [&out](Extent::Kind kind, uint64_t from, uint64_t to) {
    if (to > from) out.push_back({kind, from, to - from});
  };
  while (offset < end) {
    const off_t data = lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      add(Extent::Kind::zero, offset, end);
      return 0;
    }
    if (data < 0 && errno == EINVAL) {
      add(Extent::Kind::data, offset, end);
      return 0;
    }
    if (data < 0) return -errno;
    const uint64_t from = std::min<uint64_t>(static_cast<uint64_t>(data), end);
    add(Extent::Kind::zero, offset, from);
    if (from == end) return 0;
    const off_t hole = lseek(fd_.get(), static_cast<off_t>(from), SEEK_HOLE);
    // The file was cut between the two calls.
    if (hole < 0 && errno != ENXIO) return -errno;
    const uint64_t to = hole < 0 ? end : std::min<uint64_t>(static_cast<uint64_t>(hole), end);
    add(Extent::Kind::data, from, to);
    offset = to;
  }
  return 0;
}

}  // namespace cbd::block
