// The I/O of one open image: the stack of devices, the gate that holds requests back while the stack changes, and the
// order of flushes after writes. Knows nothing of the C ABI or of the daemon.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "block/align.h"
#include "block/device.h"
#include "block/fork_generation.h"
#include "block/io_ring.h"
#include "block/throttle.h"
#include "rbd/image_state.h"
#include "rbd/volumes.h"

namespace cbd::rbd {

// A request that goes through an ImageIo. The two last fields are the ImageIo's own while it is under way.
struct IoRequest : block::Request {
  void (*then)(block::Request*, int) = nullptr;
  void* then_context = nullptr;
  int write_epoch = -1;  // which of ImageIo's two counts of writes it is in, or -1
};

// Submitted requests must be IoRequests.
class ImageIo : public block::Device {
 public:
  // `direct`: around the page cache.
  explicit ImageIo(bool direct);
  // Nothing may be in flight.
  ~ImageIo() override;

  // Builds the stack of `layers` (newest first; `fds` as the daemon's reply brought them), for an image of `size`
  // bytes. Only before the first request, or while the gate is closed. Returns 0 or -errno; then nothing has changed.
  int build(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size);

  // The image's size for requests that come from now on. Growing takes effect at once; shrinking waits until no
  // request is in flight, so that none writes behind the new end afterwards.
  void resize(uint64_t size);

  // Holds new requests back and returns when none is in flight. Nests.
  void close_gate();
  void open_gate();

  block::IoRing& ring() { return *ring_; }
  // The QoS limits; before build() it is not there.
  block::Throttle& throttle() { return *throttle_; }

  // Carries a request out and waits. Returns 0 or -errno.
  int run(IoRequest& request) { return ring_->run(*this, request); }

  // The same for whoever has closed the gate.
  int run_behind_gate(IoRequest& request) { return ring_->run(*throttle_, request); }

  // Around a fork(): the stack is whole in the child.
  void before_fork() { swap_lock_.lock(); }
  void after_fork() { swap_lock_.unlock(); }

  void submit(block::Request& request) override;
  uint64_t size() const override { return size_.load(std::memory_order_acquire); }
  uint32_t block_size() const override { return 1; }
  bool discard_zeroes() const override { return throttle_->discard_zeroes(); }
  int extents(uint64_t offset, uint64_t length, std::vector<block::Extent>& out) override;

 private:
  // What a forked child must not inherit: it has none of the parent's requests in flight.
  struct Traffic {
    std::atomic<uint64_t> gate{0};  // twice the requests in flight, plus 1 while closed
    std::mutex lock;                // guards all below
    std::condition_variable drained;
    int closers = 0;
    std::vector<IoRequest*> parked;
    // Flushes: a write is counted in writes[epoch]; a flush changes the epoch and waits for the other count.
    std::atomic<int> epoch{0};
    std::atomic<uint64_t> writes[2] = {};
    std::atomic<bool> is_draining{false};
    std::vector<IoRequest*> queued;    // wait for the next change of epoch
    std::vector<IoRequest*> covering;  // wait for writes[epoch ^ 1]
  };

  static void finished(block::Request* request, int result);
  bool enter(Traffic& traffic, IoRequest& request);
  void leave(Traffic& traffic);
  void begin_write(Traffic& traffic, IoRequest& request);
  void end_write(Traffic& traffic, int epoch);
  void flush(Traffic& traffic, IoRequest& request);
  std::vector<IoRequest*> advance_flushes(Traffic& traffic);
  void start(Traffic& traffic, IoRequest& request);

  const bool direct_;
  std::shared_ptr<block::IoRing> ring_;
  std::mutex swap_lock_;  // held for the exchange of the stack only, and over a fork
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<block::Align> align_;
  std::unique_ptr<block::Throttle> throttle_;
  std::atomic<uint64_t> size_{0};
  PerProcess<Traffic> traffic_;
};

}  // namespace cbd::rbd
