// The inside of a session, shared by its threads: state, calls that wait, listeners. The parts of its work are in
// session_connect.cc (the receiving thread), session_call.cc (calls) and session_listen.cc (what the daemon asks).
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/callback_threads.h"
#include "control/client.h"
#include "control/deadline.h"
#include "control/fork.h"
#include "control/session.h"
#include "control/thread.h"
#include "control/wire.h"

namespace cbd::control {

// A call that was made and has not ended.
struct Pending {
  uint64_t id = 0;
  std::string line;         // kept, to be sent again on the next connection
  uint64_t sent_on = 0;     // the generation of the connection that it went out on; 0: none yet
  bool attaching = false;   // part of taking up again what was open: belongs to one connection and dies with it
  bool early = false;      // goes out while the images are attached, too
  Deadline deadline;
  uint32_t limit_ms = 0;    // what the deadline is set to again when there is progress
  std::function<void(Reply)> then;  // an asynchronous call's end; empty where somebody waits
  // The rest is for the one who waits.
  std::condition_variable changed;
  bool done = false;
  Reply reply;
  std::optional<std::pair<uint64_t, uint64_t>> progress;  // the last that was not shown yet
};

struct ListenerSlot {
  uint64_t handle = 0;
  Listener* listener = nullptr;
  bool removed = false;
  bool running = false;       // a call to it is running (one at a time)
  bool untaken = false;       // ... and what it says is not taken yet
  bool attaching = false;     // its on_reconnect() is running
  std::deque<std::function<void()>> queue;
};

// Somebody who waits until a listener has taken what the daemon said to it.
struct Hearing {
  uint64_t handle = 0;
  std::function<void()> then;
  Deadline deadline;
};

class SessionCore;

// Whether this thread is taking up again what was open: its calls go out before all others.
bool is_attaching(const SessionCore* core);

class SessionCore final : public ForkAware, public std::enable_shared_from_this<SessionCore> {
 public:
  SessionCore();
  ~SessionCore();

  int connect(SessionOptions options, Welcome& welcome);
  void close();
  Reply call(const char* method, Json params, uint32_t timeout_ms,
             const std::function<int(uint64_t, uint64_t)>& progress);
  void call_async(const char* method, Json params, std::function<void(Reply)> then);
  void notify(const char* method, Json params);
  uint64_t add_listener(Listener* listener);
  void remove_listener(uint64_t handle);
  bool has_heard(uint64_t handle, std::function<void()> then);
  void taken(uint64_t handle);
  bool config(const std::string& name, std::string& value) const;
  uint64_t session_id();

  void before_fork() override;
  void after_fork_in_parent() override;
  void after_fork_in_child() override;

 private:
  enum class State { idle, connecting, attaching, ready };

  // Apart, so that a forked child can take new ones.
  struct Conditions {
    std::condition_variable state;      // the state, last_error_ or `closing_` changed, or there is a need to connect
    std::condition_variable listeners;  // a call to a listener ended
  };

  // session_connect.cc
  int ensure_thread();
  void run();
  int greet(Wire& wire, Welcome& welcome);
  int request(Wire& wire, const char* method, Json params, Json& result);
  void receive(const std::shared_ptr<Wire>& wire);
  void lose_connection();
  bool is_needed() const;
  void start_attaching();
  void attach_all();
  void become_ready();

  // session_call.cc
  std::shared_ptr<Pending> begin(const char* method, Json params, uint32_t timeout_ms, std::optional<uint64_t> progress_token, int& error);
  void send_pending(const std::shared_ptr<Pending>& pending, std::unique_lock<std::mutex>& lock);
  void finish(const std::shared_ptr<Pending>& pending, Reply reply);
  void fail_all(int error, const std::string& message);
  void expire();
  Deadline next_deadline() const;
  void take_reply(Wire& wire, Json& message);
  uint32_t limit_ms(const char* method) const;

  // session_listen.cc
  void take_call(const std::shared_ptr<Wire>& wire, Json& message);
  void take_progress(const Json& params);
  void run_listener(const std::shared_ptr<ListenerSlot>& slot);
  bool is_connected() const { return state_ == State::attaching || state_ == State::ready; }
  bool has_taken_all(uint64_t handle) const;
  void end_hearings(bool is_dealt_with);
  void end_all_hearings();
  void look_at_hearings();
  void end_of_call(const std::shared_ptr<ListenerSlot>& slot);

  std::mutex mutex_;  // guards all below; never held while anything is waited for but the conditions
  std::shared_ptr<Conditions> conditions_ = std::make_shared<Conditions>();
  std::shared_ptr<CallbackThreads> callbacks_ = std::make_shared<CallbackThreads>();
  // Set by connect() before any thread starts, and read by all without the lock from then on.
  SessionOptions options_;
  State state_ = State::idle;
  bool wanted_ = false;   // connect() succeeded, or is trying
  bool first_ = false;    // connect() waits for the outcome
  bool closing_ = false;
  int last_error_ = 0;    // of the last attempt to connect
  Welcome welcome_;
  Thread thread_;
  bool thread_running_ = false;
  std::shared_ptr<Wire> wire_;  // also while greeting, so that close() can end it
  uint64_t generation_ = 0;     // counts connections
  uint64_t session_id_ = 0;
  bool attacher_running_ = false;
  uint64_t next_id_ = 1;
  uint64_t next_handle_ = 1;
  std::map<uint64_t, std::shared_ptr<Pending>> pending_;
  std::map<uint64_t, std::shared_ptr<ListenerSlot>> listeners_;
  std::vector<Hearing> hearings_;
};

}  // namespace cbd::control
