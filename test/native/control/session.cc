// The session against a daemon that does what the tests say: many threads, lost connections, calls from the daemon, time-outs.
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <set>

#include "control/session.h"
#include "fake_daemon.h"
#include "tap.h"

using cbd::control::Listener;
using cbd::control::Reply;
using cbd::control::Session;
using cbd::control::SessionOptions;
using cbd::control::Welcome;
using fake::Connection;
using fake::Daemon;
using fake::Json;

namespace {

SessionOptions options_for(const Daemon& daemon, std::map<std::string, std::string> config = {}) {
  SessionOptions options;
  options.socket_path = daemon.path();
  options.entity = "client.admin";
  options.config = [config](const std::string& name, std::string& value) {
    auto found = config.find(name);
    if (found != config.end()) value = found->second;
    return found != config.end();
  };
  return options;
}

// Something that one thread waits for and another brings.
class Event {
 public:
  void set() {
    std::lock_guard lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return happened_; });
  }

 private:
  std::mutex mutex_;  // guards happened_
  std::condition_variable changed_;
  bool happened_ = false;
};

void echo(std::shared_ptr<Connection> connection, const Json& request) {
  connection->answer(request, {{"echo", request["params"]["value"]}});
}

void many_threads() {
  Daemon daemon(echo);
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  CHECK_EQ(session.connect(options_for(daemon), welcome), -EISCONN);
  CHECK_EQ(session.instance_id(), 7u);
  std::atomic<int> wrong{0}, ended{0};
  Event all;
  std::vector<std::thread> threads;
  constexpr int thread_count = 8, calls = 100;
  for (int t = 0; t < thread_count; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < calls; i++) {
        int value = t * calls + i;
        Reply reply = session.call("x.stat", {{"value", value}}, 0, {});
        if (reply.error != 0 || (*reply.result)["echo"] != value) wrong++;
        session.call_async("x.stat", {{"value", value}}, [&, value](Reply later) {
          if (later.error != 0 || (*later.result)["echo"] != value) wrong++;
          if (++ended == thread_count * calls) all.set();
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  all.wait();
  CHECK_EQ(wrong.load(), 0);
}

void lost_connection() {
  std::mutex mutex;  // guards the two below
  std::vector<std::pair<std::string, int>> seen;
  std::map<std::string, int> ops;
  std::atomic<int> connections{0};
  Daemon* self = nullptr;
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    std::string method = request["method"];
    {
      std::lock_guard lock(mutex);
      seen.emplace_back(method, self->greeted());
      if (request["params"].contains("op")) ops[request["params"]["op"]]++;
    }
    if (method == "x.change" && connections++ == 0) {
      connection->drop();  // before it answered
    } else {
      connection->answer(request, Json::object());
    }
  });
  self = &daemon;
  struct Image : Listener {
    Session* session = nullptr;
    int attached = 0;
    void on_call(const std::string&, const Json&, std::vector<cbd::UniqueFd>, std::function<void(int, Json)>) override {}
    void on_reconnect() override {
      attached++;
      CHECK_EQ(session->call("image.attach", Json::object(), 0, {}).error, 0);
    }
  } image;
  Session session;
  image.session = &session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  Image closed;
  const uint64_t closed_handle = session.add_listener(&closed);
  uint64_t handle = session.add_listener(&image);
  session.remove_listener(closed_handle);
  CHECK_EQ(session.call("x.change", Json::object(), 0, {}).error, 0);
  CHECK_EQ(image.attached, 1);
  // The daemon is told what is open still, so that it waits for nothing that was closed meanwhile.
  const std::vector<Json> hellos = daemon.hellos();
  CHECK_EQ(hellos.size(), 2u);
  if (hellos.size() == 2) {
    CHECK(!hellos[0].contains("handles"));
    CHECK_EQ(hellos[1].value("resume", 0), 7);
    CHECK_EQ(hellos[1].value("handles", Json()), Json::array({handle}));
  }
  session.remove_listener(handle);
  std::lock_guard lock(mutex);
  CHECK_EQ(seen.size(), 3u);
  if (seen.size() == 3) {
    CHECK_EQ(seen[1].first, std::string("image.attach"));
    CHECK_EQ(seen[2].first, std::string("x.change"));
  }
  CHECK_EQ(ops.size(), 1u);
  CHECK_EQ(ops.begin()->second, 2);
}

void descriptors() {
  int first[2], second[2];
  CHECK_EQ(pipe(first), 0);
  CHECK_EQ(pipe(second), 0);
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    connection->send_fds({first[0], second[0]});
    connection->answer(request, {{"fds", 2}});
  });
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  Reply reply = session.call("image.open", Json::object(), 0, {});
  CHECK_EQ(reply.fds.size(), 2u);
  if (reply.fds.size() == 2) {
    struct stat mine, theirs;
    fstat(reply.fds[1].get(), &mine);
    fstat(second[0], &theirs);
    CHECK_EQ(mine.st_ino, theirs.st_ino);
  }
  for (int fd : {first[0], first[1], second[0], second[1]}) close(fd);
}

void calls_from_the_daemon() {
  std::atomic<int> answers{0};
  Event all;
  constexpr int count = 50;
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    if (!request.contains("method")) {
      if (request["result"]["seen"].is_number() && ++answers == count) all.set();
      return;
    }
    if (request["method"] == "x.start") {
      for (int i = 0; i < count; i++) {
        connection->send({{"jsonrpc", "2.0"}, {"id", 1000 + i}, {"method", "image.changed"}, {"params", {{"handle", request["params"]["handle"]}, {"n", i}}}});
      }
    }
    connection->answer(request, Json::object());
  });
  struct Image : Listener {
    Session* session = nullptr;
    std::atomic<int> inside{0};
    int calls = 0;
    void on_call(const std::string&, const Json& params, std::vector<cbd::UniqueFd>, std::function<void(int, Json)> answer) override {
      CHECK_EQ(++inside, 1);               // one at a time
      CHECK_EQ(params["n"].get<int>(), calls);  // in order
      calls++;
      CHECK_EQ(session->call("x.stat", Json::object(), 0, {}).error, 0);  // and it may call back
      inside--;
      answer(0, {{"seen", calls}});
    }
    void on_reconnect() override {}
  } image;
  Session session;
  image.session = &session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  uint64_t handle = session.add_listener(&image);
  CHECK_EQ(session.call("x.start", {{"handle", handle}}, 0, {}).error, 0);
  all.wait();
  session.remove_listener(handle);
  CHECK_EQ(image.calls, count);
}

void progress() {
  std::mutex mutex;  // guards `running`
  Json running;
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    std::lock_guard lock(mutex);
    if (request["method"] == "cancel") {
      CHECK_EQ(request["params"]["token"], running["params"]["progress"]);
      connection->send({{"jsonrpc", "2.0"}, {"id", running["id"]}, {"error", {{"code", -ECANCELED}, {"message", "cancelled"}}}});
      return;
    }
    running = request;
    connection->send({{"jsonrpc", "2.0"}, {"method", "progress"}, {"params", {{"token", request["params"]["progress"]}, {"done", 3}, {"total", 10}}}});
  });
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  uint64_t done = 0, total = 0;
  Reply reply = session.call("image.remove", Json::object(), 0, [&](uint64_t d, uint64_t t) {
    done = d;
    total = t;
    return -1;
  });
  CHECK_EQ(reply.error, -ECANCELED);
  CHECK_EQ(done, 3u);
  CHECK_EQ(total, 10u);
}

void nonsense() {
  std::atomic<int> calls{0};
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    if (calls++ == 0) {
      connection->send_text("{this is no JSON\n");
    } else {
      echo(connection, request);
    }
  });
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  CHECK_EQ(session.call("x.stat", {{"value", 1}}, 0, {}).error, 0);
  CHECK_EQ(daemon.greeted(), 2);
}

void nobody_answers() {
  Daemon daemon([](std::shared_ptr<Connection>, const Json&) {});
  Session session;
  Welcome welcome;
  CHECK_EQ(session.call("x.stat", Json::object(), 0, {}).error, -ENOTCONN);
  CHECK_EQ(session.connect(options_for(daemon, {{"rados_osd_op_timeout", "1"}}), welcome), 0);
  CHECK_EQ(session.call("x.stat", Json::object(), 50, {}).error, -ETIMEDOUT);
  Event ended;
  int error = 0;
  session.call_async("x.stat", Json::object(), [&](Reply reply) {
    error = reply.error;
    ended.set();
  });
  ended.wait();
  CHECK_EQ(error, -ETIMEDOUT);
}

// What the attaching thread sends is held up here (the linker leads send() through it), as long as the test says.
std::atomic<const char*> held_text{nullptr};
std::atomic<int> sendings_to_skip{0};
Event is_held, may_go;

void lost_while_sending_again() {
  Daemon* self = nullptr;
  std::mutex mutex;  // guards `second`
  std::shared_ptr<Connection> second;
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    if (request.contains("method") && self->greeted() == 1) return connection->drop();
    if (request.contains("method")) connection->answer(request, Json::object());
  });
  self = &daemon;
  daemon.on_greeted([&](std::shared_ptr<Connection> connection) {
    std::lock_guard lock(mutex);
    if (self->greeted() == 2) second = connection;
    // It is taken when the session knows that it has a third connection.
    if (self->greeted() == 3) connection->send({{"jsonrpc", "2.0"}, {"method", "image.changed"}, {"params", {{"handle", 1}}}});
  });
  struct Image : Listener {
    void on_call(const std::string&, const Json&, std::vector<cbd::UniqueFd>, std::function<void(int, Json)>) override { may_go.set(); }
    void on_reconnect() override {}
  } image;
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  const uint64_t handle = session.add_listener(&image);
  CHECK_EQ(handle, 1u);
  sendings_to_skip = 1;
  held_text = "x.precious";
  std::thread cutter([&] {
    is_held.wait();
    std::lock_guard lock(mutex);
    second->drop();
  });
  CHECK_EQ(session.call("x.precious", Json::object(), 30'000, {}).error, 0);
  cutter.join();
  held_text = nullptr;
  session.remove_listener(handle);
}

void malformed_call() {
  std::atomic<int> error{0};
  Event answered;
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    if (!request.contains("method")) {
      error = request["error"]["code"].get<int>();
      return answered.set();
    }
    connection->send({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "image.changed"}, {"params", {{"handle", request["params"]["handle"]}}}});
    connection->answer(request, Json::object());
  });
  struct Image : Listener {
    void on_call(const std::string&, const Json& params, std::vector<cbd::UniqueFd>, std::function<void(int, Json)> answer) override {
      answer(0, params.at("state"));
    }
    void on_reconnect() override {}
  } image;
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  const uint64_t handle = session.add_listener(&image);
  CHECK_EQ(session.call("x.start", {{"handle", handle}}, 0, {}).error, 0);
  answered.wait();
  CHECK_EQ(error.load(), -EINVAL);
  CHECK_EQ(session.call("x.start", {{"handle", handle}}, 0, {}).error, 0);
  session.remove_listener(handle);
}

void hearing() {
  Daemon daemon([&](std::shared_ptr<Connection> connection, const Json& request) {
    if (!request.contains("method")) return;
    connection->send({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "image.changed"}, {"params", {{"handle", request["params"]["handle"]}}}});
    connection->answer(request, Json::object());
  });
  struct Image : Listener {
    Session* session = nullptr;
    uint64_t handle = 0;
    Event take, end;
    std::atomic<bool> has_taken{false};
    void on_call(const std::string&, const Json&, std::vector<cbd::UniqueFd>, std::function<void(int, Json)> answer) override {
      take.wait();
      has_taken = true;
      session->taken(handle);
      end.wait();  // a client's callback that waits for what waits here
      answer(0, Json::object());
    }
    void on_reconnect() override {}
  } image;
  Session session;
  image.session = &session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  const uint64_t handle = image.handle = session.add_listener(&image);
  auto hear = [&] {
    Event heard;
    if (!session.has_heard(handle, [&] { heard.set(); })) heard.wait();
  };
  hear();
  CHECK_EQ(session.call("x.start", {{"handle", handle}}, 0, {}).error, 0);
  Event heard;
  std::atomic<bool> was_taken{false};
  CHECK(!session.has_heard(handle, [&] {
    was_taken = image.has_taken.load();
    heard.set();
  }));
  image.take.set();
  heard.wait();
  CHECK(was_taken);
  hear();
  image.end.set();
  session.remove_listener(handle);
  hear();
}

void closing() {
  Event arrived;
  Daemon daemon([&](std::shared_ptr<Connection>, const Json&) { arrived.set(); });
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  int error = 0;
  std::thread waiter([&] { error = session.call("x.stat", Json::object(), 0, {}).error; });
  arrived.wait();
  session.close();
  waiter.join();
  CHECK_EQ(error, -ENOTCONN);
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
}

void forked() {
  Daemon daemon(echo);
  Session session;
  Welcome welcome;
  CHECK_EQ(session.connect(options_for(daemon), welcome), 0);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      while (!stop) session.call("x.stat", {{"value", 1}}, 0, {});
    });
  }
  for (int i = 0; i < 5; i++) {
    pid_t child = fork();
    if (child == 0) {
      Reply reply = session.call("x.stat", {{"value", 42}}, 20000, {});
      _exit(reply.error == 0 && (*reply.result)["echo"] == 42 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  CHECK_EQ(session.call("x.stat", {{"value", 1}}, 0, {}).error, 0);
}

}  // namespace

extern "C" {

ssize_t __real_send(int fd, const void* data, size_t length, int flags);
ssize_t __wrap_send(int fd, const void* data, size_t length, int flags) {
  const char* held = held_text;
  if (held && memmem(data, length, held, strlen(held)) && sendings_to_skip.fetch_sub(1) == 0) {
    is_held.set();
    may_go.wait();
  }
  return __real_send(fd, data, length, flags);
}

}  // extern "C"

int main() {
  tap::test("calls of many threads get their own answers", many_threads);
  tap::test("a call whose connection was lost goes out again under the same op, after what was open is attached", lost_connection);
  tap::test("descriptors come with their reply, in order", descriptors);
  tap::test("the daemon's calls reach a listener one at a time, in order, and it may call back", calls_from_the_daemon);
  tap::test("progress is shown, and a callback below 0 cancels", progress);
  tap::test("a connection that is lost while calls go out again on it is followed by one on which they do", lost_while_sending_again);
  tap::test("a call of the daemon that lacks what it must have is refused, and the session goes on", malformed_call);
  tap::test("who asks whether a listener has taken all that the daemon said hears when it has, callbacks or not", hearing);
  tap::test("a daemon that speaks nonsense is left, and the call made anew", nonsense);
  tap::test("a call that nobody answers ends when its time is over", nobody_answers);
  tap::test("closing ends the calls that wait, and the session can be connected again", closing);
  const char* child = "a forked child has a session of its own, whatever its parent's threads were doing";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  tap::skip(child, "the sanitizers' own locks stay as another thread held them in the child of a busy process");
  (void)forked;
#else
  tap::test(child, forked);
#endif
  return tap::finish();
}
