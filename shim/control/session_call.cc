// Calls: numbered, sent, waited for, sent again after a reconnect, given up when their time is over.
#include <errno.h>

#include <string_view>

#include "control/proof.h"
#include "control/session_core.h"

namespace cbd::control {

namespace {

constexpr uint64_t send_limit_ms = 30'000;
constexpr const char* too_late = "no answer in time";

bool ends_with_one_of(std::string_view method, std::initializer_list<std::string_view> ends) {
  for (std::string_view end : ends) {
    if (method.ends_with(end)) return true;
  }
  return false;
}

// A call that changes something carries `op`, so that the daemon knows it when it comes a second time.
bool changes_nothing(std::string_view method) {
  return method.starts_with("session.") || method == "cluster.stat" ||
         ends_with_one_of(method, {".list", ".get", ".stat", ".lookup", ".exists", ".metadata", ".watchers", ".owners",
                                   ".refresh", ".open", ".attach", ".close", ".read", ".touch"});
}

// One that I/O under way may wait for: attaching may wait for that I/O, so the answer must not wait for the attaching.
bool goes_while_attaching(std::string_view method) { return method == "layer.get"; }

// Which of the two time-outs bounds it: what Ceph's monitors would answer, or its OSDs.
bool is_monitors(std::string_view method) {
  return method.starts_with("pool.") || method.starts_with("cluster.") || method.starts_with("mon.");
}

// Objects are data to a Ceph client, and only OSDs answer for data.
bool is_data(std::string_view method) { return method.starts_with("object."); }

size_t fd_count(const Json& body) {
  auto fds = body.find("fds");
  if (fds != body.end() && fds->is_number_unsigned()) return fds->get<size_t>();
  return 0;
}

}  // namespace

uint32_t SessionCore::limit_ms(const char* method) const {
  const auto limit = [this](const char* option) -> uint32_t {
    std::string text;
    config(option, text);
    const double seconds = strtod(text.c_str(), nullptr);
    return seconds > 0 ? static_cast<uint32_t>(std::min(seconds * 1000, 4e9)) : 0;
  };
  const uint32_t of_osds = is_monitors(method) ? 0 : limit("rados_osd_op_timeout");
  // What becomes of images is the daemon's, which is no OSD: a client that bounds its monitors alone does not wait for it without end.
  return of_osds != 0 || is_data(method) ? of_osds : limit("rados_mon_op_timeout");
}

std::shared_ptr<Pending> SessionCore::begin(const char* method, Json params, uint32_t timeout_ms,
                                            std::optional<uint64_t> token, int& error) {
  auto pending = std::make_shared<Pending>();
  pending->limit_ms = timeout_ms != 0 ? timeout_ms : limit_ms(method);
  pending->deadline = Deadline::after_ms(pending->limit_ms);
  pending->attaching = is_attaching(this);
  pending->early = goes_while_attaching(method);
  if (params.is_null()) params = Json::object();
  if (!changes_nothing(method) && !params.contains("op")) params["op"] = to_hex(random_bytes(12));
  {
    std::lock_guard lock(mutex_);
    pending->id = next_id_++;
  }
  if (token) params["progress"] = pending->id;
  Json message = {{"jsonrpc", "2.0"}, {"id", pending->id}, {"method", method}, {"params", std::move(params)}};
  try {
    pending->line = message.dump();
  } catch (const Json::exception&) {
    error = -EINVAL;  // a string that is not UTF-8
    return nullptr;
  }
  pending->line += '\n';
  error = 0;
  return pending;
}

// With the lock held; lets it go while sending.
void SessionCore::send_pending(const std::shared_ptr<Pending>& pending, std::unique_lock<std::mutex>& lock) {
  bool may = state_ == State::ready || (state_ == State::attaching && (pending->attaching || pending->early));
  if (!may || !wire_ || pending->sent_on == generation_) return;
  pending->sent_on = generation_;
  auto wire = wire_;
  lock.unlock();
  if (wire->send(pending->line, Deadline::after_ms(send_limit_ms).earlier(pending->deadline)) != 0) {
    wire->shut();  // part of it may be out; the receiving thread connects anew and sends it again
  }
  lock.lock();
}

Reply SessionCore::call(const char* method, Json params, uint32_t timeout_ms,
                        const std::function<int(uint64_t, uint64_t)>& progress) {
  int error;
  auto pending = begin(method, std::move(params), timeout_ms,
                       progress ? std::optional<uint64_t>(0) : std::nullopt, error);
  if (!pending) return Reply{error, "a name is not UTF-8", nullptr, {}};
  std::unique_lock lock(mutex_);
  if (!wanted_) return Reply{-ENOTCONN, "not connected", nullptr, {}};
  if (pending->attaching && state_ != State::attaching) return Reply{-ENOTCONN, "the connection was lost", nullptr, {}};
  pending_[pending->id] = pending;
  error = ensure_thread();
  if (error != 0) {
    pending_.erase(pending->id);
    return Reply{error, "no thread could be started", nullptr, {}};
  }
  send_pending(pending, lock);
  for (;;) {
    bool woken = pending->deadline.wait(pending->changed, lock, [&] { return pending->done || pending->progress; });
    if (pending->done) return std::move(pending->reply);
    if (!woken) {
      pending_.erase(pending->id);
      return Reply{-ETIMEDOUT, too_late, nullptr, {}};
    }
    auto [done, total] = *std::exchange(pending->progress, std::nullopt);
    pending->deadline = Deadline::after_ms(pending->limit_ms);
    lock.unlock();
    if (progress(done, total) < 0) notify("cancel", {{"token", pending->id}});
    lock.lock();
  }
}

void SessionCore::call_async(const char* method, Json params, std::function<void(Reply)> then) {
  int error;
  auto pending = begin(method, std::move(params), 0, std::nullopt, error);
  if (!pending) return then(Reply{error, "a name is not UTF-8", nullptr, {}});
  pending->then = std::move(then);
  std::unique_lock lock(mutex_);
  if (!wanted_) error = -ENOTCONN;
  if (error == 0) error = callbacks_->ensure();
  if (error == 0) {
    pending_[pending->id] = pending;
    error = ensure_thread();
  }
  if (error != 0) {
    pending_.erase(pending->id);
    lock.unlock();
    pending->then(Reply{error, "not connected", nullptr, {}});
    return;
  }
  // With a new deadline the receiving thread must look again how long it may wait.
  bool bounded = !pending->deadline.is_never();
  send_pending(pending, lock);
  if (bounded && wire_) wire_->wake();
}

void SessionCore::notify(const char* method, Json params) {
  Json message = {{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}};
  std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::shared_ptr<Wire> wire;
  {
    std::lock_guard lock(mutex_);
    if (state_ == State::ready || (state_ == State::attaching && is_attaching(this))) wire = wire_;
  }
  if (wire) wire->try_send(line);
}

// With the lock held.
void SessionCore::finish(const std::shared_ptr<Pending>& pending, Reply reply) {
  pending_.erase(pending->id);
  pending->done = true;
  if (!pending->then) {
    pending->reply = std::move(reply);
    pending->changed.notify_one();
    return;
  }
  auto shared = std::make_shared<Reply>(std::move(reply));
  callbacks_->post([then = std::move(pending->then), shared] { then(std::move(*shared)); });
}

// With the lock held.
void SessionCore::fail_all(int error, const std::string& message) {
  auto all = std::move(pending_);
  pending_.clear();
  for (auto& [id, pending] : all) finish(pending, Reply{error, message, nullptr, {}});
}

// With the lock held. Ends the asynchronous calls whose time is over; those who wait see to it themselves.
void SessionCore::expire() {
  std::vector<std::shared_ptr<Pending>> late;
  for (auto& [id, pending] : pending_) {
    if (pending->then && pending->deadline.passed()) late.push_back(pending);
  }
  for (auto& pending : late) finish(pending, Reply{-ETIMEDOUT, too_late, nullptr, {}});
}

// With the lock held. Of the asynchronous calls.
Deadline SessionCore::next_deadline() const {
  Deadline next;
  for (auto& [id, pending] : pending_) {
    if (pending->then) next = next.earlier(pending->deadline);
  }
  for (const Hearing& hearing : hearings_) next = next.earlier(hearing.deadline);
  return next;
}

void SessionCore::take_reply(Wire& wire, Json& message) {
  Reply reply;
  if (message.contains("error")) {
    const Json& error = message.at("error");
    int64_t code = error.at("code").get<int64_t>();
    // JSON-RPC's own codes are no errno.
    reply.error = code >= -4095 && code < 0 ? static_cast<int>(code) : -EPROTO;
    reply.message = error.value("message", "");
  } else {
    reply.result = std::make_shared<Json>(std::move(message.at("result")));
    size_t fds = reply.result->is_object() ? fd_count(*reply.result) : 0;
    reply.fds = wire.take_fds(fds);
    if (reply.fds.size() != fds) {
      reply = Reply{-EPROTO, "descriptors are missing", nullptr, {}};
    }
  }
  std::function<void(Reply)> direct;
  {
    std::lock_guard lock(mutex_);
    auto found = pending_.find(message.at("id").get<uint64_t>());
    if (found == pending_.end()) return;  // given up in the meantime
    auto pending = found->second;
    if (!pending->early || !pending->then) return finish(pending, std::move(reply));
    pending_.erase(found);
    pending->done = true;
    direct = std::move(pending->then);
  }
  // Every thread for callbacks may be busy with I/O that waits for this.
  direct(std::move(reply));
}

bool SessionCore::config(const std::string& name, std::string& value) const { return options_.config && options_.config(name, value); }

uint64_t SessionCore::session_id() {
  std::lock_guard lock(mutex_);
  return session_id_;
}

}  // namespace cbd::control
