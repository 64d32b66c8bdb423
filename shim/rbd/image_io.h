// The I/O of one open image: the stack of devices, the gate that holds requests back while the stack changes, and the
// order of flushes after writes. Knows nothing of the C ABI or of the daemon.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "block/align.h"
#include "block/chain.h"
#include "block/device.h"
#include "block/fork_generation.h"
#include "block/io_ring.h"
#include "block/throttle.h"
#include "rbd/image_state.h"
#include "rbd/io_counters.h"
#include "rbd/volumes.h"

namespace cbd::rbd {

// A request that goes through an ImageIo. The two last fields are the ImageIo's own while it is under way.
struct IoRequest : block::Request {
  void (*then)(block::Request*, int) = nullptr;
  void* then_context = nullptr;
  int write_epoch = -1;  // which of ImageIo's two counts of writes it is in; -1: in none
  bool has_heard = false;  // it has waited until what the daemon said before it was taken
  int64_t started = 0;   // for the ImageIo's counters; 0 where nobody counts
};

// Submitted requests must be IoRequests.
class ImageIo : public block::Device {
 public:
  // Asks for the image's leave to read or to write; answered by set_layers() or refuse(). Must not block.
  using Ask = std::function<void(bool write)>;

  // Whether all that the daemon said until now was taken; if not, `then` runs when it is (control::Client::has_heard).
  using HasHeard = std::function<bool(std::function<void()> then)>;

  // `direct`: around the page cache. `questions`: see Volumes. Without `has_heard` the daemon is never waited for.
  ImageIo(bool direct, Ask ask, Volumes::Questions questions, HasHeard has_heard = {});
  // Nothing may be in flight.
  ~ImageIo() override;

  // The chain of `layers` (newest first; `fds` as the daemon's message brought them) for an image of `size` bytes, and
  // what may be done with it. Waits until nothing is in flight where that could tell a difference: where leave is
  // taken away, the image shrinks, the size of blocks changes, or a layer goes (its volume may be removed at once
  // afterwards). One at a time. Returns 0 or -errno.
  int set_layers(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size, Own own);
  // An answer to Ask: the leave is not given. What waits for it ends with `error`.
  void refuse(int error);
  // An answer to Ask that was taken: asks anew where requests still wait for leave and no other answer is to come.
  void ask_again();
  // In a forked child before its first call: the leave was the parent's, and so are the volumes.
  void forget_leave() {
    own_.store(Own::none, std::memory_order_release);
    std::lock_guard<std::mutex> guard(volumes_lock_.get());
    volumes_.forget();
  }
  // After set_layers() failed with a message that grants `granted`: drains and keeps no leave, so that nothing is done
  // before the daemon was asked again. A writer whose leave the message confirms makes durable what he wrote; one who
  // lost it must not, for another may write by now. Returns 0, or why what was written is lost.
  int drop_leave(Own granted);
  // Nobody answers any more whether the head may be changed: what waits for that ends in -ESHUTDOWN.
  void lose_leave() {
    std::lock_guard<std::mutex> guard(volumes_lock_.get());
    volumes_.lose_leave();
  }
  // See Volumes. It may wait for a volume's server, so a copy is asked.
  int try_access(std::string& message) const { return volumes().try_access(message); }
  // Drains, makes durable what a writer wrote, and keeps no more leave than `to`. Returns 0 or -errno of the flush: what
  // was written is lost then, and stays so for the client (see Traffic::lost).
  int give_up(Own to);
  Own own() const { return own_.load(std::memory_order_acquire); }

  // The client is on the blocklist: returns when nothing is in flight; all that comes, and what waited, ends in -ESHUTDOWN, for good.
  void shut_out();

  // Holds new requests back and returns when none is in flight. Nests.
  void close_gate();
  void open_gate();

  block::Chain& chain() { return chain_; }
  // To open more of the image's volumes with: a copy shares those that are open.
  Volumes volumes() const;
  block::IoRing& ring() { return *ring_; }
  IoCounters& counters() { return counters_; }
  block::Throttle& throttle() { return throttle_; }

  // Carries a request out and waits. Returns 0 or -errno.
  int run(IoRequest& request) { return ring_->run(*this, request); }
  // Makes durable what was written, for whoever has closed the gate. Returns 0 or -errno.
  int flush_behind_gate();

  // The same as run() for whoever has closed the gate.
  int run_behind_gate(IoRequest& request);

  void submit(block::Request& request) override;
  uint64_t size() const override { return size_.load(std::memory_order_acquire); }
  uint32_t block_size() const override { return 1; }
  bool discard_zeroes() const override { return throttle_.discard_zeroes(); }
  int extents(uint64_t offset, uint64_t length, std::vector<block::Extent>& out) override;

 private:
  // What a forked child must not inherit: it has none of the parent's requests in flight.
  struct Traffic {
    std::atomic<uint64_t> gate{0};  // twice the requests in flight, plus 1 while closed
    std::mutex lock;                // guards all below
    std::condition_variable drained;
    int closers = 0;
    std::vector<IoRequest*> parked;
    std::vector<IoRequest*> wanting;  // wait for leave, outside the gate
    int asked = 0;                    // for what leave was asked and not answered: 1 to read, 2 to write
    int asking = 0;                   // how often; until all are answered nobody asks for no more than that
    // Flushes: a write is counted in writes[epoch] from its submission on; a flush changes the epoch, waits for the other
    // count, and only then goes to the gate, which must not wait for writes that wait outside it.
    std::atomic<int> epoch{0};
    std::atomic<uint64_t> writes[2] = {};
    std::atomic<bool> is_draining{false};
    std::vector<IoRequest*> queued;    // wait for the next change of epoch
    std::vector<IoRequest*> covering;  // wait for writes[epoch ^ 1]
    // What would be lost with the leave to write: whether writes of an epoch were given to the devices since a flush covered
    // them, and flushes that cover some and have not ended. Exact while the gate is closed and nothing is in flight.
    std::atomic<bool> touched[2] = {};
    std::vector<IoRequest*> carrying;
    // -errno once writes are lost that the client was told of and that no flush had made durable: writes and flushes end
    // with it from then on, as a blocklisted client's do in Ceph.
    std::atomic<int> lost{0};
  };

  int reduce_leave(Own to, bool flushes);
  bool has_unflushed(Traffic& traffic);
  int settle(bool may_flush);
  static bool may(Own own, const IoRequest& request);
  void want(Traffic& traffic, IoRequest& request);
  bool may_read_yet(Traffic& traffic, IoRequest& request);
  void ask_for_chain(bool write);
  std::vector<IoRequest*> end_ask(Traffic& traffic);
  void restart(std::vector<IoRequest*> requests);
  void set_own(Own own);
  static void finished(block::Request* request, int result);
  bool enter(Traffic& traffic, IoRequest& request);
  void leave(Traffic& traffic);
  void begin_write(Traffic& traffic, IoRequest& request);
  void end_write(Traffic& traffic, int epoch);
  void flush(Traffic& traffic, IoRequest& request);
  void end_flush(Traffic& traffic, IoRequest& request, int result);
  std::vector<IoRequest*> advance_flushes(Traffic& traffic);
  void start(Traffic& traffic, IoRequest& request);

  const Ask ask_;
  const HasHeard has_heard_;
  std::atomic<int64_t> heard_{0};  // when it was last seen that all that the daemon had said was taken
  std::shared_ptr<block::IoRing> ring_;
  mutable PerProcess<std::mutex> volumes_lock_;  // guards volumes_
  Volumes volumes_;
  std::vector<block::LayerSpec> specs_;  // as the chain has them; changed by set_layers() only
  block::Chain chain_;
  block::Align align_;
  block::Throttle throttle_;
  std::atomic<Own> own_{Own::none};
  std::atomic<uint64_t> size_{0};
  std::atomic<bool> is_shut_out_{false};
  PerProcess<Traffic> traffic_;
  IoCounters counters_;
};

}  // namespace cbd::rbd
