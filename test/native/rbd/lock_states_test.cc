// What the daemon says of the managed lock and what it says of an image come on the same connection, but a state may have been made before
// the lock changed hands and be sent after: it does not count for the lock.
#include "abi/ceph_api.h"
#include "rbd/fake_client.h"
#include "tap.h"

using cbd::control::Json;
using cbd::test::FakeClient;

namespace {

constexpr uint64_t size = 1 << 20;

struct Opened {
  std::shared_ptr<FakeClient> client = std::make_shared<FakeClient>(size);
  cbd::rados::IoCtx io = cbd::test::pool_of(client);
  rbd_image_t image = nullptr;

  Opened() {
    CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0);
  }
  ~Opened() { CHECK_EQ(rbd_close(image), 0); }

  // A call of the daemon's.
  void tell(const std::string& method, const Json& params) { client->last_listener()->on_call(method, params, {}, {}); }
  void tell_state(uint64_t serial, const Json& lock) {
    Json state = client->state();
    state["layers"][0].erase("volume");
    state["serial"] = serial;
    state["exclusiveLock"] = lock;
    tell("image.changed", {{"state", state}});
  }
  void answer_with(const std::string& method, uint64_t serial) {
    client->set_answer(method, [serial](const Json&) { return FakeClient::ok({{"serial", serial}}); });
  }
  int owner() {
    int is_owner = 9;
    CHECK_EQ(rbd_is_exclusive_lock_owner(image, &is_owner), 0);
    return is_owner;
  }
  ssize_t write() { return rbd_write(image, 0, 1, "x"); }
};

void test_released() {
  Opened one;
  one.answer_with("image.xlock.acquire", 10);
  one.answer_with("image.xlock.release", 20);
  CHECK_EQ(rbd_lock_acquire(one.image, RBD_LOCK_MODE_EXCLUSIVE), 0);
  CHECK_EQ(rbd_lock_release(one.image), 0);
  one.tell_state(15, "mine");
  CHECK_EQ(one.owner(), 0);
  CHECK_EQ(one.write(), -EROFS);
  one.tell_state(25, "mine");
  CHECK_EQ(one.owner(), 1);
}

void test_acquired() {
  Opened one;
  one.answer_with("image.xlock.acquire", 10);
  CHECK_EQ(rbd_lock_acquire(one.image, RBD_LOCK_MODE_EXCLUSIVE), 0);
  one.tell_state(5, nullptr);
  CHECK_EQ(one.owner(), 1);
  CHECK_EQ(one.write(), 1);
  one.tell_state(12, "other");
  CHECK_EQ(one.owner(), 0);
}

void test_taken() {
  Opened one;
  one.tell("image.lockTaken", {{"handle", 1}, {"serial", 10}});
  one.tell_state(9, nullptr);
  CHECK_EQ(one.write(), -EROFS);
  one.tell("image.lockFreed", {{"handle", 1}, {"serial", 20}});
  one.tell_state(19, "other");
  CHECK_EQ(one.write(), 1);
}

void test_late_message() {
  Opened one;
  one.tell_state(30, nullptr);
  one.tell("image.lockTaken", {{"handle", 1}, {"serial", 20}});
  CHECK_EQ(one.write(), 1);
}

}  // namespace

int main() {
  tap::test("a state from before the lock was given back gives it to nobody again", test_released);
  tap::test("a state from before the lock was taken does not take it away", test_acquired);
  tap::test("a state from before another took the lock, or gave it back, changes nothing of that", test_taken);
  tap::test("a message that is older than the state says nothing", test_late_message);
  return tap::finish();
}
