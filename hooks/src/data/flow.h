// Large requests in parallel: writes of an image from buffers of their own, and reads that come back in order.
#pragma once

#include <rbd/librbd.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace cbd::hooks {

// True once SIGINT or SIGTERM came: who moves data stops, cleans up and ends with EINTR.
bool is_interrupted();
void watch_interrupts();

// Up to `depth` requests in flight. Buffers live until their request is done.
class WriteFlow {
 public:
  WriteFlow(rbd_image_t image, int depth) : image_(image), free_(depth) {}
  ~WriteFlow() { drain(); }

  // Waits for a place, then writes `data` at `offset`. 0 or the first -errno of any request so far.
  int write(uint64_t offset, std::vector<char> data);
  // The range reads as zeroes afterwards.
  int zero(uint64_t offset, uint64_t length);
  // Waits for everything; 0 or the first -errno.
  int drain();

 private:
  struct Piece;
  static void done(rbd_completion_t completion, void* piece);
  int start(Piece* piece, const std::function<int(Piece*)>& submit);

  rbd_image_t image_;
  std::mutex lock_;  // guards the three below
  std::condition_variable changed_;
  int free_;
  int flying_ = 0;
  int error_ = 0;
};

// Reads [offset, offset + length) in pieces of at most `piece`, several at once, and gives them to `take` in order.
// 0, the first -errno of a read, or what `take` returned where that is not 0.
int read_in_order(rbd_image_t image, uint64_t offset, uint64_t length, uint64_t piece,
                  const std::function<int(uint64_t offset, const char* data, size_t length)>& take);

// Calls `take` for each stretch of `data` that is not zero, in whole blocks of `block`.
int for_each_nonzero(const char* data, size_t length, size_t block, const std::function<int(size_t offset, size_t length)>& take);

}  // namespace cbd::hooks
