#include "control/session.h"

#include "control/session_core.h"

namespace cbd::control {

Session::Session() : core_(std::make_shared<SessionCore>()) {}

Session::~Session() { core_->close(); }

int Session::connect(SessionOptions options, Welcome& welcome) { return core_->connect(std::move(options), welcome); }

void Session::close() { core_->close(); }

Reply Session::call(const char* method, Json params, uint32_t timeout_ms,
                    const std::function<int(uint64_t, uint64_t)>& progress) {
  return core_->call(method, std::move(params), timeout_ms, progress);
}

void Session::call_async(const char* method, Json params, std::function<void(Reply)> then) {
  core_->call_async(method, std::move(params), std::move(then));
}

void Session::notify(const char* method, Json params) { core_->notify(method, std::move(params)); }

uint64_t Session::add_listener(Listener* listener) { return core_->add_listener(listener); }

void Session::remove_listener(uint64_t handle) { core_->remove_listener(handle); }

bool Session::has_heard(uint64_t handle, std::function<void()> then) { return core_->has_heard(handle, std::move(then)); }

void Session::taken(uint64_t handle) { core_->taken(handle); }

bool Session::config(const std::string& name, std::string& value) const { return core_->config(name, value); }

std::string Session::address() const { return "127.0.0.1:0/" + std::to_string(core_->session_id()); }

uint64_t Session::instance_id() const { return core_->session_id(); }

}  // namespace cbd::control
