// The way of an unaligned request: lock its blocks, read the edges, write the whole blocks, unlock. Client
// memory is never copied: edges are put around it as further pieces of the request below.
#include "block/align.h"

#include <errno.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "block/iov.h"
#include "block/range_lock.h"

namespace cbd::block {
namespace {

constexpr unsigned pool_limit = 256;
constexpr uint32_t largest_block = 4096;

constexpr size_t edge_bytes = 2 * largest_block;

}  // namespace

// One request that does not pass straight through.
struct Align::Work : RangeHold {
  enum class Step : uint8_t { edges, compare, head_write, tail_write, last_step };

  Align* align = nullptr;
  State* state = nullptr;
  Request* outer = nullptr;
  Request inner;
  Step step = Step::edges;
  bool may_block = false;
  bool is_locked = false;
  bool head_is_read = false;
  bool tail_is_read = false;
  uint32_t block = 1;
  uint64_t first = 0, last = 0;    // the request's bytes: [first, last)
  uint64_t head = 0, tail = 0;     // the blocks that they lie in: [head, tail)
  std::byte* edges = nullptr;      // the first and the last block, where they are not whole
  std::byte* read_back = nullptr;  // compare_and_write: what is there
  std::vector<iovec> iov;
  Work* next_work = nullptr;  // of the pool, or of those that may go on

  ~Work() {
    std::free(edges);
    std::free(read_back);
  }
  bool has_head() const { return first != head; }
  bool has_tail() const { return last != tail; }
  // Where the request touches one block only, that is its first and its last.
  std::byte* tail_edge() { return tail - head == block ? edges : edges + block; }

  void start();
  void go_on(int result);
  void read_edges();
  void write_around();
  void zero();
  void compare();
  void transfer(Op op, uint64_t offset, std::byte* memory, uint64_t length);
  void pass(Op op, uint64_t offset, uint64_t length);
};

struct Align::State : std::enable_shared_from_this<Align::State> {
  std::mutex lock;  // guards all below; held for a few instructions
  RangeLock ranges;
  Work* pool = nullptr;
  unsigned pooled = 0;
  Work* ready = nullptr;  // got their range; the thread that drains starts them
  Work** ready_tail = &ready;
  bool draining = false;

  ~State() {
    while (Work* work = pool) {
      pool = work->next_work;
      delete work;
    }
  }
  Work* take();
  void finish(Work& work, int result);
  void drain(std::unique_lock<std::mutex>& guard);
};

// A thread that drains keeps the state: the image may be closed as soon as its last request has been
// answered.
struct Align::Shared {
  std::shared_ptr<State> state = std::make_shared<State>();
};

Align::Work* Align::State::take() {
  std::lock_guard<std::mutex> guard(lock);
  Work* work = pool;
  if (!work) return nullptr;
  pool = work->next_work;
  --pooled;
  return work;
}

// Unlocks, answers, and starts whoever waited for the range.
void Align::State::finish(Work& work, int result) {
  Request* outer = work.outer;
  bool keep;
  outer->was_raised = work.inner.was_raised;
  std::free(work.read_back);
  work.read_back = nullptr;
  std::unique_lock<std::mutex> guard(lock);
  if (work.is_locked) {
    ranges.release(work, [this](RangeHold& hold) {
      Work& freed = static_cast<Work&>(hold);
      freed.next_work = nullptr;
      *ready_tail = &freed;
      ready_tail = &freed.next_work;
    });
  }
  work.is_locked = false;
  keep = pooled < pool_limit;
  if (keep) {
    work.next_work = pool;
    pool = &work;
    ++pooled;
  }
  drain(guard);
  guard.unlock();
  if (!keep) delete &work;
  outer->done(outer, result);  // from here on nothing here may exist
}

// One thread at a time, in a loop and not in depth: what it starts may end at once and free others.
void Align::State::drain(std::unique_lock<std::mutex>& guard) {
  if (draining || !ready) return;
  auto alive = shared_from_this();
  draining = true;
  while (Work* work = ready) {
    ready = work->next_work;
    if (!ready) ready_tail = &ready;
    guard.unlock();
    work->start();
    guard.lock();
  }
  draining = false;
}

Align::Align(Device& below, uint64_t size) : below_(below), size_(size) {}

Align::~Align() = default;

void Align::submit(Request& request) {
  if (request.op == Op::flush) return below_.submit(request);
  const uint64_t end = request.offset + request.length;
  const uint64_t size = size_.load(std::memory_order_acquire);
  if (request.length == 0 || end < request.offset || end > size) return request.done(&request, -EINVAL);
  const uint32_t block = below_.block_size();
  const bool compares = request.op == Op::compare_and_write;
  const bool whole = (request.offset | request.length) % block == 0;
  if (!compares && (block == 1 || (whole && request.op == Op::read))) return below_.submit(request);

  State& state = *state_.get().state;
  Work* work = state.take();
  if (!work) work = new (std::nothrow) Work;
  if (!work) return request.done(&request, -ENOMEM);
  work->align = this;
  work->state = &state;
  work->outer = &request;
  work->may_block = request.may_block;
  work->inner.was_raised = false;
  work->block = block;
  work->first = request.offset;
  work->last = end;
  // What lies behind the image's end is nobody's, so the last block counts as whole there.
  if (end == size && (request.op == Op::zero || request.op == Op::discard)) {
    work->last = (end + block - 1) / block * block;
  }
  if (request.op == Op::discard && !below_.discard_zeroes()) {
    // Nothing is promised of a discarded range, so its edges stay as they are.
    work->first = (work->first + block - 1) / block * block;
    work->last = work->last / block * block;
    if (work->first >= work->last) return state.finish(*work, 0);
  }
  work->head = work->first / block * block;
  work->tail = (work->last + block - 1) / block * block;
  if (request.op != Op::read) {
    work->begin = work->head;
    work->end = work->tail;
    // Whole blocks may be written together with others, but not while somebody holds an older copy of one.
    work->exclusive = compares || work->has_head() || work->has_tail();
    std::lock_guard<std::mutex> guard(state.lock);
    work->is_locked = true;
    if (!state.ranges.acquire(*work)) {
      // Whoever frees the range starts it, and must not block for it.
      work->may_block = false;
      return;
    }
  }
  work->start();
}

void Align::Work::pass(Op op, uint64_t offset, uint64_t length) {
  inner.op = op;
  inner.may_block = may_block;
  inner.keep_allocated = outer->keep_allocated;
  inner.raises_listened = outer->raises_listened && step == Step::last_step;
  inner.was_raised = false;
  inner.offset = offset;
  inner.length = length;
  inner.context = this;
  inner.done = [](Request* self, int result) { static_cast<Work*>(self->context)->go_on(result); };
  align->below_.submit(inner);
}

// Sends what `iov` lists, or the memory given.
void Align::Work::transfer(Op op, uint64_t offset, std::byte* memory, uint64_t length) {
  if (memory) iov.assign(1, {memory, length});
  inner.iov = iov.data();
  inner.iovcnt = static_cast<int>(iov.size());
  pass(op, offset, length);
}

void Align::Work::start() {
  const Request& r = *outer;
  head_is_read = tail_is_read = false;
  if (r.op == Op::compare_and_write) {
    void* memory = nullptr;
    if (posix_memalign(&memory, largest_block, tail - head) != 0) return state->finish(*this, -ENOMEM);
    read_back = static_cast<std::byte*>(memory);
    step = Step::compare;
    return transfer(Op::read, head, read_back, tail - head);
  }
  if (!has_head() && !has_tail()) {
    inner.iov = r.iov;
    inner.iovcnt = r.iovcnt;
    step = Step::last_step;
    return pass(r.op, first, last - first);
  }
  if (!edges) {
    void* memory = nullptr;
    if (posix_memalign(&memory, largest_block, 2 * largest_block) != 0) return state->finish(*this, -ENOMEM);
    edges = static_cast<std::byte*>(memory);
  }
  if (r.op == Op::read) return write_around();  // the edges are read into and forgotten
  step = Step::edges;
  read_edges();
}

// Reads what is missing of the edge blocks, then goes on.
void Align::Work::read_edges() {
  const uint64_t span = tail - head;
  if (has_head() && !head_is_read) {
    head_is_read = true;
    tail_is_read = span == block || (span == 2 * block && has_tail());
    return transfer(Op::read, head, edges, span == block || !tail_is_read ? block : span);
  }
  if (has_tail() && !tail_is_read) {
    tail_is_read = true;
    return transfer(Op::read, tail - block, tail_edge(), block);
  }
  if (outer->op == Op::write) return write_around();
  // zero, and discard where that means zero
  if (has_head())
    std::memset(edges + (first - head), 0, std::min<uint64_t>(block, last - head) - (first - head));
  if (has_tail() && (span > block || !has_head())) std::memset(tail_edge(), 0, last - (tail - block));
  zero();
}

// The request's own memory with the rest of the edge blocks around it.
void Align::Work::write_around() {
  std::byte* const before = outer->op == Op::compare_and_write ? read_back : edges;
  std::byte* const after = outer->op == Op::compare_and_write ? read_back + (last - head)
                           : outer->op == Op::read            ? edges + block
                                                              : tail_edge() + (last - (tail - block));
  iov.clear();
  if (has_head()) iov.push_back({before, first - head});
  iov.insert(iov.end(), outer->iov, outer->iov + outer->iovcnt);
  if (has_tail()) iov.push_back({after, tail - last});
  step = Step::last_step;
  transfer(outer->op == Op::read ? Op::read : Op::write, head, nullptr, tail - head);
}

// The edges that were read are written back with zeroes in them, then the whole blocks between are passed on.
void Align::Work::zero() {
  const uint64_t from = has_head() ? head + block : head;
  const uint64_t to = has_tail() ? tail - block : tail;
  if (from >= to) {
    step = Step::last_step;
    return transfer(Op::write, head, edges, tail - head);
  }
  switch (step) {
    case Step::edges:
      step = Step::head_write;
      if (has_head()) return transfer(Op::write, head, edges, block);
      [[fallthrough]];
    case Step::head_write:
      step = Step::tail_write;
      if (has_tail()) return transfer(Op::write, to, tail_edge(), block);
      [[fallthrough]];
    default:
      step = Step::last_step;
      return pass(outer->op, from, to - from);
  }
}

void Align::Work::compare() {
  const std::byte* there = read_back + (first - head);
  uint64_t at = 0;
  for (int i = 0; i < outer->comparecnt && at < last - first; ++i) {
    const auto* expected = static_cast<const std::byte*>(outer->compare[i].iov_base);
    const uint64_t n = std::min<uint64_t>(outer->compare[i].iov_len, last - first - at);
    const auto differs = std::mismatch(expected, expected + n, there + at);
    if (differs.first != expected + n) {
      outer->mismatch_offset = at + static_cast<uint64_t>(differs.first - expected);
      return state->finish(*this, -EILSEQ);
    }
    at += n;
  }
  write_around();
}

void Align::Work::go_on(int result) {
  if (result != 0 || step == Step::last_step) return state->finish(*this, result);
  if (step == Step::compare) return compare();
  if (step == Step::edges) return read_edges();
  zero();
}

int Align::extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
  const uint64_t end = offset + length;
  if (end < offset || end > size()) return -EINVAL;
  const uint64_t block = below_.block_size();
  const size_t had = out.size();
  const uint64_t from = offset / block * block, to = (end + block - 1) / block * block;
  if (int rc = below_.extents(from, to - from, out)) return rc;
  if (out.size() == had) return 0;
  // Cut to what was asked for.
  out[had].length -= offset - from;
  out[had].offset = offset;
  out.back().length -= to - end;
  return 0;
}

}  // namespace cbd::block
