// Large requests in parallel: writes of an image from buffers of their own, and reads that come back in order.
#pragma once

#include <rbd/librbd.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace cbd::hooks {

// True once SIGINT or SIGTERM came: who moves data stops, cleans up and ends with EINTR.
bool is_interrupted();
// Which of the two it was; 0 for none.
int interrupted_by();
void watch_interrupts();

// Memory for requests, used again and again, at the boundary of a page.
class Buffers {
 public:
  using Buffer = std::shared_ptr<char>;
  explicit Buffers(size_t bytes) : free_(std::make_shared<Free>(bytes)) {}
  Buffer take() const;
  size_t bytes() const { return free_->bytes; }

 private:
  struct Free {
    explicit Free(size_t size) : bytes(size) {}
    ~Free();
    const size_t bytes;
    std::mutex lock;  // guards `list`
    std::vector<char*> list;
  };
  std::shared_ptr<Free> free_;
};

// Up to `depth` large requests in flight, or so many small ones that they come to as much. Buffers live until their requests are done.
class WriteFlow {
 public:
  WriteFlow(rbd_image_t image, int depth) : image_(image), all_(depth * kLarge), free_(all_) {}
  ~WriteFlow() { drain(); }

  // Waits for a place, then writes `length` bytes of `buffer` from `from` on. 0 or the first -errno of any request so far.
  int write(uint64_t offset, Buffers::Buffer buffer, size_t from, size_t length);
  // The range reads as zeroes afterwards.
  int zero(uint64_t offset, uint64_t length);
  // Waits for everything; 0 or the first -errno.
  int drain();

 private:
  struct Piece;
  // A request of less than this is a part of a large one: small ones wait for the disk, which takes many of them at once.
  static constexpr int kLarge = 16;
  static constexpr size_t kSmallest = 16 << 10;

  static int weight(size_t length);
  static void done(rbd_completion_t completion, void* piece);
  int start(Piece* piece, const std::function<int(Piece*)>& submit);

  rbd_image_t image_;
  const int all_;
  std::mutex lock_;  // guards what is below
  std::condition_variable changed_;
  int free_;
  int wanted_ = 0;  // what must be free before the waiter is woken
  int flying_ = 0;
  int error_ = 0;
};

// Reads [offset, offset + length) in pieces of at most `piece`, several at once, and gives them to `take` in order.
// 0, the first -errno of a read, or what `take` returned where that is not 0.
int read_in_order(rbd_image_t image, uint64_t offset, uint64_t length, uint64_t piece,
                  const std::function<int(uint64_t offset, const char* data, size_t length)>& take);

bool is_zero(const char* data, size_t length);

// Calls `take` for each stretch of `data` that is not zero, in whole blocks of `block`.
int for_each_nonzero(const char* data, size_t length, size_t block, const std::function<int(size_t offset, size_t length)>& take);

}  // namespace cbd::hooks
