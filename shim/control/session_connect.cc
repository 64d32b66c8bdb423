// The receiving thread: connects, greets, receives, and does so again when the connection is lost.
#include <errno.h>
#include <unistd.h>

#include "control/graveyard.h"
#include "control/proof.h"
#include "control/session_core.h"

namespace cbd::control {

namespace {

constexpr uint64_t first_pause_ms = 10;
constexpr uint64_t longest_pause_ms = 1000;
constexpr size_t stack_size = 256 << 10;
constexpr uint64_t send_limit_ms = 30'000;  // the daemon reads all the time; one that does not is replaced

thread_local const SessionCore* attaching_for = nullptr;

// The daemon answered, and will answer the same again.
bool is_refusal(int error) { return error == -EACCES || error == -EPERM || error == -EINVAL || error == -EOPNOTSUPP; }

// A daemon that is being restarted gives these for a moment.
bool may_pass(int error) { return error == -ECONNREFUSED || error == -EPIPE || error == -ECONNRESET; }

}  // namespace

bool is_attaching(const SessionCore* core) { return attaching_for == core; }

SessionCore::SessionCore() { register_for_fork(this); }

SessionCore::~SessionCore() { unregister_for_fork(this); }

int SessionCore::connect(SessionOptions options, Welcome& welcome) {
  std::string limit;
  options.config("client_mount_timeout", limit);
  auto deadline = Deadline::after_ms(strtoull(limit.c_str(), nullptr, 10) * 1000);
  std::unique_lock lock(mutex_);
  if (wanted_) return -EISCONN;
  options_ = std::move(options);
  wanted_ = first_ = true;
  closing_ = false;
  last_error_ = 0;
  int error = ensure_thread();
  if (error == 0) {
    auto conditions = conditions_;
    // A socket that is there and does not answer may be a daemon that is being restarted; other errors will not pass.
    auto decided = [&] { return state_ == State::ready || (last_error_ != 0 && !may_pass(last_error_)); };
    error = !deadline.wait(conditions->state, lock, decided) ? -ETIMEDOUT : state_ == State::ready ? 0 : last_error_;
  }
  first_ = false;
  if (error != 0) {
    lock.unlock();
    close();
    return error;
  }
  welcome = welcome_;
  return 0;
}

void SessionCore::close() {
  bool in_order;
  {
    std::lock_guard lock(mutex_);
    in_order = state_ == State::ready && wanted_;
  }
  if (in_order) call("session.close", Json::object(), 2000, {});
  std::unique_lock lock(mutex_);
  wanted_ = false;
  closing_ = true;
  if (wire_) wire_->shut();
  conditions_->state.notify_all();
  fail_all(-ENOTCONN, "the session was closed");
  lock.unlock();
  thread_.join();
  callbacks_->stop();
  lock.lock();
  callbacks_ = std::make_shared<CallbackThreads>();
  state_ = State::idle;
  session_id_ = 0;
}

// With the lock held.
int SessionCore::ensure_thread() {
  if (thread_running_) {
    conditions_->state.notify_all();
    return 0;
  }
  int error = thread_.start("cbd2rbd-session", stack_size, [self = shared_from_this()] { self->run(); });
  if (error == 0) thread_running_ = true;
  return error;
}

bool SessionCore::is_needed() const { return first_ || !pending_.empty() || !listeners_.empty(); }

void SessionCore::run() {
  uint64_t pause_ms = 0;
  std::unique_lock lock(mutex_);
  while (!closing_) {
    auto conditions = conditions_;
    if (!is_needed()) {
      conditions->state.wait(lock, [&] { return closing_ || is_needed(); });
      continue;
    }
    if (pause_ms != 0) {
      auto until = Deadline::after_ms(pause_ms);
      until.earlier(next_deadline()).wait(conditions->state, lock, [&] { return closing_; });
      expire();
      if (closing_) break;
      if (!until.passed()) continue;
    }
    state_ = State::connecting;
    lock.unlock();
    std::shared_ptr<Wire> wire;
    Welcome welcome;
    int error = Wire::open(options_.socket_path, wire);
    lock.lock();
    if (error == 0 && closing_) break;
    if (error == 0) {
      wire_ = wire;
      lock.unlock();
      error = greet(*wire, welcome);
      lock.lock();
    }
    if (error != 0) {
      wire_.reset();
      state_ = State::idle;
      last_error_ = error;
      if (is_refusal(error)) fail_all(error, "the daemon refused " + options_.entity);
      conditions->state.notify_all();
      pause_ms = std::clamp(pause_ms * 2, first_pause_ms, longest_pause_ms);
      continue;
    }
    pause_ms = 0;
    last_error_ = 0;
    welcome_ = std::move(welcome);
    generation_++;
    if (listeners_.empty()) {
      become_ready();
    } else {
      start_attaching();
    }
    lock.unlock();
    receive(wire);
    lock.lock();
    lose_connection();
    pause_ms = first_pause_ms;
  }
  wire_.reset();
  thread_running_ = false;
}

// One request and its answer while nothing else is on the wire.
int SessionCore::request(Wire& wire, const char* method, Json params, Json& result) {
  Json message = {{"jsonrpc", "2.0"}, {"id", 0}, {"method", method}, {"params", std::move(params)}};
  auto limit = Deadline::after_ms(send_limit_ms);
  int error = wire.send(message.dump() + "\n", limit);
  std::string line;
  if (error == 0) error = wire.receive(line, Deadline::never());
  if (error != 0) return error;
  Json answer = Json::parse(line, nullptr, false);
  if (!answer.is_object()) return -EPROTO;
  if (answer.contains("error")) {
    const Json& code = answer["error"]["code"];
    return code.is_number_integer() && code.get<int64_t>() < 0 ? code.get<int>() : -EPROTO;
  }
  result = std::move(answer["result"]);
  return result.is_object() ? 0 : -EPROTO;
}

int SessionCore::greet(Wire& wire, Welcome& welcome) {
  uint64_t resume;
  Json handles = Json::array();
  {
    std::lock_guard lock(mutex_);
    resume = session_id_;
    for (const auto& [handle, slot] : listeners_) handles.push_back(handle);
  }
  Json hello = {{"protocol", 1}, {"pid", getpid()}, {"program", program_invocation_short_name}, {"entity", options_.entity}};
  if (resume != 0) {
    hello["resume"] = resume;
    hello["handles"] = std::move(handles);
  }
  Json answer, result;
  int error = request(wire, "session.hello", std::move(hello), answer);
  if (error != 0) return error;
  try {
    welcome.fsid = answer.at("fsid").get<std::string>();
    Json auth = Json::object();
    std::string nonce = random_bytes(16), daemon_nonce;
    if (!from_hex(answer.at("nonce").get<std::string>(), daemon_nonce)) return -EPROTO;
    auth["nonce"] = to_hex(nonce);
    if (!options_.secret.empty()) {
      auth["proof"] = proof_of(options_.secret, daemon_nonce, nonce, options_.entity);
    } else if (answer.at("keyRequired").get<bool>()) {
      return -ENOENT;
    }
    error = request(wire, "session.auth", std::move(auth), result);
    if (error != 0) return error;
    uint64_t id = result.at("sessionId").get<uint64_t>();
    if (result.contains("config")) welcome.config = result["config"].get<std::map<std::string, std::string>>();
    std::lock_guard lock(mutex_);
    session_id_ = id;
  } catch (const Json::exception&) {
    return -EPROTO;
  }
  return 0;
}

// With the lock held.
void SessionCore::become_ready() {
  state_ = State::ready;
  conditions_->state.notify_all();
  // Everything that waits goes out; the lock is let go around each sending, so take the list first.
  std::vector<std::shared_ptr<Pending>> waiting;
  for (auto& [id, pending] : pending_) waiting.push_back(pending);
  uint64_t generation = generation_;
  for (auto& pending : waiting) {
    if (generation_ != generation || state_ != State::ready) return;
    std::unique_lock lock(mutex_, std::adopt_lock);
    if (!pending->done) send_pending(pending, lock);
    lock.release();
  }
}

void SessionCore::receive(const std::shared_ptr<Wire>& wire) {
  std::string line;
  for (;;) {
    Deadline next;
    {
      std::lock_guard lock(mutex_);
      if (closing_ && pending_.empty()) return;
      expire();
      if (!hearings_.empty()) end_hearings(wire->is_dealt_with());
      next = next_deadline();
    }
    int error = wire->receive(line, next);
    if (error == -ETIMEDOUT || error == -EINTR) continue;
    if (error != 0) return;
    try {
      Json message = Json::parse(line);
      if (message.contains("method")) {
        take_call(wire, message);
      } else {
        take_reply(*wire, message);
      }
    } catch (const Json::exception&) {
      wire->shut();  // not our protocol: nothing after it can be trusted
      return;
    }
  }
}

// With the lock held.
void SessionCore::lose_connection() {
  wire_.reset();
  state_ = State::idle;
  end_all_hearings();
  std::vector<std::shared_ptr<Pending>> lost;
  for (auto& [id, pending] : pending_) {
    if (pending->attaching) lost.push_back(pending);
  }
  for (auto& pending : lost) finish(pending, Reply{-ENOTCONN, "the connection was lost", nullptr, {}});
  conditions_->state.notify_all();
}

// With the lock held. Attaching needs the receiving thread's help, and must not wait for a callback that itself waits
// for a call: so it has a thread of its own for a moment.
void SessionCore::start_attaching() {
  state_ = State::attaching;
  if (attacher_running_) return;  // it will see the new generation
  attacher_running_ = true;
  Thread attacher;
  auto body = [self = shared_from_this()] { self->attach_all(); };
  if (attacher.start("cbd2rbd-attach", 1 << 20, body) == 0) {
    attacher.detach();
  } else {
    attacher_running_ = false;
    if (wire_) wire_->shut();  // tried again with the next connection
  }
}

void SessionCore::attach_all() {
  attaching_for = this;
  std::unique_lock lock(mutex_);
  for (;;) {
    uint64_t generation = generation_;
    std::vector<std::shared_ptr<Pending>> early;
    for (auto& [id, pending] : pending_) {
      if (pending->early) early.push_back(pending);
    }
    for (auto& pending : early) {
      if (!pending->done) send_pending(pending, lock);
    }
    std::vector<std::shared_ptr<ListenerSlot>> slots;
    for (auto& [handle, slot] : listeners_) slots.push_back(slot);
    for (auto& slot : slots) {
      auto conditions = conditions_;
      // No lock is held by the one who runs now but his own, and he may wait for a call that waits for us: not waited for.
      if (slot->removed || state_ != State::attaching || generation_ != generation) continue;
      slot->attaching = true;
      lock.unlock();
      slot->listener->on_reconnect();
      lock.lock();
      slot->attaching = false;
      conditions->listeners.notify_all();
    }
    if (state_ == State::attaching && generation_ == generation) become_ready();
    // Lost again; the next connection starts a new attacher, unless it found this one running: then it is for this one.
    if (state_ != State::attaching) break;
  }
  attacher_running_ = false;
}

void SessionCore::before_fork() {
  mutex_.lock();
  callbacks_->before_fork();
}

void SessionCore::after_fork_in_parent() {
  callbacks_->after_fork_in_parent();
  mutex_.unlock();
}

void SessionCore::after_fork_in_child() {
  callbacks_->after_fork_in_child();
  if (wire_) {
    wire_->close_in_child();  // else the daemon would not notice the parent's death
    bury(std::move(wire_));
    wire_.reset();
  }
  bury(std::move(conditions_));
  conditions_ = std::make_shared<Conditions>();
  for (auto& [id, pending] : pending_) bury(std::move(pending));
  pending_.clear();
  for (auto& [handle, slot] : listeners_) {
    slot->running = slot->untaken = slot->attaching = false;
    bury(std::make_shared<decltype(slot->queue)>(std::move(slot->queue)));
    slot->queue.clear();
  }
  // The requests that waited are the parent's.
  bury(std::make_shared<decltype(hearings_)>(std::move(hearings_)));
  hearings_.clear();
  thread_.forget();
  thread_running_ = attacher_running_ = false;
  state_ = State::idle;
  first_ = false;
  session_id_ = 0;
  last_error_ = 0;
  mutex_.unlock();
}

}  // namespace cbd::control
