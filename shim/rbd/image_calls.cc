// What the daemon asks of an open image, and taking it up again after a reconnect. See image.h.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/thread.h"

namespace cbd::rbd {

namespace {

// A client's quiesce callbacks must leave the daemon time for the rest.
constexpr uint32_t kHooksTimeoutMs = 5000;
// How long a quiesced image waits for image.resume before it asks.
constexpr uint32_t kResumeTimeoutMs = 2000;

}  // namespace

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
void Image::quiesce(const Json& params, const std::function<void(int, Json)>& answer) {
  // The client's hooks may read. As in Ceph they run for a snapshot alone.
  at_.client->taken(handle_);
  const bool runs_hooks = params.value("reason", "") == "snapshot";
  if (runs_hooks) watchers_.quiesce(kHooksTimeoutMs);
  io_->close_gate();
  int error = 0;
  // Also where the lock has moved on since: what was written with it is this handle's to make durable.
  if (write_error() != -ESHUTDOWN && is_dirty_.load()) error = io_->flush_behind_gate();
  Quiesced& quiesced = quiesced_.get();
  uint64_t round = 0;  // of this one, unless it nests
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    if (!std::exchange(quiesced.is_quiesced, true)) round = ++quiesced.round;
    if (runs_hooks) quiesced.has_run_hooks = true;
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
  bool has_run_hooks;
  {
    std::lock_guard<std::mutex> guard(quiesced.lock);
    if (quiesced.round != round || !std::exchange(quiesced.is_quiesced, false)) return;
    has_run_hooks = std::exchange(quiesced.has_run_hooks, false);
    quiesced.changed.notify_all();
  }
  io_->open_gate();
  if (has_run_hooks) watchers_.unquiesce();
}

void Image::stop_watching() {
  Quiesced& quiesced = quiesced_.get();
  std::unique_lock<std::mutex> guard(quiesced.lock);
  quiesced.is_ending = true;
  quiesced.changed.notify_all();
  quiesced.changed.wait(guard, [&] { return quiesced.watchers == 0; });
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
    set_managed_lock(ManagedLock::other, params.value("serial", uint64_t{0}));
  } else if (method == "image.lockFreed") {
    set_managed_lock(ManagedLock::none, params.value("serial", uint64_t{0}));
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
