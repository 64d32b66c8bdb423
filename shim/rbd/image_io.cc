// See image_io.h.
#include "rbd/image_io.h"

#include <cerrno>
#include <utility>

namespace cbd::rbd {

using block::Op;
using block::Request;

ImageIo::ImageIo(bool direct) : direct_(direct), ring_(std::make_shared<block::IoRing>()) {}

ImageIo::~ImageIo() = default;

int ImageIo::build(const std::vector<LayerState>& layers, std::vector<UniqueFd> fds, uint64_t size) {
  auto volumes = std::make_unique<Volumes>();
  int error = volumes->open(layers, std::move(fds), size, ring_, direct_);
  if (error != 0) return error;
  auto align = std::make_unique<block::Align>(volumes->top(), size);
  auto throttle = std::make_unique<block::Throttle>(*align);
  {
    std::lock_guard<std::mutex> guard(swap_lock_);
    throttle_.swap(throttle);
    align_.swap(align);
    volumes_.swap(volumes);
  }
  // What was there before goes from the top down.
  throttle.reset();
  align.reset();
  volumes.reset();
  size_.store(size, std::memory_order_release);
  return 0;
}

void ImageIo::resize(uint64_t size) {
  uint64_t before = size_.load(std::memory_order_acquire);
  if (size == before) return;
  if (size > before) {
    volumes_->set_size(size);
    align_->set_size(size);
    size_.store(size, std::memory_order_release);
    return;
  }
  size_.store(size, std::memory_order_release);
  close_gate();
  align_->set_size(size);
  volumes_->set_size(size);
  open_gate();
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
  Traffic& traffic = traffic_.get();
  if (enter(traffic, request)) start(traffic, request);
}

void ImageIo::start(Traffic& traffic, IoRequest& request) {
  if (request.op == Op::flush) {
    flush(traffic, request);
    return;
  }
  // The size may have shrunk since the range was clipped, while the request was parked.
  if (request.offset + request.length > size()) {
    finished(&request, -EINVAL);
    return;
  }
  if (request.op != Op::read) begin_write(traffic, request);
  throttle_->submit(request);
}

void ImageIo::finished(Request* plain, int result) {
  auto& request = static_cast<IoRequest&>(*plain);
  auto* self = static_cast<ImageIo*>(request.context);
  Traffic& traffic = self->traffic_.get();
  if (request.write_epoch >= 0) self->end_write(traffic, request.write_epoch);
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
  for (IoRequest* request : ready) throttle_->submit(*request);
}

// A flush covers every write that was submitted before it, also those that are still under way.
void ImageIo::flush(Traffic& traffic, IoRequest& request) {
  std::vector<IoRequest*> ready;
  {
    std::lock_guard<std::mutex> guard(traffic.lock);
    traffic.queued.push_back(&request);
    ready = advance_flushes(traffic);
  }
  for (IoRequest* next : ready) throttle_->submit(*next);
}

// With the lock held: takes out the flushes whose writes are done, and lets the queued ones begin to wait for theirs.
std::vector<IoRequest*> ImageIo::advance_flushes(Traffic& traffic) {
  std::vector<IoRequest*> ready;
  for (;;) {
    if (!traffic.covering.empty()) {
      if (traffic.writes[traffic.epoch.load() ^ 1].load() != 0) return ready;
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
  return throttle_->extents(offset, length, out);
}

}  // namespace cbd::rbd
