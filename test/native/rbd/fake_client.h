// A daemon's session for tests of librbd's part alone: images are unlinked files of this process, and each call's
// answer can be set.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

#include "control/client.h"
#include "rados/handles.h"

namespace cbd::test {

class FakeClient : public control::Client {
 public:
  using Answer = std::function<control::Reply(const control::Json& params)>;

  // `file` becomes the client's; without one the image is memory.
  explicit FakeClient(uint64_t size, int file = -1) : size_(size) {
    file_ = file >= 0 ? file : memfd_create("image", MFD_CLOEXEC);
    if (ftruncate(file_, static_cast<off_t>(size)) != 0) abort();
  }
  ~FakeClient() override { ::close(file_); }

  static control::Reply ok(control::Json result = control::Json::object()) {
    control::Reply reply;
    reply.result = std::make_shared<control::Json>(std::move(result));
    return reply;
  }
  static control::Reply error(int code) {
    control::Reply reply;
    reply.error = code;
    return reply;
  }

  control::Json state() const {
    const uint64_t size = size_.load();
    control::Json volume = {{"driver", "file"}, {"fd", 0}};
    control::Json layer = {{"id", "l"}, {"kind", "plain"}, {"size", size}, {"writable", true}, {"volume", volume}};
    return {{"id", "1"},        {"name", "image"},        {"size", size}, {"order", 22},
            {"features", 61},   {"prefix", "rbd_data.1"}, {"layers", control::Json::array({layer})}};
  }

  control::Reply call(const char* method, control::Json params, uint32_t,
                      const std::function<int(uint64_t, uint64_t)>&) override {
    std::unique_lock<std::mutex> guard(lock_);
    calls_[method]++;
    auto found = answers_.find(method);
    if (found != answers_.end()) {
      Answer answer = found->second;
      guard.unlock();
      return answer(params);
    }
    if (std::string(method) != "image.open" && std::string(method) != "image.attach") return ok();
    control::Reply reply = ok(state());
    // A description of its own, as the daemon opens the file anew for each open.
    reply.fds.emplace_back(::open(("/proc/self/fd/" + std::to_string(file_)).c_str(), O_RDWR | O_CLOEXEC));
    return reply;
  }
  void call_async(const char* method, control::Json params, std::function<void(control::Reply)> then) override {
    then(call(method, std::move(params), 0, {}));
  }
  void notify(const char* method, control::Json) override {
    std::lock_guard<std::mutex> guard(lock_);
    calls_[method]++;
  }
  uint64_t add_listener(control::Listener* listener) override {
    std::lock_guard<std::mutex> guard(lock_);
    listeners_[++last_handle_] = listener;
    return last_handle_;
  }
  void remove_listener(uint64_t handle) override {
    std::lock_guard<std::mutex> guard(lock_);
    listeners_.erase(handle);
  }
  bool has_heard(uint64_t, std::function<void()>) override { return true; }
  void taken(uint64_t) override {}
  bool config(const std::string& name, std::string& value) const override {
    std::lock_guard<std::mutex> guard(lock_);
    auto found = options_.find(name);
    if (found == options_.end()) return false;
    value = found->second;
    return true;
  }
  std::string address() const override { return "127.0.0.1:0/1"; }
  uint64_t instance_id() const override { return 1; }

  void set_answer(const std::string& method, Answer answer) {
    std::lock_guard<std::mutex> guard(lock_);
    answers_[method] = std::move(answer);
  }
  void set_option(const std::string& name, const std::string& value) {
    std::lock_guard<std::mutex> guard(lock_);
    options_[name] = value;
  }
  int count(const std::string& method) {
    std::lock_guard<std::mutex> guard(lock_);
    return calls_[method];
  }
  control::Listener* last_listener() {
    std::lock_guard<std::mutex> guard(lock_);
    return listeners_.at(last_handle_);
  }
  // As the daemon does it: all listeners are told, then the file is cut.
  void resize(uint64_t size) {
    size_ = size;
    control::Json params = {{"state", state()}};
    params["state"]["layers"][0].erase("volume");
    std::map<uint64_t, control::Listener*> all;
    {
      std::lock_guard<std::mutex> guard(lock_);
      all = listeners_;
    }
    for (auto& [handle, listener] : all) listener->on_call("image.changed", params, {}, {});
    if (ftruncate(file_, static_cast<off_t>(size)) != 0) abort();
  }
  int file() const { return file_; }

 private:
  mutable std::mutex lock_;  // guards the maps
  std::atomic<uint64_t> size_;
  int file_ = -1;
  uint64_t last_handle_ = 0;
  std::map<uint64_t, control::Listener*> listeners_;
  std::map<std::string, Answer> answers_;
  std::map<std::string, std::string> options_;
  std::map<std::string, int> calls_;
};

// The pool that such a client has open.
inline rados::IoCtx pool_of(const std::shared_ptr<FakeClient>& client) {
  rados::IoCtx io;
  io.client = client;
  io.pool_id = 1;
  io.pool_name = "rbd";
  return io;
}

}  // namespace cbd::test
