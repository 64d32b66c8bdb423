// A CurveBS volume, through the nebd-server of this host. Knows nothing of layers or sessions.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "block/device.h"
#include "block/fork_generation.h"
#include "block/nebd_connection.h"

namespace cbd::block {

// Finds out what of [offset, offset + length) takes space on the cluster and appends it to `out`, in order; the rest reads as
// zeroes. Returns 0, or -errno where nobody knows.
using AskAllocated = std::function<int(uint64_t offset, uint64_t length, std::vector<Extent>& out)>;

// All volumes of a process that are behind one socket share a connection and its thread, made on the first I/O. In a forked child
// a volume opens itself again, under the child's own name, on its first I/O there.
class NebdVolume : public Device {
 public:
  struct Options {
    std::string socket;       // nebd-server's unix socket
    std::string file;         // "cbd:<free text>//<path>_<owner>_:[<client conf>]"
    uint64_t size = 0;        // bytes; a multiple of `block`
    uint32_t block = 4096;    // of offsets and lengths; a multiple of what the volume itself demands
    // What follows, and Times, as in nebd::FileOptions.
    bool add_random = true;
    nebd::Times times;
    nebd::AskLeave ask_leave;
    AskAllocated ask_allocated;  // without it all counts as data: NEBD itself cannot tell
  };

  // Sends nothing yet. With options that can never work every request ends with -EINVAL.
  explicit NebdVolume(Options options);
  // Closes the volume in nebd-server; nothing may be in flight.
  ~NebdVolume() override;

  // A change ends in -ESHUTDOWN when `ask_leave` says that the volume is no longer this process's.
  // flush: nothing to be done. NEBD answers a write when it is on the replicas' logs, and its own Flush does nothing.
  // discard: gives whole segments back, some time later, and says nothing about what is read. zero: writes zeroes.
  // compare_and_write: -EOPNOTSUPP.
  void submit(Request& request) override;
  uint64_t size() const override { return size_.load(std::memory_order_acquire); }
  uint32_t block_size() const override { return options_.block; }
  bool discard_zeroes() const override { return false; }
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override;

  // The volume has grown (the daemon extended it). It never shrinks.
  void grow(uint64_t size);
  // As if `ask_leave` had said no; nothing where there is no `ask_leave`.
  void lose_leave();
  // Every change that is under way or comes ends in -ESHUTDOWN, whoever the volume belongs to.
  void shut_out();

 private:
  // What a process has of the volume.
  struct Opened {
    std::mutex lock;  // guards making the other two
    std::atomic<nebd::File*> file{nullptr};
    std::shared_ptr<nebd::Connection> connection;
  };
  Opened* opened();

  const Options options_;
  std::atomic<uint64_t> size_;
  PerProcess<Opened> opened_;
};

}  // namespace cbd::block
