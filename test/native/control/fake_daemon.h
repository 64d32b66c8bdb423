// A daemon of a few lines for the session's tests: it greets, and does with every other request what the test says.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace fake {

using Json = nlohmann::json;

// One client's connection; usable from any thread.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection();
  void send(const Json& message);
  void send_text(const std::string& text);
  // A blank byte that carries descriptors, as the protocol has it.
  void send_fds(const std::vector<int>& fds);
  void answer(const Json& request, Json result) { send({{"jsonrpc", "2.0"}, {"id", request["id"]}, {"result", std::move(result)}}); }
  void drop();
  bool receive(std::string& line);

 private:
  const int fd_;
  std::mutex sending_;  // held while a line goes out
  std::string buffer_;
};

class Daemon {
 public:
  // Gets every request but hello and auth, on the connection's own thread.
  using Handler = std::function<void(std::shared_ptr<Connection>, const Json& request)>;

  explicit Daemon(Handler handler);
  ~Daemon();

  const std::string& path() const { return path_; }
  // How many connections were greeted.
  int greeted() const { return greeted_; }
  // What each connection said hello with, in order.
  std::vector<Json> hellos() {
    std::lock_guard lock(mutex_);
    return hellos_;
  }
  // Runs right after each greeting, on the connection's own thread. To be set before anybody connects.
  void on_greeted(std::function<void(std::shared_ptr<Connection>)> then) { then_ = std::move(then); }

 private:
  void accept_all();
  void serve(std::shared_ptr<Connection> connection);

  const Handler handler_;
  std::function<void(std::shared_ptr<Connection>)> then_;
  std::string folder_, path_;
  int listener_ = -1;
  std::atomic<int> greeted_{0};
  std::atomic<bool> ending_{false};
  std::mutex mutex_;  // guards the three lists
  std::vector<Json> hellos_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace fake
