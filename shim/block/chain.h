// The layers of an image, one above the other: reads find each block's owner, writes go to the head and mark
// its map. Knows nothing of the daemon: who may read or write is told to it, and it asks through a hook.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "block/device.h"
#include "block/fork_generation.h"
#include "block/layer.h"

namespace cbd::block {

struct LayerSet;
class PlainExtents;

class Chain : public Device {
 public:
  // What may be done at once (docs/protocol-layers.md, "own"). A lone plain layer needs no leave: it passes
  // everything straight through, with its own block size, whatever is said here.
  enum class Leave : uint8_t { none, read, write };

  // Asked for when a request waits for leave (or for a head): `write` says which. Called at most once until
  // the next set_layers() or refuse(), on the thread that submits, with no lock held; it must not block.
  using Hook = std::function<void(bool write)>;

  explicit Chain(Hook hook);
  // Nothing may be in flight.
  ~Chain() override;

  // The chain, newest first, of an image of `size` bytes. With `write` the first must be a cow layer that is
  // not frozen. Maps of layers that stay are kept: of frozen ones always, of the head as long as there was
  // leave to read. Requests that run go on with the layers that they began with; those that waited are
  // started. Returns 0, or -EINVAL. After the layers became more or fewer than one plain one, block_size()
  // may differ: the stack must be idle then.
  int set_layers(std::vector<LayerSpec> layers, uint64_t size, Leave leave);

  // The hook's wish is not granted: whatever waits for it ends with `error` (-errno); the next request asks
  // again.
  void refuse(int error);

  // The image's size changed and nothing else.
  void set_size(uint64_t size) { size_.store(size, std::memory_order_release); }

  void submit(Request& request) override;
  // Rounded up to whole blocks.
  uint64_t size() const override;
  uint32_t block_size() const override;
  bool discard_zeroes() const override;
  // Synchronous; `absent` is what no layer owns.
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override;

  // What [offset, offset + length) of this chain has that `from` has not, exact to a block: changed blocks
  // only, as data, or as zero where `from` has data. Both must be readable (not waiting for leave). `from` null: all that is data here.
  // -ESTALE where this chain lacks one of `layers`, those that it had when `from` was read: layers have been merged
  // since, and more than what differs would be shown.
  int changes_since(Chain* from, uint64_t offset, uint64_t length, std::vector<Extent>& out,
                    const std::vector<std::string>& layers = {});

  // Bytes that the maps take.
  uint64_t memory_bytes();

 private:
  struct State;
  struct Work;
  struct Loader;
  struct WriteBack;

  // The layers, when there is leave to read; waits for it. Until `look` ends none of them is gone (see set_layers).
  struct Look;
  int readable(Look& look);
  // Appends to `out`, whose members from `from` on may be joined.
  int known_extents(const LayerSet& set, uint64_t offset, uint64_t end, PlainExtents& plain,
                    std::vector<Extent>& out, size_t from);
  int data_lost(const LayerSet& set, const Extent& hole, PlainExtents& plain, std::vector<Extent>& out,
                size_t from);

  const Hook hook_;
  std::atomic<uint64_t> size_{0};
  // The only layer, where it is a plain one that takes writes. A forked child uses it at once.
  std::atomic<Device*> lone_{nullptr};
  std::shared_ptr<Device> lone_keeper_;  // changed by set_layers() only, under the state's lock
  PerProcess<State> state_;
};

}  // namespace cbd::block
