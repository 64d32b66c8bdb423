// Holds requests back to the rbd_qos_* limits (token buckets, as Ceph 16 defines them). Knows nothing of
// where the limits come from.
#pragma once

#include <atomic>
#include <cstdint>

#include "block/device.h"
#include "block/fork_generation.h"

namespace cbd::block {

class Throttle : public Device {
 public:
  // In the order of rbd_qos_{iops,bps,read_iops,write_iops,read_bps,write_bps}_limit.
  enum class Kind : uint8_t { iops, bps, read_iops, write_iops, read_bps, write_bps };
  static constexpr int kinds = 6;

  // rbd_qos_<kind>_limit, _burst, _burst_seconds. A limit of 0 is none; a burst must be 0 or at least the
  // limit.
  struct Limit {
    uint64_t rate = 0;
    uint64_t burst = 0;
    uint64_t burst_seconds = 1;
  };

  // For set_excluded: rbd_qos_exclude_ops.
  static constexpr unsigned exclude_read = 1, exclude_write = 2, exclude_discard = 4;

  explicit Throttle(Device& below);
  // Nothing may be in flight (see shut_down).
  ~Throttle() override;

  // To be called by one thread at a time. Takes effect at once, also for requests that wait. -EINVAL where
  // the burst is under the limit; nothing changes then.
  int set_limit(Kind kind, const Limit& limit);
  // rbd_qos_schedule_tick_min, milliseconds, at least 1.
  int set_schedule_tick_min(uint64_t milliseconds);
  void set_excluded(unsigned mask);

  // Answers everything that waits with `result`; later requests pass unlimited until the next set_limit.
  void shut_down(int result);

  void submit(Request& request) override;
  uint64_t size() const override { return below_.size(); }
  uint32_t block_size() const override { return below_.block_size(); }
  bool discard_zeroes() const override { return below_.discard_zeroes(); }
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override {
    return below_.extents(offset, length, out);
  }

 private:
  struct State;
  // Limits were set: whoever waits for tokens hears of it.
  void tell_change();

  Device& below_;
  // What was set, for the state of this process and of forked children.
  std::atomic<uint64_t> rate_[kinds] = {}, burst_[kinds] = {}, burst_seconds_[kinds] = {};
  std::atomic<uint64_t> tick_min_{50};  // milliseconds
  std::atomic<uint64_t> version_{0};
  std::atomic<uint32_t> limited_{0};  // a bit for each Kind that has a limit
  std::atomic<uint32_t> excluded_{0};
  PerProcess<State> state_;
};

}  // namespace cbd::block
