// See image_io.h.
#include "rbd/image_io.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cbd::rbd {

using block::Op;
using block::Request;

ImageIo::ImageIo(bool direct, Ask ask, Volumes::Questions questions, HasHeard has_heard)
    : ask_(std::move(ask)),
      has_heard_(std::move(has_heard)),
      ring_(std::make_shared<block::IoRing>()),
      volumes_(ring_, direct, std::move(questions)),
      chain_([this](bool write) { ask_for_chain(write); }),
      align_(chain_, 0),
      throttle_(align_) {}

ImageIo::~ImageIo() = default;

namespace {

// Half of what the daemon waits at least for a reader before it lets another write (answerMs in src/service/sessions.ts).
constexpr int64_t kHeardMs = 1000;

int64_t coarse_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// A lone plain head takes what comes as it comes, without the chain's blocks.
bool is_lone(const std::vector<block::LayerSpec>& specs) {
  return specs.size() == 1 && !specs[0].is_cow && !specs[0].is_frozen;
}

// Whether a layer of `before` is not in `after`.
bool loses_layer(const std::vector<block::LayerSpec>& before, const std::vector<block::LayerSpec>& after) {
  return std::any_of(before.begin(), before.end(), [&](const block::LayerSpec& old) {
    return std::none_of(after.begin(), after.end(), [&](const block::LayerSpec& spec) { return spec.id == old.id; });
  });
}

block::Chain::Leave leave_of(Own own) {
  if (rank(own) == 0) return block::Chain::Leave::none;
  return own == Own::write ? block::Chain::Leave::write : block::Chain::Leave::read;
}

}  // namespace

int ImageIo::set_layers(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size, Own own) {
  std::vector<block::LayerSpec> specs;
  int error;
  {
    std::lock_guard<std::mutex> guard(volumes_lock_.get());
    error = volumes_.update(layers, std::move(fds), specs);
  }
  if (error != 0) return error;
  const uint64_t before = this->size();
  const bool shrinks = size < before;
  const bool must_drain = !specs_.empty() && (shrinks || rank(own) < rank(this->own()) || is_lone(specs) != is_lone(specs_) ||
                                            loses_layer(specs_, specs));
  if (shrinks) size_.store(size, std::memory_order_release);
  if (must_drain) {
    close_gate();
    const bool keeps_head = !specs.empty() && specs[0].id == specs_[0].id && own == this->own();
    // A plain head's file can be flushed whoever writes; the map of a head that is taken must be left alone.
    if (!keeps_head) settle(this->own() == Own::shared);
  }
  error = chain_.set_layers(specs, size, leave_of(own));
  if (error == 0) {
    specs_ = std::move(specs);
    align_.set_size(size);
    size_.store(size, std::memory_order_release);
    if (shrinks) {
      std::lock_guard<std::mutex> guard(volumes_lock_.get());
      volumes_.cut();
    }
    set_own(own);
  }
  if (must_drain) open_gate();
  return error;
}

Volumes ImageIo::volumes() const {
  std::lock_guard<std::mutex> guard(volumes_lock_.get());
  return volumes_;
}

void ImageIo::set_own(Own own) {
  Traffic& traffic = traffic_.get();
  std::vector<IoRequest*> wanting;
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    own_.store(own, std::memory_order_release);
    wanting.swap(traffic.wanting);
  }
  restart(std::move(wanting));
}

void ImageIo::ask_for_chain(bool write) {
  Traffic& traffic = traffic_.get();
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    traffic.asking++;
    traffic.asked = std::max(traffic.asked, write ? 2 : 1);
  }
  ask_(write);
}

// An answer came. Returns what waited for it, which is all that waits when no other answer is to come, and nothing before.
std::vector<IoRequest*> ImageIo::end_ask(Traffic& traffic) {
  std::lock_guard<std::mutex> guard(traffic.lock);
  std::vector<IoRequest*> waited;
  if (traffic.asking > 0 && --traffic.asking > 0) return waited;
  traffic.asked = 0;
  waited.swap(traffic.wanting);
  return waited;
}

void ImageIo::restart(std::vector<IoRequest*> requests) {
  Traffic& traffic = traffic_.get();
  for (IoRequest* request : requests) {
    if (enter(traffic, *request)) start(traffic, *request);
  }
}

void ImageIo::refuse(int error) {
  Traffic& traffic = traffic_.get();
  std::vector<IoRequest*> wanting = end_ask(traffic);
  chain_.refuse(error);
  for (IoRequest* request : wanting) {
    if (request->write_epoch >= 0) end_write(traffic, request->write_epoch);
    request->done = request->then;
    request->context = request->then_context;
    request->done(request, error);
  }
}

void ImageIo::ask_again() { restart(end_ask(traffic_.get())); }

int ImageIo::give_up(Own to) {
  // A plain head is nobody's, and has no map that could be lost.
  if (own() == Own::shared || rank(own()) <= rank(to)) return 0;
  return reduce_leave(to, own() == Own::write);
}

int ImageIo::drop_leave(Own granted) {
  return own() == Own::none ? 0 : reduce_leave(Own::none, own() == Own::write && granted == Own::write);
}

int ImageIo::reduce_leave(Own to, bool flushes) {
  close_gate();
  const int error = settle(flushes || own() == Own::shared);
  chain_.set_layers(specs_, size(), leave_of(to));
  set_own(to);
  open_gate();
  return error;
}

// With the gate closed and nothing in flight.
bool ImageIo::has_unflushed(Traffic& traffic) {
  std::lock_guard<std::mutex> guard(traffic.lock);
  return traffic.touched[0].load() || traffic.touched[1].load() || !traffic.carrying.empty();
}

// The leave to write goes, behind the closed gate: what was written is made durable, where that may be done, or is lost.
int ImageIo::settle(bool may_flush) {
  Traffic& traffic = traffic_.get();
  if (!has_unflushed(traffic)) return 0;
  const int error = may_flush ? flush_behind_gate() : -ESHUTDOWN;
  int none = 0;
  if (error != 0) traffic.lost.compare_exchange_strong(none, error);
  return error;
}

int ImageIo::run_behind_gate(IoRequest& request) {
  Traffic& traffic = traffic_.get();
  if (request.op != Op::read && request.op != Op::flush) traffic.touched[traffic.epoch.load()].store(true);
  return ring_->run(throttle_, request);
}

int ImageIo::flush_behind_gate() {
  IoRequest flush;
  flush.op = Op::flush;
  if (int error = run_behind_gate(flush)) return error;
  Traffic& traffic = traffic_.get();
  std::lock_guard<std::mutex> guard(traffic.lock);
  traffic.touched[0].store(false);
  traffic.touched[1].store(false);
  traffic.carrying.clear();
  return 0;
}

// Whether the request needs no more leave than there is. A flush needs none: what it flushes was written with leave.
bool ImageIo::may(Own own, const IoRequest& request) {
  if (request.op == Op::flush) return true;
  return rank(own) >= (request.op == Op::read ? 1 : 2);
}

// A process that stood still (SIGSTOP, a debugger) may have been told meanwhile that another writes now, and was not waited
// for. So what it knows of the image counts for a second after it is known that nothing that the daemon said lies there
// untaken; a read that comes later looks. False where it waits, outside the gate.
bool ImageIo::may_read_yet(Traffic& traffic, IoRequest& request) {
  if (!has_heard_ || request.has_heard) return true;
  const int64_t now = coarse_ms();
  if (now - heard_.load(std::memory_order_relaxed) < kHeardMs) return true;
  const bool has_heard = has_heard_([this, &request] {
    request.has_heard = true;
    restart({&request});
  });
  if (has_heard) {
    heard_.store(now, std::memory_order_relaxed);
  } else {
    leave(traffic);
  }
  return has_heard;
}

// The request has entered the gate and lacks leave: it goes out again, for close_gate() must not wait for it.
void ImageIo::want(Traffic& traffic, IoRequest& request) {
  const int needs = request.op == Op::read ? 1 : 2;
  bool asks = false;
  {
    std::unique_lock<std::mutex> guard(traffic.lock);
    if (may(own_.load(), request)) {
      guard.unlock();
      start(traffic, request);
      return;
    }
    traffic.wanting.push_back(&request);
    asks = traffic.asked < needs;
    if (asks) {
      traffic.asked = needs;
      traffic.asking++;
    }
  }
  leave(traffic);
  if (asks) ask_(needs == 2);
}

void ImageIo::close_gate() {
  Traffic& traffic = traffic_.get();
  std::unique_lock<std::mutex> guard(traffic.lock);
  traffic.closers++;
  traffic.gate.fetch_or(1);
  traffic.drained.wait(guard, [&] { return traffic.gate.load() == 1; });
}

void ImageIo::open_gate() {
  Traffic& traffic = traffic_.get();
  std::vector<IoRequest*> parked;
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    if (traffic.closers == 0 || --traffic.closers > 0) return;
    traffic.gate.fetch_and(~uint64_t{1});
    parked.swap(traffic.parked);
  }
  for (IoRequest* request : parked) {
    if (enter(traffic, *request)) start(traffic, *request);
  }
}

// True where the request may go on now; otherwise it is parked, and open_gate() starts it.
bool ImageIo::enter(Traffic& traffic, IoRequest& request) {
  if ((traffic.gate.fetch_add(2) & 1) == 0) return true;
  std::unique_lock<std::mutex> guard(traffic.lock);
  if (traffic.closers == 0) return true;  // opened meanwhile
  traffic.parked.push_back(&request);
  if (traffic.gate.fetch_sub(2) == 3) traffic.drained.notify_all();
  return false;
}

void ImageIo::leave(Traffic& traffic) {
  if (traffic.gate.fetch_sub(2) != 3) return;
  std::lock_guard<std::mutex> guard(traffic.lock);
  traffic.drained.notify_all();
}

void ImageIo::submit(Request& plain) {
  auto& request = static_cast<IoRequest&>(plain);
  request.then = request.done;
  request.then_context = request.context;
  request.done = &ImageIo::finished;
  request.context = this;
  request.write_epoch = -1;
  request.has_heard = false;
  request.started = request.op == Op::flush ? 0 : counters_.begin();
  Traffic& traffic = traffic_.get();
  if (request.op == Op::flush) {
    flush(traffic, request);
    return;
  }
  if (request.op != Op::read) begin_write(traffic, request);
  if (enter(traffic, request)) start(traffic, request);
}

void ImageIo::shut_out() {
  is_shut_out_.store(true, std::memory_order_release);
  // What waits for leave finds that out; so does what the chain holds.
  set_own(own());
  chain_.refuse(-ESHUTDOWN);
  volumes_.shut_out();
  close_gate();
  open_gate();
}

void ImageIo::start(Traffic& traffic, IoRequest& request) {
  if (is_shut_out_.load(std::memory_order_acquire)) {
    finished(&request, -ESHUTDOWN);
    return;
  }
  if (request.op == Op::flush) {
    const int lost = traffic.lost.load();
    lost != 0 ? finished(&request, lost) : throttle_.submit(request);
    return;
  }
  // The size may have shrunk since the range was clipped, while the request was parked.
  if (request.offset + request.length > size()) {
    finished(&request, -EINVAL);
    return;
  }
  const bool writes = request.op != Op::read;
  if (const int lost = traffic.lost.load(); lost != 0 && writes) {
    finished(&request, lost);
    return;
  }
  if (!writes && !may_read_yet(traffic, request)) return;
  if (!may(own(), request)) {
    want(traffic, request);
    return;
  }
  if (writes && !traffic.touched[request.write_epoch].load()) traffic.touched[request.write_epoch].store(true);
  throttle_.submit(request);
}

void ImageIo::finished(Request* plain, int result) {
  auto& request = static_cast<IoRequest&>(*plain);
  auto* self = static_cast<ImageIo*>(request.context);
  Traffic& traffic = self->traffic_.get();
  if (request.started != 0) self->counters_.end(request.op == Op::read, request.length, request.started);
  if (request.write_epoch >= 0) self->end_write(traffic, request.write_epoch);
  if (request.op == Op::flush) self->end_flush(traffic, request, result);
  request.done = request.then;
  request.context = request.then_context;
  self->leave(traffic);
  request.done(&request, result);
}

// A write that finds the epoch changed under it counts itself again, so that a flush that comes after its submission
// never looks at the wrong count.
void ImageIo::begin_write(Traffic& traffic, IoRequest& request) {
  for (;;) {
    int epoch = traffic.epoch.load();
    traffic.writes[epoch].fetch_add(1);
    if (traffic.epoch.load() == epoch) {
      request.write_epoch = epoch;
      return;
    }
    end_write(traffic, epoch);
  }
}

void ImageIo::end_write(Traffic& traffic, int epoch) {
  if (traffic.writes[epoch].fetch_sub(1) != 1 || !traffic.is_draining.load()) return;
  std::vector<IoRequest*> ready;
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    ready = advance_flushes(traffic);
  }
  restart(std::move(ready));
}

// A flush covers every write that was submitted before it, also those that are still under way.
void ImageIo::flush(Traffic& traffic, IoRequest& request) {
  std::vector<IoRequest*> ready;
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    traffic.queued.push_back(&request);
    ready = advance_flushes(traffic);
  }
  restart(std::move(ready));
}

// What a flush that failed covered is not durable yet.
void ImageIo::end_flush(Traffic& traffic, IoRequest& request, int result) {
  std::lock_guard<std::mutex> guard(traffic.lock);
  if (std::erase(traffic.carrying, &request) != 0 && result != 0) traffic.touched[traffic.epoch.load()].store(true);
}

// With the lock held: takes out the flushes whose writes are done, and lets the queued ones begin to wait for theirs.
std::vector<IoRequest*> ImageIo::advance_flushes(Traffic& traffic) {
  std::vector<IoRequest*> ready;
  for (;;) {
    if (!traffic.covering.empty()) {
      const int covered = traffic.epoch.load() ^ 1;
      if (traffic.writes[covered].load() != 0) return ready;
      if (traffic.touched[covered].exchange(false)) traffic.carrying.push_back(traffic.covering.front());
      ready.insert(ready.end(), traffic.covering.begin(), traffic.covering.end());
      traffic.covering.clear();
    }
    if (traffic.queued.empty()) {
      traffic.is_draining.store(false);
      return ready;
    }
    traffic.covering.swap(traffic.queued);
    traffic.is_draining.store(true);
    traffic.epoch.fetch_xor(1);
  }
}

int ImageIo::extents(uint64_t offset, uint64_t length, std::vector<block::Extent>& out) {
  return throttle_.extents(offset, length, out);
}

}  // namespace cbd::rbd
