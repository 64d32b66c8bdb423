#include "rados/watch.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/wire.h"

namespace cbd::rados {
namespace {

thread_local bool is_in_callback = false;

// While one of a user's callbacks runs.
class Callback {
 public:
  Callback() {
    Watches::all().begin_callback();
    is_in_callback = true;
  }
  ~Callback() {
    is_in_callback = false;
    Watches::all().end_callback();
  }
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
};

}  // namespace

Watch::Watch(const IoCtx& io, std::string object, const Callbacks& callbacks)
    : client_(io.client), at_({{"pool", io.pool_id}, {"namespace", io.name_space}}), object_(std::move(object)), callbacks_(callbacks) {}

std::shared_ptr<Watch> Watch::make(const IoCtx& io, std::string object, const Callbacks& callbacks) {
  std::shared_ptr<Watch> watch(new Watch(io, std::move(object), callbacks));
  watch->handle_.store(watch->client_->add_listener(watch.get()));
  return watch;
}

Json Watch::request() const { return {{"at", at_}, {"name", object_}, {"handle", handle()}}; }

int Watch::error() {
  std::lock_guard lock(mutex_);
  return error_;
}

bool Watch::acknowledge(uint64_t notify_id, std::string payload) {
  std::function<void(int, Json)> answer;
  {
    std::lock_guard lock(mutex_);
    auto found = waiting_.find(notify_id);
    if (found == waiting_.end()) return false;
    answer = std::move(found->second);
    waiting_.erase(found);
  }
  answer(0, {{"payload", base64(payload.data(), payload.size())}});
  return true;
}

void Watch::on_call(const std::string& method, const Json& params, std::vector<UniqueFd>, std::function<void(int, Json)> answer) {
  // The user may end the watch in his callback.
  const std::shared_ptr<Watch> self = weak_from_this().lock();
  if (method == "object.watchLost") {
    fail(params.at("error").get<int>());
    return;
  }
  if (method != "object.notified") {
    if (answer) answer(-EOPNOTSUPP, nullptr);
    return;
  }
  const uint64_t id = params.at("notifyId").get<uint64_t>();
  if (callbacks_.simple != nullptr) {
    Callback running;
    callbacks_.simple(0, id, callbacks_.argument);
    answer(0, {{"payload", ""}});
    return;
  }
  std::string payload = bytes_of(params, "payload");
  {
    std::lock_guard lock(mutex_);
    waiting_[id] = std::move(answer);
  }
  Callback running;
  callbacks_.notified(callbacks_.argument, id, handle(), params.at("notifier").get<uint64_t>(),
                      payload.empty() ? nullptr : payload.data(), payload.size());
}

// The daemon forgot the watch, or the connection was lost: it begins anew, and the user hears where it cannot. Notifications of before
// are not waited for any more.
void Watch::on_reconnect() {
  // While it is being asked for there is nothing to begin anew: that call is sent again.
  if (handle() == 0) return;
  {
    std::lock_guard lock(mutex_);
    waiting_.clear();
    if (error_ != 0) return;
  }
  const int error = client_->call("object.watch", request()).error;
  if (error != 0 && error != -ENOTCONN && error != -ETIMEDOUT) fail(-ENOTCONN);
}

void Watch::fail(int error) {
  {
    std::lock_guard lock(mutex_);
    if (error_ != 0) return;
    error_ = error;
  }
  if (callbacks_.failed == nullptr) return;
  Callback running;
  callbacks_.failed(callbacks_.argument, handle(), error);
}

Watches& Watches::all() {
  // Lives as long as the process: a watch may still be called while it ends.
  static Watches* const watches = new Watches();
  return *watches;
}

void Watches::put(const IoCtx& io, std::shared_ptr<Watch> watch) {
  const Key key{io.client.get(), watch->handle()};
  std::lock_guard lock(mutex_);
  watches_[key] = std::move(watch);
}

std::shared_ptr<Watch> Watches::find(const IoCtx& io, uint64_t handle) {
  std::lock_guard lock(mutex_);
  auto found = watches_.find({io.client.get(), handle});
  return found == watches_.end() ? nullptr : found->second;
}

std::shared_ptr<Watch> Watches::take(const IoCtx& io, uint64_t handle) {
  std::lock_guard lock(mutex_);
  auto found = watches_.find({io.client.get(), handle});
  if (found == watches_.end()) return nullptr;
  std::shared_ptr<Watch> watch = std::move(found->second);
  watches_.erase(found);
  return watch;
}

void Watches::drop(const control::Client* client) {
  // They end without the lock: a callback may be waiting for it.
  std::map<Key, std::shared_ptr<Watch>> ended;
  std::unique_lock lock(mutex_);
  for (auto at = watches_.lower_bound({client, 0}); at != watches_.end() && at->first.first == client;) {
    ended.insert(watches_.extract(at++));
  }
  lock.unlock();
}

void Watches::flush() {
  if (is_in_callback) return;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return running_ == 0; });
}

void Watches::begin_callback() {
  std::lock_guard lock(mutex_);
  ++running_;
}

void Watches::end_callback() {
  std::lock_guard lock(mutex_);
  if (running_ > 0) --running_;
  changed_.notify_all();
}

int encode_notify_answer(const Json& answer, char** buffer, size_t* length) {
  std::string text;
  auto put = [&](uint64_t number, size_t bytes) {
    const uint64_t little = htole64(number);
    text.append(reinterpret_cast<const char*>(&little), bytes);
  };
  auto who = [&](const Json& entry) {
    put(entry.at("client").get<uint64_t>(), 8);
    put(entry.at("handle").get<uint64_t>(), 8);
  };
  put(answer.at("acks").size(), 4);
  for (const Json& ack : answer.at("acks")) {
    who(ack);
    const std::string payload = bytes_of(ack, "payload");
    put(payload.size(), 4);
    text += payload;
  }
  put(answer.at("timeouts").size(), 4);
  for (const Json& timeout : answer.at("timeouts")) who(timeout);
  auto* memory = static_cast<char*>(malloc(text.size()));
  if (memory == nullptr) return -ENOMEM;
  memcpy(memory, text.data(), text.size());
  *buffer = memory;
  *length = text.size();
  return 0;
}

}  // namespace cbd::rados
