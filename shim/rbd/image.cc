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
// A client's quiesce callbacks must leave the daemon time for the rest.
constexpr uint32_t kHooksTimeoutMs = 5000;
// How long a quiesced image waits for image.resume before it asks.
constexpr uint32_t kResumeTimeoutMs = 2000;

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
    if (manages_lock_.load()) set_managed_lock(ManagedLock::mine);
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

void Image::give_up(const Json& params, const std::function<void(int, Json)>& answer) {
  int error;
  {
    std::lock_guard<std::mutex> serial(apply_lock_.get());
    given_up_ = {params.value("serial", uint64_t{0}), params.value("to", "none") == "read" ? Own::read : Own::none};
    error = io_->give_up(given_up_.to);
  }
  answer(error, Json::object());
}

// The daemon changes what stands below: nothing is in flight and all is durable until image.resume, or until the daemon
// says by a refresh how it ended.
void Image::quiesce(const Json&, const std::function<void(int, Json)>& answer) {
  // The client's hooks may read.
  at_.client->taken(handle_);
  watchers_.quiesce(kHooksTimeoutMs);
  io_->close_gate();
  int error = 0;
  // Also where the lock has moved on since: what was written with it is this handle's to make durable.
  if (write_error() != -ESHUTDOWN && is_dirty_.load()) error = io_->flush_behind_gate();
  Quiesced& quiesced = quiesced_.get();
  uint64_t round = 0;  // of this one, unless it nests
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    if (!std::exchange(quiesced.is_quiesced, true)) round = ++quiesced.round;
    quiesced.changed.notify_all();
  }
  if (round == 0) {
    io_->open_gate();
  } else {
    watch_quiesced(round);
  }
  answer(error, Json::object());
}

// Never waits for a thread of an earlier round: that may be waiting for what this round holds up.
void Image::watch_quiesced(uint64_t round) {
  Quiesced& quiesced = quiesced_.get();
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    quiesced.watchers++;
  }
  auto leave = [&quiesced] {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    quiesced.watchers--;
    quiesced.changed.notify_all();
  };
  std::thread watcher;
  const int error = start_thread(watcher, "rbd-quiesced", [this, &quiesced, round, leave] {
    auto is_over = [&] { return quiesced.round != round || !quiesced.is_quiesced || quiesced.is_ending; };
    bool has_ended;
    {
      std::unique_lock<std::mutex> guard(quiesced.lock);
      has_ended = quiesced.changed.wait_for(guard, std::chrono::milliseconds(kResumeTimeoutMs), is_over);
    }
    // Answered when the change is made or given up; for ever asked where the daemon is away.
    if (!has_ended) {
      guarded([&] { return refresh(); });
      end_quiesce(round);
    }
    leave();
  });
  if (error != 0) {
    leave();
  } else {
    watcher.detach();
  }
}

void Image::resume(const Json& params, std::vector<UniqueFd> fds) {
  if (params.is_object()) apply(params.at("state"), std::move(fds));
  Quiesced& quiesced = quiesced_.get();
  uint64_t round;
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    round = quiesced.round;
  }
  end_quiesce(round);
}

// Lets the image go on, if it is still that round.
void Image::end_quiesce(uint64_t round) {
  Quiesced& quiesced = quiesced_.get();
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    if (quiesced.round != round || !std::exchange(quiesced.is_quiesced, false)) return;
    quiesced.changed.notify_all();
  }
  io_->open_gate();
  watchers_.unquiesce();
}

void Image::stop_watching() {
  Quiesced& quiesced = quiesced_.get();
  std::unique_lock<std::mutex> guard(quiesced.lock);
  quiesced.is_ending = true;
  quiesced.changed.notify_all();
  quiesced.changed.wait(guard, [&] { return quiesced.watchers == 0; });
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
  if (completion.wants_event()) events_.announce(completion, completion.transfer.request.was_raised);
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

void Image::forget_lock() {
  has_lock_.store(false);
  set_managed_lock(ManagedLock::none);
}

void Image::set_managed_lock(ManagedLock lock) {
  change_state([lock](ImageState& state) { state.lock = lock; });
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

void Image::on_call(const std::string& method, const Json& params, std::vector<UniqueFd> fds,
                    std::function<void(int, Json)> answer) {
  int error = 0;
  if (method == "image.changed") {
    error = apply(params.at("state"), std::move(fds));
    at_.client->taken(handle_);
    watchers_.notify_update();
  } else if (method == "image.ping") {
    // That it is answered is all that is asked.
  } else if (method == "image.giveUp") {
    return give_up(params, answer);
  } else if (method == "image.quiesce") {
    return quiesce(params, answer);
  } else if (method == "image.resume") {
    resume(params, std::move(fds));
    at_.client->taken(handle_);
    watchers_.notify_update();
  } else if (method == "image.shutOut") {
    io_->shut_out();
  } else if (method == "image.counters") {
    IoCounters& counters = io_->counters();
    auto totals = [](const IoCounters::Totals& one) { return Json{{"ops", one.ops}, {"bytes", one.bytes}, {"nanoseconds", one.nanoseconds}}; };
    counters.look();
    return answer(0, {{"reads", totals(counters.reads())}, {"writes", totals(counters.writes())}});
  } else if (method == "image.lockTaken") {
    has_lock_.store(false);
    set_managed_lock(ManagedLock::other);
  } else if (method == "image.lockFreed") {
    set_managed_lock(ManagedLock::none);
  } else if (method == "image.lockMoved") {
    has_lock_.store(false);
  } else {
    error = -EOPNOTSUPP;
  }
  if (answer) answer(error, Json::object());
}

void Image::on_reconnect() {
  // While it is being opened there is nothing to take up: that call is sent again.
  if (!is_opened_.load()) return;
  Json params = target_json();
  const Own own = io_->own();
  // In a forked child this is another session's handle, which holds nothing.
  const bool is_ours = generation_.load() == fork_generation();
  if (is_ours && own == Own::write) params["own"] = "write";
  if (is_ours && own == Own::read) params["own"] = "read";
  if (!is_ours) io_->forget_leave();
  if (watchers_.listens()) params["listens"] = true;
  {
    // This daemon may count anew (it begins with the time of its clock).
    std::lock_guard<std::mutex> serial(apply_lock_.get());
    serial_ = 0;
    given_up_ = {};
  }
  Reply reply = at_.client->call("image.attach", std::move(params));
  int error = reply.error;
  // Lost once more meanwhile, or the daemon is busy: that says nothing about the image, and the next connection asks again.
  if (error == -ENOTCONN || error == -ETIMEDOUT) return;
  if (error == 0) error = take(reply);
  has_lock_.store(false);
  if (error == 0) return;
  // The image is gone, or is no longer this client's: nothing may be written to it any more.
  write_error_.store(-ESHUTDOWN, std::memory_order_release);
  std::lock_guard<std::mutex> serial(apply_lock_.get());
  io_->lose_leave();
}

}  // namespace cbd::rbd
