// Opening and closing at bad moments: inside a callback on the client's own thread, and with states that make no sense.
#include <poll.h>
#include <sys/eventfd.h>

#include <semaphore>
#include <thread>
#include <vector>

#include "abi/ceph_api.h"
#include "block/support.h"
#include "rbd/fake_client.h"
#include "tap.h"

using cbd::control::Json;
using cbd::test::FakeClient;

namespace {

constexpr uint64_t size = 1 << 20;

cbd::rados::IoCtx make_io(const std::shared_ptr<FakeClient>& client) {
  cbd::rados::IoCtx io;
  io.client = client;
  io.pool_id = 1;
  io.pool_name = "rbd";
  return io;
}

// One that closes its image where it runs on the thread that fetches events.
struct Closer {
  rbd_image_t image = nullptr;
  std::thread::id fetcher = std::this_thread::get_id();
  std::atomic<bool> closes{false};
};

void close_here(rbd_completion_t c, void* arg) {
  auto& closer = *static_cast<Closer*>(arg);
  if (std::this_thread::get_id() == closer.fetcher) {
    closer.closes = true;
    CHECK_EQ(rbd_close(closer.image), 0);
  }
  rbd_aio_release(c);
}

// Whether the callback ran on this thread, which is so where the ring's thread was not faster.
bool close_while_fetching() {
  // The image ends on a thread of its own, after the test maybe: its client is kept to the very end.
  static auto& kept = *new std::vector<std::shared_ptr<FakeClient>>();
  const auto client = kept.emplace_back(std::make_shared<FakeClient>(size, cbd::block::test::temporary_file().release()));
  client->set_option("rbd_cache", "false");
  std::binary_semaphore closed{0};
  client->set_answer("image.close", [&](const Json&) {
    closed.release();
    return FakeClient::ok();
  });
  cbd::rados::IoCtx io = make_io(client);
  Closer closer;
  CHECK_EQ(rbd_open(&io, "image", &closer.image, nullptr), 0);
  const int events = eventfd(0, EFD_CLOEXEC);
  CHECK_EQ(rbd_set_image_notification(closer.image, events, EVENT_TYPE_EVENTFD), 0);
  alignas(4096) static char data[4096];
  rbd_completion_t c = nullptr;
  CHECK_EQ(rbd_aio_create_completion(&closer, close_here, &c), 0);
  CHECK_EQ(rbd_aio_read(closer.image, 0, sizeof data, data, c), 0);
  pollfd readable{events, POLLIN, 0};
  poll(&readable, 1, -1);
  rbd_completion_t fetched[1];
  rbd_poll_io_events(closer.image, fetched, 1);
  if (!closer.closes) CHECK_EQ(rbd_close(closer.image), 0);
  closed.acquire();
  client->set_answer("image.close", [](const Json&) { return FakeClient::ok(); });
  close(events);
  return closer.closes;
}

int open_with(const std::function<void(Json& state)>& spoil) {
  auto client = std::make_shared<FakeClient>(size);
  Json state = client->state();
  spoil(state);
  client->set_answer("image.open", [&](const Json&) {
    cbd::control::Reply reply = FakeClient::ok(state);
    reply.fds.emplace_back(dup(client->file()));
    return reply;
  });
  cbd::rados::IoCtx io = make_io(client);
  rbd_image_t image = nullptr;
  const int error = rbd_open(&io, "image", &image, nullptr);
  if (error == 0) rbd_close(image);
  return error;
}

}  // namespace

int main() {
  const char* closing = "an image can be closed by a callback that runs inside rbd_poll_io_events()";
  bool was_here = false;
  for (int i = 0; i < 200 && !was_here; i++) was_here = close_while_fetching();
  if (was_here) {
    tap::test(closing, [] {});
  } else {
    tap::skip(closing, "no callback ran there: the kernel gives no queue for direct I/O, or no direct I/O");
  }

  tap::test("an image whose state makes no sense is not opened", [] {
    CHECK_EQ(open_with([](Json&) {}), 0);
    CHECK_EQ(open_with([](Json& state) { state["stripeUnit"] = 0; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["order"] = 64; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["order"] = -1; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["size"] = UINT64_MAX; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["size"] = "much"; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["layers"][0]["size"] = UINT64_MAX; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["layers"][0]["volume"]["fd"] = 7; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state["metadata"] = {{"conf_x", 1}}; }), -EIO);
    CHECK_EQ(open_with([](Json& state) { state = Json::array(); }), -EIO);
  });
  return tap::finish();
}
