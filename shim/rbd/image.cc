// See image.h.
#include "rbd/image.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/layer_questions.h"
#include "rbd/limits.h"
#include "rbd/operation.h"
#include "rbd/thread.h"

namespace cbd::rbd {

namespace {

// What the daemon is told and can do without must not hang on one that is stopped (a session's end closes its images anyway).
constexpr uint32_t kCloseTimeoutMs = 5000;

int64_t coarse_seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec;
}

}  // namespace

Image::Image(const rados::IoCtx& at, const OpenTarget& target) : at_(at), target_(target) {
  control::register_for_fork(this);
}

Image::~Image() { control::unregister_for_fork(this); }

void Image::before_fork() {
  lock_.lock();
  events_.before_fork();
  watchers_.before_fork();
}

void Image::after_fork_in_parent() {
  watchers_.after_fork();
  events_.after_fork();
  lock_.unlock();
}

void Image::after_fork_in_child() { after_fork_in_parent(); }

// The session connects anew in a child's first call, and has every image attach itself again before that goes out.
void Image::adopt() {
  std::lock_guard<std::mutex> guard(adopt_lock_.get());
  if (generation_.load() == fork_generation()) return;
  at_.client->call("image.refresh", {{"handle", handle_}});
  generation_.store(fork_generation());
}

Json Image::target_json() const {
  Json params = {{"at", at_json(at_)}, {"handle", handle_}, {"readOnly", target_.read_only}};
  std::shared_ptr<const ImageState> known = state();
  if (known != nullptr) {
    params["id"] = known->id;
    if (known->snap_id) params["snapId"] = *known->snap_id;
    return params;
  }
  if (!target_.id.empty() || target_.name.empty()) {
    params["id"] = target_.id;
  } else {
    params["name"] = target_.name;
  }
  if (!target_.snap.empty()) params["snap"] = target_.snap;
  if (target_.snap_id) params["snapId"] = *target_.snap_id;
  return params;
}

Image* Image::open(const rados::IoCtx& at, const OpenTarget& target, int& error) {
  std::unique_ptr<Image, void (*)(Image*)> image(new Image(at, target), [](Image* self) { delete self; });
  std::string cache;
  const bool direct = at.client->config("rbd_cache", cache) && cache == "false";
  image->io_ = std::make_unique<ImageIo>(
      direct, [self = image.get()](bool write) { self->ask(write); },
      Volumes::Questions{[self = image.get()](const std::string& layer) { return leave_question(self->at_.client, self->handle_, layer); },
                         [self = image.get()](const std::string& layer) { return allocated_question(self->at_.client, self->handle_, layer); }},
      [self = image.get()](std::function<void()> then) { return self->at_.client->has_heard(self->handle_, std::move(then)); });
  image->handle_ = at.client->add_listener(image.get());
  Reply reply = at.client->call("image.open", image->target_json());
  error = reply.error;
  if (error == 0) {
    error = image->take(reply);
    image->is_opened_.store(true);
    // The first request would wait for a server that can be reached; one that may not be reached is no matter of time.
    std::string why;
    if (error == 0) error = image->io_->try_access(why);
    if (error != 0) at.client->call("image.close", {{"handle", image->handle_}, {"failed", why}}, kCloseTimeoutMs);
  }
  if (error == 0) return image.release();
  at.client->remove_listener(image->handle_);
  return nullptr;
}

int Image::close() {
  if (!io_->ring().in_callback()) return finish_close();
  // The callback that closes its image is a call that is under way; it ends before the image does.
  std::thread closer;
  int error = start_thread(closer, "rbd-close", [this] { finish_close(); });
  if (error == 0) closer.detach();
  return error;
}

int Image::finish_close() {
  wait_until_idle();
  int error = 0;
  if (is_dirty_.load() && write_error() != -ESHUTDOWN) {
    IoRequest flush;
    flush.op = block::Op::flush;
    error = io_->run(flush);
  }
  at_.client->call("image.close", {{"handle", handle_}}, kCloseTimeoutMs);
  at_.client->remove_listener(handle_);
  stop_watching();
  delete this;
  return error;
}

void Image::wait_until_idle() {
  Calls& calls = calls_.get();
  if (calls.count.fetch_or(1) == 0) return;
  std::unique_lock<std::mutex> guard(calls.lock);
  calls.changed.wait(guard, [&] { return calls.is_idle; });
}

std::shared_ptr<const ImageState> Image::state() const {
  std::lock_guard<std::mutex> guard(lock_);
  return state_;
}

bool Image::is_read_only() const {
  auto known = state();
  return known->read_only || known->snap_id;
}

Reply Image::call(const char* method, Json params, const std::function<int(uint64_t, uint64_t)>& progress) {
  params["handle"] = handle_;
  Reply reply = at_.client->call(method, std::move(params), 0, progress);
  // Some calls bring the automatic lock with them.
  if (reply.error == 0 && reply.result->value("hasLock", false)) {
    has_lock_.store(true);
    if (manages_lock_.load()) set_managed_lock(ManagedLock::mine, reply.result->value("lockSerial", uint64_t{0}));
  }
  return reply;
}

Reply Image::change(const char* method, Json params, const std::function<int(uint64_t, uint64_t)>& progress) {
  params["op"] = new_operation_id();
  return call(method, std::move(params), progress);
}

int Image::flush_head() {
  std::lock_guard<std::mutex> serial(apply_lock_.get());
  return io_->give_up(Own::read);
}

int Image::run_as_owner(const std::function<int()>& work) {
  for (;;) {
    {
      // The leave goes (and the chain changes) under this lock alone.
      std::lock_guard<std::mutex> serial(apply_lock_.get());
      if (io_->own() == Own::shared) return -EAGAIN;
      if (io_->own() == Own::write) {
        is_dirty_.store(true);
        io_->close_gate();
        const int result = work();
        io_->open_gate();
        return result;
      }
    }
    // Another may come in between, and is waited for like this one by him.
    Reply reply = call("layer.own", {{"mode", "write"}});
    if (int error = reply.error != 0 ? reply.error : take(reply)) return error == -ENOENT ? -ESHUTDOWN : error;
  }
}

void Image::tell_listens() {
  Json params = {{"handle", handle_}, {"quiesce", watchers_.listens()}};
  at_.client->call("image.listen", std::move(params), kCloseTimeoutMs);
}

int Image::refresh() {
  Reply reply = call("image.refresh", Json::object());
  return reply.error != 0 ? reply.error : take(reply);
}

int Image::take(Reply& reply) {
  const int error = apply(*reply.result, std::move(reply.fds));
  if (error == 0) {
    at_.client->notify("image.took", {{"handle", handle_}, {"serial", reply.result->value("serial", uint64_t{0})}});
  }
  return error;
}

int Image::apply(const Json& json, std::vector<UniqueFd> fds) {
  auto next = std::make_shared<ImageState>();
  int error = parse_image_state(json, *next);
  if (error != 0) return error;
  std::lock_guard<std::mutex> serial(apply_lock_.get());
  if (next->serial != 0 && next->serial <= serial_) return 0;
  if (next->serial != 0 && next->serial < given_up_.serial && rank(next->own) > rank(given_up_.to)) next->own = given_up_.to;
  std::shared_ptr<const ImageState> before = state();
  if (!next->has_layers && before != nullptr) next->layers = before->layers;
  if (next->serial < lock_serial_ && before != nullptr) next->lock = before->lock;
  if (!next->snap_gone) {
    error = io_->set_layers(next->layers, std::move(fds), next->size, next->own);
    if (error != 0) {
      // The chain is another one, and what is known of it is not enough: nothing is read or written before the daemon
      // was asked again.
      const int lost = io_->drop_leave(next->own);
      return lost != 0 ? lost : error;
    }
  }
  serial_ = next->serial;
  {
    std::lock_guard<std::mutex> guard(lock_);
    state_ = next;
  }
  const bool is_writable = !next->read_only && !next->snap_id && next->lock != ManagedLock::other;
  write_error_.store(is_writable ? 0 : -EROFS, std::memory_order_release);
  read_error_.store(next->snap_gone ? -ENOENT : 0, std::memory_order_release);
  if (next->lock == ManagedLock::other) has_lock_.store(false);
  apply_limits();
  return 0;
}

void Image::ask(bool write) {
  Json params = {{"handle", handle_}, {"mode", write ? "write" : "read"}};
  // A close waits for the answer: it is a call under way like any other.
  calls_.get().count.fetch_add(2);
  at_.client->call_async("layer.own", std::move(params), [this](Reply reply) {
    int error = reply.error;
    if (error == 0) error = guarded([&] { return take(reply); });
    if (error != 0) io_->refuse(error == -ENOENT ? -ESHUTDOWN : error);
    // A state that came too late to count grants nothing: what still waits asks again.
    if (error == 0) io_->ask_again();
    completion_finished();
  });
}

void Image::apply_limits() {
  discard_granularity_.store(config_number("rbd_discard_granularity_bytes", 65536), std::memory_order_relaxed);
  copies_writes_.store(config("rbd_disable_zero_copy_writes") != "false", std::memory_order_relaxed);
  const bool is_below = state()->limited_below;
  set_limits(io_->throttle(), [&](const std::string& name) { return is_below ? std::string() : config(name); });
}

std::string Image::config(const std::string& name) const {
  auto known = state();
  auto of_image = known->metadata.find("conf_" + name);
  if (of_image != known->metadata.end()) return of_image->second;
  auto of_pool = known->pool_config.find(name);
  if (of_pool != known->pool_config.end()) return of_pool->second;
  std::string value;
  at_.client->config(name, value);
  return value;
}

uint64_t Image::config_number(const std::string& name, uint64_t otherwise) const {
  return parse_size(config(name)).value_or(otherwise);
}

Json Image::with_fencing(Json params) const {
  params["blocklist"] = config("rbd_blocklist_on_break_lock") != "false";
  params["expire"] = config_number("rbd_blocklist_expire_seconds", 0);
  return params;
}

void Image::begin(Completion& completion) {
  calls_.get().count.fetch_add(2);
  completion.start(this, events_.is_set());
}

void Image::end(Completion& completion, ssize_t result) {
  completion.set_result(result);
  if (!completion.has_callback()) {
    completion.run();
    return;
  }
  IoRequest& request = completion.transfer.request;
  request.context = &completion;
  request.done = [](block::Request* self, int) { static_cast<Completion*>(self->context)->run(); };
  io_->ring().complete(request, 0);
}

void Image::callback_returned(Completion& completion) {
  if (!completion.wants_event()) return;
  EventSocket::Heard heard = EventSocket::Heard::nothing;
  if (completion.transfer.request.was_raised) {
    heard = io_->ring().on_thread() ? EventSocket::Heard::early : EventSocket::Heard::fetches;
  }
  events_.announce(completion, heard);
}

void Image::completion_finished() {
  Calls& calls = calls_.get();
  if (calls.count.fetch_sub(2) != 3) return;
  std::lock_guard<std::mutex> guard(calls.lock);
  calls.is_idle = true;
  calls.changed.notify_all();
}

bool Image::wait_on_thread(Completion& completion) {
  if (!io_->ring().on_thread()) return false;
  // The ring goes on with I/O while one waits in it for a device; this device answers when the completion has ended.
  struct End : block::Device {
    explicit End(Completion& c) : completion(c) {}
    void submit(block::Request& request) override { completion.tell(request); }
    uint64_t size() const override { return 0; }
    uint32_t block_size() const override { return 1; }
    bool discard_zeroes() const override { return false; }
    int extents(uint64_t, uint64_t, std::vector<block::Extent>&) override { return -EINVAL; }
    Completion& completion;
  } device(completion);
  block::Request request;
  io_->ring().run(device, request);
  return true;
}

void Image::note_lock() {
  if (!has_lock_.load(std::memory_order_relaxed) && !has_lock_.exchange(true)) {
    at_.client->notify("image.wrote", {{"handle", handle_}});
  }
}

void Image::note_write() {
  if (!is_dirty_.load(std::memory_order_relaxed)) is_dirty_.store(true, std::memory_order_relaxed);
  note_lock();
  const int64_t now = coarse_seconds();
  int64_t due = next_write_touch_.load(std::memory_order_relaxed);
  if (now < due) return;
  const auto interval = static_cast<int64_t>(config_number("rbd_mtime_update_interval", 60));
  if (!next_write_touch_.compare_exchange_strong(due, interval == 0 ? INT64_MAX : now + interval)) return;
  if (interval != 0) at_.client->notify("image.touch", {{"handle", handle_}, {"modify", true}});
}

void Image::note_read() {
  const int64_t now = coarse_seconds();
  int64_t due = next_read_touch_.load(std::memory_order_relaxed);
  if (now < due) return;
  const auto interval = static_cast<int64_t>(config_number("rbd_atime_update_interval", 60));
  if (!next_read_touch_.compare_exchange_strong(due, interval == 0 ? INT64_MAX : now + interval)) return;
  if (interval != 0) at_.client->notify("image.touch", {{"handle", handle_}, {"access", true}});
}

bool Image::owns_lock() const {
  auto known = state();
  if ((known->features & RBD_FEATURE_EXCLUSIVE_LOCK) == 0) return false;
  return known->lock == ManagedLock::mine || (known->lock == ManagedLock::none && has_lock_.load());
}

bool Image::lacks_lock() const { return (state()->features & RBD_FEATURE_EXCLUSIVE_LOCK) != 0 && !owns_lock(); }

void Image::forget_lock(uint64_t serial) {
  has_lock_.store(false);
  set_managed_lock(ManagedLock::none, serial);
}

void Image::take_free_lock() {
  if (!is_read_only() && lacks_lock()) call("image.use", Json::object());
}

// A state that was made before may come after, and one that was made after may have come.
void Image::set_managed_lock(ManagedLock lock, uint64_t serial) {
  change_state([&](ImageState& state) {
    if (serial != 0 && serial < std::max(serial_, lock_serial_)) return;
    lock_serial_ = serial;
    state.lock = lock;
  });
}

void Image::change_state(const std::function<void(ImageState&)>& edit) {
  std::lock_guard<std::mutex> serial(apply_lock_.get());
  auto next = std::make_shared<ImageState>(*state());
  edit(*next);
  const bool is_writable = !next->read_only && !next->snap_id && next->lock != ManagedLock::other;
  write_error_.store(is_writable ? 0 : -EROFS, std::memory_order_release);
  std::lock_guard<std::mutex> guard(lock_);
  state_ = next;
}

}  // namespace cbd::rbd
