#include "rados/closed_ioctx.h"

#include <errno.h>

#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>

#include "control/fork.h"
#include "rados/object_call.h"

namespace cbd::rados {

namespace {

using control::Reply;

// How many are kept. A process that destroys more gets the memory of the first ones back.
constexpr size_t kept = 4096;

Reply refused() {
  Reply reply;
  reply.error = -ENOTCONN;
  reply.message = "the ioctx was destroyed";
  return reply;
}

// The session of an ioctx that has none any more.
class NoClient final : public control::Client {
 public:
  Reply call(const char*, Json, uint32_t, const std::function<int(uint64_t, uint64_t)>&) override { return refused(); }
  void call_async(const char*, Json, std::function<void(Reply)> then) override { then(refused()); }
  void notify(const char*, Json) override {}
  uint64_t add_listener(control::Listener*) override { return 0; }
  void remove_listener(uint64_t) override {}
  bool has_heard(uint64_t, std::function<void()>) override { return true; }
  void taken(uint64_t) override {}
  bool config(const std::string&, std::string& value) const override {
    value.clear();
    return false;
  }
  std::string address() const override { return {}; }
  uint64_t instance_id() const override { return 0; }
};

class Closed final : public control::ForkAware {
 public:
  Closed() { control::register_for_fork(this); }

  // The oldest, where there are too many.
  std::unique_ptr<IoCtx> put(std::unique_ptr<IoCtx> io) {
    std::lock_guard lock(mutex_);
    contexts_.push_back(std::move(io));
    if (contexts_.size() <= kept) return nullptr;
    auto oldest = std::move(contexts_.front());
    contexts_.pop_front();
    return oldest;
  }

  void before_fork() override { mutex_.lock(); }
  void after_fork_in_parent() override { mutex_.unlock(); }
  void after_fork_in_child() override { mutex_.unlock(); }

  const std::shared_ptr<NoClient> client = std::make_shared<NoClient>();
  const std::shared_ptr<ObjectTraffic> objects = std::make_shared<ObjectTraffic>();

 private:
  std::mutex mutex_;  // guards contexts_
  std::deque<std::unique_ptr<IoCtx>> contexts_;
};

// Never destroyed: threads may close what they hold while the process ends.
Closed& closed() {
  static Closed* instance = new Closed;
  return *instance;
}

}  // namespace

void close_ioctx(std::unique_ptr<IoCtx> io) {
  if (is_closed(*io)) {
    (void)io.release();  // it is kept already
    return;
  }
  *io = IoCtx{};
  io->client = closed().client;
  io->objects = closed().objects;
  closed().put(std::move(io));
}

bool is_closed(const IoCtx& io) { return io.client == closed().client; }

}  // namespace cbd::rados
