// Requests on their way to the layers.
#include "block/chain.h"

#include <errno.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "block/blocking.h"
#include "block/chain_state.h"
#include "block/iov.h"

namespace cbd::block {

using layer::block_bytes;
using layer::Entry;

namespace {

constexpr unsigned pool_limit = 256;

uint64_t round_up(uint64_t bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

bool changes(Op op) {
  return op != Op::read && op != Op::flush;
}

}  // namespace

Chain::State::~State() {
  while (Work* work = pool) {
    pool = work->next;
    delete work;
  }
}

Chain::Work* Chain::State::take() {
  {
    std::lock_guard<std::mutex> guard(lock);
    if (Work* work = pool) {
      pool = work->next;
      --pooled;
      return work;
    }
  }
  return new (std::nothrow) Work;
}

void Chain::State::give(Work& work) {
  {
    std::lock_guard<std::mutex> guard(lock);
    if (pooled < pool_limit) {
      work.next = pool;
      pool = &work;
      ++pooled;
      return;
    }
  }
  delete &work;
}

Chain::Chain(Hook hook) : hook_(std::move(hook)) {}

Chain::~Chain() = default;

uint64_t Chain::size() const {
  if (Device* lone = lone_.load(std::memory_order_acquire)) return lone->size();
  return round_up(size_.load(std::memory_order_acquire));
}

uint32_t Chain::block_size() const {
  if (Device* lone = lone_.load(std::memory_order_acquire)) return lone->block_size();
  return block_bytes;
}

bool Chain::discard_zeroes() const {
  if (Device* lone = lone_.load(std::memory_order_acquire)) return lone->discard_zeroes();
  return true;
}

int Chain::set_layers(std::vector<LayerSpec> layers, uint64_t size, Leave leave) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerSpec& spec = layers[i];
    if (!spec.volume || (spec.is_cow && spec.size > layer::most_bytes)) return -EINVAL;
    if (!spec.is_cow && i + 1 != layers.size()) return -EINVAL;  // a plain layer owns everything
    if (!spec.is_frozen && i != 0) return -EINVAL;
  }
  const bool is_lone = layers.size() == 1 && !layers[0].is_cow && !layers[0].is_frozen;
  if (leave == Leave::write && !is_lone && (layers.empty() || !layers[0].is_cow || layers[0].is_frozen))
    return -EINVAL;

  State& s = state_.get();
  Work* resumed;
  std::shared_ptr<const LayerSet> before, after;  // goes when the lock is free again
  {
    std::lock_guard<std::mutex> guard(s.lock);
    auto fresh = std::make_shared<LayerSet>();
    for (LayerSpec& spec : layers) {
      std::shared_ptr<Layer> layer;
      for (const LayerSet::Item& item : s.set->items) {
        // What is known of the head is good only while nobody else could write.
        if (item.layer->id == spec.id && (item.is_frozen || s.leave != Leave::none)) layer = item.layer;
      }
      if (!layer) layer = std::make_shared<Layer>(spec.id, spec.is_cow, spec.volume);
      // What is behind a layer's size is zero, whatever is below: so sizes never grow downwards.
      const uint64_t counts =
          fresh->items.empty() ? spec.size : std::min(spec.size, fresh->items.back().size);
      fresh->items.push_back({std::move(layer), counts, spec.is_frozen});
    }
    before = std::move(s.set);
    s.set = after = std::move(fresh);
    s.leave = leave;
    s.asked_read = s.asked_write = false;
    size_.store(size, std::memory_order_release);
    lone_.store(is_lone ? s.set->items[0].layer->volume.get() : nullptr, std::memory_order_release);
    lone_keeper_ = is_lone ? s.set->items[0].layer->volume : nullptr;
    resumed = s.parked;
    s.parked = nullptr;
    s.parked_tail = &s.parked;
  }
  while (Work* work = resumed) {
    resumed = work->next;
    work->step();
  }
  const bool loses_layer = std::any_of(before->items.begin(), before->items.end(), [&](const LayerSet::Item& old) {
    return std::none_of(after->items.begin(), after->items.end(), [&](const LayerSet::Item& item) { return item.layer->id == old.layer->id; });
  });
  if (loses_layer) std::lock_guard<std::shared_mutex> nobody_looks(s.looking);
  return 0;
}

void Chain::refuse(int error) {
  State& s = state_.get();
  Work* refused;
  {
    std::lock_guard<std::mutex> guard(s.lock);
    s.asked_read = s.asked_write = false;
    refused = s.parked;
    s.parked = nullptr;
    s.parked_tail = &s.parked;
  }
  while (Work* work = refused) {
    refused = work->next;
    work->finish(error);
  }
}

void Chain::submit(Request& request) {
  if (Device* lone = lone_.load(std::memory_order_acquire)) return lone->submit(request);
  if (request.op == Op::compare_and_write) return request.done(&request, -EOPNOTSUPP);
  State& s = state_.get();
  if (request.op == Op::flush) return s.flush(request);
  const uint64_t end = request.offset + request.length;
  if (!request.length || end < request.offset || end > size() ||
      (request.offset | request.length) % block_bytes) {
    return request.done(&request, -EINVAL);
  }
  Work* work = s.take();
  if (!work) return request.done(&request, -ENOMEM);
  work->chain = this;
  work->state = &s;
  work->outer = &request;
  work->may_block = request.may_block;
  work->step();
}

void Chain::Work::finish(int result) {
  Request* request = outer;
  set.reset();
  state->give(*this);
  request->done(request, result);  // from here on nothing here may exist
}

// Goes as far as it can: until it waits for leave, waits for a map, or is with the layers' volumes.
void Chain::Work::step() {
  const bool write_op = changes(outer->op);
  const uint64_t end = outer->offset + outer->length;
  for (;;) {
    std::unique_lock<std::mutex> guard(state->lock);
    if (!state->may(write_op)) {
      may_block = false;  // whoever resumes it must not block
      next = nullptr;
      *state->parked_tail = this;
      state->parked_tail = &next;
      bool& asked = write_op ? state->asked_write : state->asked_read;
      if (asked || (state->asked_write && !write_op)) return;
      asked = true;
      Chain& c = *chain;
      guard.unlock();
      return c.hook_(write_op);
    }
    set = state->set;
    pieces.clear();
    // A change needs only the head's map.
    const Missing missing = resolve(*set, 0, write_op ? 1 : set->items.size(), outer->offset, end, pieces);
    if (!missing.layer) {
      if (outer->op == Op::zero || outer->op == Op::discard) {
        set->items[0].layer->map.set(outer->offset / block_bytes, outer->length / block_bytes, Entry::zero);
        guard.unlock();
        return finish(0);
      }
      guard.unlock();
      return write_op ? write() : read();
    }
    if (may_block) {
      guard.unlock();
      if (int rc = load_missing(state->lock, missing)) return finish(rc);
      continue;
    }
    const bool reads_head = !missing.layer->header_is_known;
    for (auto& loader : state->loaders) {
      if (loader->layer == missing.layer && loader->reads_head == reads_head &&
          (reads_head || loader->chunk == missing.chunk)) {
        next = loader->waiting;
        loader->waiting = this;
        return;
      }
    }
    auto& loader = *state->loaders.emplace_back(new Loader{.state = state,
                                                           .layer = missing.layer,
                                                           .chunk = missing.chunk,
                                                           .reads_head = reads_head,
                                                           .buffer = nullptr,
                                                           .iov = {},
                                                           .inner = {},
                                                           .waiting = this});
    next = nullptr;
    guard.unlock();
    return loader.start();
  }
}

// The one request below that answers the whole: whoever listens may hear of its end from the kernel.
void Chain::Work::pass(Op op, Device& volume, uint64_t offset) {
  inner.op = op;
  inner.may_block = may_block;
  inner.raises_listened = outer->raises_listened;
  inner.was_raised = false;
  inner.offset = offset;
  inner.length = outer->length;
  inner.iov = outer->iov;
  inner.iovcnt = outer->iovcnt;
  inner.context = this;
  volume.submit(inner);
}

void Chain::Work::write() {
  Layer& head = *set->items[0].layer;
  inner.done = [](Request* self, int result) {
    auto* work = static_cast<Work*>(self->context);
    work->outer->was_raised = self->was_raised;
    if (result == 0) {
      const uint64_t block = work->outer->offset / block_bytes, count = work->outer->length / block_bytes;
      LayerMap& map = work->set->items[0].layer->map;
      std::lock_guard<std::mutex> guard(work->state->lock);
      if (!map.is_all(block, count, Entry::data)) map.set(block, count, Entry::data);
    }
    work->finish(result);
  };
  pass(Op::write, *head.volume, head.place(outer->offset));
}

void Chain::Work::read() {
  if (pieces.size() == 1 && pieces[0].kind == Piece::Kind::data && pieces[0].valid == pieces[0].length) {
    Layer& layer = *pieces[0].layer;
    const uint64_t offset = layer.place(outer->offset);
    if (offset + outer->length <= layer.volume->size()) {
      inner.done = [](Request* self, int result) {
        auto* work = static_cast<Work*>(self->context);
        work->outer->was_raised = self->was_raised;
        work->finish(result);
      };
      return pass(Op::read, *layer.volume, offset);
    }
  }
  error = 0;
  pending = 1;  // this function's own
  if (parts.size() < pieces.size()) parts.resize(pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (piece.kind == Piece::Kind::data) {
      start_part(i, piece);
    } else {
      zero_iov(outer->iov, outer->iovcnt, piece.offset - outer->offset, piece.length);
    }
  }
  if (pending.fetch_sub(1) == 1) finish(error);
}

void Chain::Work::start_part(size_t index, const Piece& piece) {
  Part& part = parts[index];
  Device& volume = *piece.layer->volume;
  const uint64_t offset = piece.layer->place(piece.offset);
  const uint64_t grain = volume.block_size(), there = volume.size();
  // What counts, in whole blocks of the volume and inside it; they fit, for the piece is of larger blocks.
  uint64_t bytes = (piece.valid + grain - 1) / grain * grain;
  bytes = std::min(bytes, there - std::min(there, offset));
  part.work = this;
  part.piece = piece;
  part.read_bytes = bytes;
  const uint64_t position = piece.offset - outer->offset;
  ++pending;
  if (!bytes) return part_ended(part, 0);
  part.iov.resize(static_cast<size_t>(count_slices(outer->iov, outer->iovcnt, position, bytes)));
  Request& r = part.request;
  r.op = Op::read;
  r.may_block = may_block;
  r.offset = offset;
  r.length = bytes;
  r.iov = part.iov.data();
  r.iovcnt = slice_iov(outer->iov, outer->iovcnt, position, bytes, part.iov.data(),
                       static_cast<int>(part.iov.size()));
  r.context = &part;
  r.done = [](Request* self, int result) {
    auto* p = static_cast<Part*>(self->context);
    p->work->part_ended(*p, result);
  };
  volume.submit(r);
}

void Chain::Work::part_ended(Part& part, int result) {
  const Piece& piece = part.piece;
  if (result) {
    error = result;
  } else {
    const uint64_t good = std::min(part.read_bytes, piece.valid);
    zero_iov(outer->iov, outer->iovcnt, piece.offset - outer->offset + good, piece.length - good);
  }
  if (pending.fetch_sub(1) == 1) finish(error);
}

uint64_t Chain::memory_bytes() {
  State& s = state_.get();
  std::lock_guard<std::mutex> guard(s.lock);
  uint64_t bytes = 0;
  for (const auto& item : s.set->items) bytes += item.layer->map.memory_bytes();
  return bytes;
}

}  // namespace cbd::block
