// The inside of Chain, shared by its source files.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "block/chain.h"
#include "block/layer.h"

namespace cbd::block {

// A chain's layers at one moment; requests keep the one that they began with.
struct LayerSet {
  struct Item {
    std::shared_ptr<Layer> layer;
    uint64_t size;
    bool is_frozen;
  };
  std::vector<Item> items;  // newest first

  bool has_head() const { return !items.empty() && items[0].layer->is_cow && !items[0].is_frozen; }

  // Which layers may own anything of a page of the map: the head, plain ones, and those whose page is not
  // empty. Found out once a page, so that a long chain of layers that own nothing there costs no more than a
  // short one. Null as long as a map is not known, and for short chains. The chain's lock must be held.
  const std::vector<uint16_t>* owners(uint64_t page) const;

 private:
  mutable std::vector<uint16_t> list_of_page_;  // 0: not known, else one more than an index of lists_
  mutable std::vector<std::vector<uint16_t>> lists_;
};

// A stretch of a request and where its bytes are.
struct Piece {
  enum class Kind : uint8_t { data, zero, absent } kind;
  Layer* layer;     // data: whose
  uint64_t offset;  // in the image
  uint64_t length;
  uint64_t valid;  // data: so many bytes count, the rest is zero
};

// What has to be read before a stretch can be resolved.
struct Missing {
  std::shared_ptr<Layer> layer;  // null: nothing
  uint64_t chunk = 0;
};

// Finds who owns [offset, end) (whole blocks), looking at the layers from `first` up to but not including
// `last`. Appends to `out` as far as it comes; what is missing stops it. The chain's lock must be held.
Missing resolve(const LayerSet& set, size_t first, size_t last, uint64_t offset, uint64_t end,
                std::vector<Piece>& out);

// Reads what is missing, on this thread, and installs it under `lock`. Returns 0 or -errno.
int load_missing(std::mutex& lock, const Missing& missing);

// One request under way.
struct Chain::Work {
  // A part of a read that several layers answer.
  struct Part {
    Request request;
    Work* work;
    Piece piece;
    uint64_t read_bytes;
    std::vector<iovec> iov;
  };

  Chain* chain = nullptr;
  State* state = nullptr;
  Request* outer = nullptr;
  bool may_block = false;
  std::shared_ptr<const LayerSet> set;
  std::vector<Piece> pieces;
  std::deque<Part> parts;
  Request inner;
  std::atomic<int> pending{0};
  std::atomic<int> error{0};
  Work* next = nullptr;

  void step();
  void finish(int result);
  void read();
  void start_part(size_t index, const Piece& piece);
  void part_ended(Part& part, int result);
  void pass(Op op, Device& volume, uint64_t offset);
  void write();
};

// Reads what is missing and steps those who wait for it.
struct Chain::Loader {
  State* state;
  std::shared_ptr<Layer> layer;
  uint64_t chunk;
  bool reads_head;
  std::byte* buffer = nullptr;
  iovec iov{};
  Request inner;
  Work* waiting = nullptr;

  ~Loader();
  void start();
  void finish(int result);
};

// Writes the map back for a group of flushes: flush the data, write the changed pages, flush.
struct Chain::WriteBack {
  State* state;
  std::shared_ptr<Layer> layer;  // null: there is nothing to do
  std::vector<Request*> group;
  std::vector<LayerMap::Image> images;
  bool may_block = false;

  enum class Phase : uint8_t {
    data,
    first_header,
    first_flush,
    second_header,
    second_flush,
    pages,
    last_flush
  };
  Phase phase = Phase::data;
  size_t next_image = 0;
  std::byte* header = nullptr;
  std::vector<iovec> iov;
  Request inner;
  std::atomic<int> mark{0};
  int result = 0;

  ~WriteBack();
  void drive();
  bool prepare();
  void end();
};

// Somebody looks at a chain's layers outside a request.
struct Chain::Look {
  std::shared_ptr<const LayerSet> set = std::make_shared<LayerSet>();
  std::shared_lock<std::shared_mutex> held;
};

struct Chain::State {
  // Held shared over a Look, and alone for a moment by who takes a layer away: nobody looks at it any more then. Taken before `lock`,
  // and held during I/O.
  std::shared_mutex looking;
  std::mutex lock;  // guards all below, and the layers' maps; never held during I/O or a callback
  std::shared_ptr<const LayerSet> set = std::make_shared<LayerSet>();
  Leave leave = Leave::none;
  bool asked_read = false, asked_write = false;
  Work* parked = nullptr;  // wait for leave
  Work** parked_tail = &parked;
  std::vector<std::unique_ptr<Loader>> loaders;
  std::vector<Request*> flushes;  // wait for the write-back that runs
  bool writes_back = false;
  Work* pool = nullptr;
  unsigned pooled = 0;

  ~State();
  bool may(bool write) const { return leave == Leave::write || (!write && leave == Leave::read); }
  Work* take();
  void give(Work& work);
  void flush(Request& request);
  // A write-back for `group`; the lock is held.
  std::unique_ptr<WriteBack> begin_write_back(std::vector<Request*> group);
};

}  // namespace cbd::block
