// A session with the daemon (docs/protocol.md): one connection, one receiving thread, and the calls that wait for it.
// It knows nothing of what the methods mean, save which of them change nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/client.h"

namespace cbd::control {

struct SessionOptions {
  std::string socket_path;
  std::string entity;      // "client.admin"
  std::string secret;      // the key's secret bytes; empty: none is presented
  // A configuration option's value (Client::config, and the time-outs). Called from any thread.
  std::function<bool(const std::string& name, std::string& value)> config;
};

// What the daemon said when it let us in.
struct Welcome {
  std::string fsid;
  std::map<std::string, std::string> config;  // central configuration for this client
};

class SessionCore;

class Session : public Client {
 public:
  Session();
  ~Session() override;  // as close()

  // Connects and says who we are; waits as long as client_mount_timeout allows. 0, -EISCONN (connected before), -ENOENT (no socket
  // is there, or a key is needed and there is none), -EACCES, -ETIMEDOUT (a socket is there and nobody answers), or what the daemon
  // answered. After an error nothing of the attempt is left.
  int connect(SessionOptions options, Welcome& welcome);

  // Ends the session in order: locks and watchers are gone when it returns. Calls that wait end in -ENOTCONN.
  void close();

  Reply call(const char* method, Json params, uint32_t timeout_ms,
             const std::function<int(uint64_t, uint64_t)>& progress) override;
  void call_async(const char* method, Json params, std::function<void(Reply)> then) override;
  void notify(const char* method, Json params) override;
  uint64_t add_listener(Listener* listener) override;
  void remove_listener(uint64_t handle) override;
  bool has_heard(uint64_t handle, std::function<void()> then) override;
  void taken(uint64_t handle) override;
  bool config(const std::string& name, std::string& value) const override;
  std::string address() const override;
  uint64_t instance_id() const override;

 private:
  std::shared_ptr<SessionCore> core_;
};

}  // namespace cbd::control
