// What the daemon asks of the session: found by handle, run on the threads for callbacks, one at a time a listener.
#include <errno.h>

#include "control/session_core.h"

namespace cbd::control {

namespace {

// A listener's callback may itself read, and wait for what stands behind it in the queue.
constexpr uint32_t hearing_ms = 2000;

// The listener that this thread is calling, so that he may remove himself.
thread_local const ListenerSlot* current_slot = nullptr;

std::string answer_line(const Json& id, int error, Json result) {
  Json message = {{"jsonrpc", "2.0"}, {"id", id}};
  if (error != 0) {
    message["error"] = {{"code", error}, {"message", "refused"}};
  } else {
    message["result"] = result.is_null() ? Json::object() : std::move(result);
  }
  return message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

uint64_t SessionCore::add_listener(Listener* listener) {
  auto slot = std::make_shared<ListenerSlot>();
  slot->listener = listener;
  std::lock_guard lock(mutex_);
  slot->handle = next_handle_++;
  listeners_[slot->handle] = slot;
  return slot->handle;
}

void SessionCore::remove_listener(uint64_t handle) {
  std::unique_lock lock(mutex_);
  auto found = listeners_.find(handle);
  if (found == listeners_.end()) return;
  auto slot = found->second;
  listeners_.erase(found);
  slot->removed = true;
  slot->queue.clear();
  auto conditions = conditions_;
  bool own = current_slot == slot.get();
  bool own_attach = is_attaching(this);
  conditions->listeners.wait(lock, [&] { return (own || !slot->running) && (own_attach || !slot->attaching); });
}

void SessionCore::take_call(const std::shared_ptr<Wire>& wire, Json& message) {
  std::string method = message.at("method").get<std::string>();
  Json params = message.value("params", Json::object());
  if (method == "progress") return take_progress(params);

  // The state of an image carries descriptors as a reply's result does.
  const Json& body = params.contains("state") && params["state"].is_object() ? params["state"] : params;
  auto fds = std::make_shared<std::vector<UniqueFd>>(wire->take_fds(body.value("fds", size_t{0})));

  std::function<void(int, Json)> answer;
  if (message.contains("id")) {
    answer = [wire, id = message["id"]](int error, Json result) {
      if (wire->send(answer_line(id, error, std::move(result)), Deadline::after_ms(30'000)) != 0) wire->shut();
    };
  }
  std::unique_lock lock(mutex_);
  auto found = listeners_.find(params.value("handle", uint64_t{0}));
  if (found == listeners_.end()) {
    lock.unlock();
    if (answer) answer(-ENOENT, {});  // closed in the meantime
    return;
  }
  auto slot = found->second;
  slot->queue.push_back([slot, method = std::move(method), params = std::move(params), fds, answer = std::move(answer)] {
    try {
      slot->listener->on_call(method, params, std::move(*fds), answer);
    } catch (const Json::exception&) {
      // Not what the protocol says: refused, and the host goes on. (A listener reads the parameters before it answers.)
      if (answer) answer(-EINVAL, {});
    }
  });
  if (slot->running) return;
  slot->running = true;
  callbacks_->post([self = shared_from_this(), slot] { self->run_listener(slot); });
}

void SessionCore::run_listener(const std::shared_ptr<ListenerSlot>& slot) {
  std::unique_lock lock(mutex_);
  while (!slot->queue.empty()) {
    auto task = std::move(slot->queue.front());
    slot->queue.pop_front();
    slot->untaken = true;
    lock.unlock();
    const ListenerSlot* outer = std::exchange(current_slot, slot.get());
    task();
    task = nullptr;
    current_slot = outer;
    lock.lock();
    slot->untaken = false;
    look_at_hearings();
  }
  slot->running = false;
  conditions_->listeners.notify_all();
}

bool SessionCore::has_heard(uint64_t handle, std::function<void()> then) {
  std::lock_guard lock(mutex_);
  if (!is_connected() || (wire_->is_idle() && has_taken_all(handle))) return true;
  hearings_.push_back({handle, std::move(then), Deadline::after_ms(hearing_ms)});
  wire_->wake();  // the receiving thread looks at it
  return false;
}

void SessionCore::taken(uint64_t handle) {
  std::lock_guard lock(mutex_);
  auto found = listeners_.find(handle);
  if (found != listeners_.end()) found->second->untaken = false;
  look_at_hearings();
}

// With the lock held.
bool SessionCore::has_taken_all(uint64_t handle) const {
  auto found = listeners_.find(handle);
  return found == listeners_.end() || (found->second->queue.empty() && !found->second->untaken);
}

// With the lock held. `is_dealt_with`: all that came over the wire is with the listeners.
void SessionCore::end_hearings(bool is_dealt_with) {
  std::erase_if(hearings_, [&](Hearing& hearing) {
    if (!(is_dealt_with && has_taken_all(hearing.handle)) && !hearing.deadline.passed()) return false;
    callbacks_->post(std::move(hearing.then));
    return true;
  });
}

// With the lock held. Whom the connection linked is asked again when there is another.
void SessionCore::end_all_hearings() {
  for (Hearing& hearing : hearings_) callbacks_->post(std::move(hearing.then));
  hearings_.clear();
}

// With the lock held. A listener has taken something.
void SessionCore::look_at_hearings() {
  if (hearings_.empty() || !is_connected()) return;
  if (wire_->is_idle()) return end_hearings(true);
  wire_->wake();
}

void SessionCore::take_progress(const Json& params) {
  std::lock_guard lock(mutex_);
  auto found = pending_.find(params.at("token").get<uint64_t>());
  if (found == pending_.end() || found->second->then) return;
  found->second->progress.emplace(params.at("done").get<uint64_t>(), params.at("total").get<uint64_t>());
  found->second->changed.notify_one();
}

}  // namespace cbd::control
