// See data_copy.h.
#include "rbd/data_copy.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace cbd::rbd {

namespace {

using block::Extent;
using block::Op;

constexpr uint64_t kChunk = 1024 * 1024;
constexpr int kSlots = 8;
constexpr uint64_t kWindow = uint64_t{1} << 30;

class Copy {
 public:
  Copy(ImageIo& source, ImageIo& target, const CopyOptions& options)
      : source_(source), target_(target), options_(options) {
    for (Slot& slot : slots_) {
      slot.copy = this;
      slot.buffer = std::make_unique<char[]>(kChunk);
      free_.push_back(&slot);
    }
  }

  int run() {
    std::vector<Extent> extents;
    for (uint64_t at = 0; at < options_.length && error() == 0;) {
      const uint64_t end = std::min(options_.length, at + kWindow);
      extents.clear();
      if (int failed = find_extents(at, end - at, extents)) fail(failed);
      for (const Extent& extent : extents) {
        if (error() != 0) break;
        take(extent);
      }
      at = end;
    }
    drain();
    return error();
  }

 private:
  int find_extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
    return options_.extents ? options_.extents(offset, length, out) : source_.extents(offset, length, out);
  }

  // One chunk on its way: read, then written run by run.
  struct Slot {
    Copy* copy = nullptr;
    IoRequest request;
    iovec vector{};
    std::unique_ptr<char[]> buffer;
    uint64_t offset = 0, length = 0, written = 0;
  };

  void take(const Extent& extent) {
    const bool is_hole = extent.kind != Extent::Kind::data;
    for (uint64_t at = extent.offset; at < extent.offset + extent.length && error() == 0;) {
      const uint64_t step = is_hole ? extent.length : kChunk - at % kChunk;
      const uint64_t length = std::min(step, extent.offset + extent.length - at);
      if (!report(at)) return;
      if (!is_hole) {
        read(at, length);
      } else if (!options_.is_target_empty) {
        clear(at, length);
      }
      at += length;
    }
  }

  bool report(uint64_t done) {
    if (!options_.progress || options_.progress(done, options_.length) >= 0) return true;
    fail(-ECANCELED);
    return false;
  }

  Slot& wait_for_slot() {
    std::unique_lock<std::mutex> guard(lock_);
    changed_.wait(guard, [&] { return !free_.empty(); });
    Slot* slot = free_.back();
    free_.pop_back();
    return *slot;
  }

  void read(uint64_t offset, uint64_t length) {
    Slot& slot = wait_for_slot();
    slot.offset = offset;
    slot.length = length;
    slot.written = 0;
    submit(slot, source_, Op::read, offset, length, [](block::Request* request, int result) {
      auto& self = *static_cast<Slot*>(request->context);
      self.copy->write_next(self, result);
    });
  }

  void clear(uint64_t offset, uint64_t length) {
    Slot& slot = wait_for_slot();
    slot.length = slot.written = 0;
    submit(slot, target_, Op::zero, offset, length, [](block::Request* request, int result) {
      auto& self = *static_cast<Slot*>(request->context);
      self.copy->write_next(self, result);
    });
  }

  void submit(Slot& slot, ImageIo& io, Op op, uint64_t offset, uint64_t length, void (*done)(block::Request*, int)) {
    slot.request = IoRequest();
    slot.request.op = op;
    slot.request.offset = offset;
    slot.request.length = length;
    if (op != Op::zero) {
      slot.vector = {slot.buffer.get() + (offset - slot.offset), length};
      slot.request.iov = &slot.vector;
      slot.request.iovcnt = 1;
    }
    slot.request.context = &slot;
    slot.request.done = done;
    io.submit(slot.request);
  }

  // The slot's last request has ended: writes its next run that is not zero, or gives the slot back.
  void write_next(Slot& slot, int result) {
    if (result < 0) {
      fail(result);
    } else {
      uint64_t from, to;
      if (next_run(slot, from, to)) {
        submit(slot, target_, Op::write, slot.offset + from, to - from, [](block::Request* request, int ended) {
          auto& self = *static_cast<Slot*>(request->context);
          self.copy->write_next(self, ended);
        });
        return;
      }
    }
    std::lock_guard<std::mutex> guard(lock_);
    free_.push_back(&slot);
    changed_.notify_all();
  }

  // The next bytes of the chunk, in whole grains, that have to be written.
  bool next_run(Slot& slot, uint64_t& from, uint64_t& to) {
    auto piece_end = [&](uint64_t at) {
      const uint64_t absolute = slot.offset + at;
      return std::min(slot.length, (absolute / options_.grain + 1) * options_.grain - slot.offset);
    };
    auto is_skipped = [&](uint64_t at) {
      return options_.is_target_empty && is_zero(slot.buffer.get() + at, piece_end(at) - at);
    };
    from = slot.written;
    while (from < slot.length && is_skipped(from)) from = piece_end(from);
    to = from;
    while (to < slot.length && !is_skipped(to)) to = piece_end(to);
    slot.written = to;
    return from < slot.length;
  }

  void drain() {
    std::unique_lock<std::mutex> guard(lock_);
    changed_.wait(guard, [&] { return free_.size() == kSlots; });
  }

  int error() {
    std::lock_guard<std::mutex> guard(lock_);
    return error_;
  }
  void fail(int error) {
    std::lock_guard<std::mutex> guard(lock_);
    if (error_ == 0) error_ = error;
  }

  ImageIo& source_;
  ImageIo& target_;
  const CopyOptions& options_;
  Slot slots_[kSlots];
  std::mutex lock_;  // guards free_ and error_
  std::condition_variable changed_;
  std::vector<Slot*> free_;
  int error_ = 0;
};

}  // namespace

bool is_zero(const char* data, size_t length) {
  return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

int copy_data(ImageIo& source, ImageIo& target, const CopyOptions& options) {
  return Copy(source, target, options).run();
}

}  // namespace cbd::rbd
