// What the rest of the shim sees of a session with the daemon. librados.so implements it; librbd.so reaches it only
// through these virtual functions, by way of the handles in rados/handles.h, so that neither library needs an export
// beyond the real ones'.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "control/unique_fd.h"

namespace cbd::control {

using Json = nlohmann::json;

// The end of a call: `error` is 0 or -errno, `message` says what was at fault, `fds` came with the reply.
struct Reply {
  int error = 0;
  std::string message;
  std::shared_ptr<Json> result;  // never null where error is 0
  std::vector<UniqueFd> fds;
};

// Somebody whom the daemon may call, by the handle that he opened (docs/protocol.md, "What the daemon asks").
class Listener {
 public:
  virtual ~Listener() = default;
  // Runs on a thread of the session that is not its receiving one, so that it may call back; one at a time a listener.
  // `answer` is called once, from any thread; a null answer is given to notifications.
  virtual void on_call(const std::string& method, const Json& params, std::vector<UniqueFd> fds,
                       std::function<void(int error, Json result)> answer) = 0;
  // The connection was lost and made anew (also: this is a forked child's first call). What the listener had open
  // in the session must be attached again before other calls on its handle; runs before any of them goes out.
  virtual void on_reconnect() = 0;
};

class Client {
 public:
  virtual ~Client() = default;

  // Sends and waits. Reconnects as long as `timeout_ms` allows (0: the session's own, from rados_mon_op_timeout and
  // client_mount_timeout; those being 0 means for ever). -ETIMEDOUT when time is up, -ENOTCONN before connect().
  // `progress` (may be null) gets done and total; returning < 0 cancels the call, which then ends in -ECANCELED.
  virtual Reply call(const char* method, Json params, uint32_t timeout_ms = 0,
                     const std::function<int(uint64_t done, uint64_t total)>& progress = {}) = 0;

  // The same without waiting; `then` runs once, on the session's thread for callbacks or on the caller's. That of `layer.get` may run
  // on the receiving thread: it must not wait for anything.
  virtual void call_async(const char* method, Json params, std::function<void(Reply)> then) = 0;

  // Nothing comes back and nothing is retried; never blocks: where the socket is full it is dropped.
  virtual void notify(const char* method, Json params) = 0;

  // A handle number that this session has not used before, with its listener (not owned; outlives remove_listener(),
  // which returns when no call to it is running).
  virtual uint64_t add_listener(Listener* listener) = 0;
  virtual void remove_listener(uint64_t handle) = 0;

  // Whether a listener has taken all that the daemon said to it until now. If not, `then` runs once when it has (or no longer waits
  // after a while, lest a listener's own callbacks wait for themselves), on a thread for callbacks. It never waits for the daemon.
  virtual bool has_heard(uint64_t handle, std::function<void()> then) = 0;
  // Called by a listener within on_call(): it has taken what the message says, and what is left of the call (a client's
  // callbacks) is nothing that has_heard() is to wait for.
  virtual void taken(uint64_t handle) = 0;

  // A configuration option's value as text ("" and false where it is unknown).
  virtual bool config(const std::string& name, std::string& value) const = 0;

  // "127.0.0.1:0/<session id>", as watchers and lockers show it; and the id alone.
  virtual std::string address() const = 0;
  virtual uint64_t instance_id() const = 0;
};

}  // namespace cbd::control
