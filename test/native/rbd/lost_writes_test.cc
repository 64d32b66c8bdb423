// What a flush covers, and what a writer is told whose leave goes before his writes are durable: an ImageIo over one cow layer,
// through a kernel whose fdatasync() fails when told to (the linker leads it through here, see CMakeLists.txt).
#include <atomic>
#include <cerrno>
#include <cstring>
#include <semaphore>
#include <vector>

#include "abi/ceph_api.h"
#include "rbd/fake_client.h"
#include "rbd/layer_parts.h"
#include "tap.h"

using cbd::block::Op;
using cbd::rbd::ImageIo;
using cbd::rbd::IoRequest;
using cbd::rbd::Own;
using namespace cbd::test;

namespace {

std::atomic<int> sync_error{0};  // what every fdatasync() gives; 0: what the kernel says

// A request that nobody waits for until he wants to.
struct Apart {
  IoRequest request;
  std::vector<char> data;
  iovec vector{};
  std::counting_semaphore<> ended{0};
  std::atomic<bool> is_over{false};
  int result = 1;

  explicit Apart(Op op, char byte = 0) : data(op == Op::flush ? 0 : 4096, byte) {
    request.op = op;
    request.context = this;
    request.done = [](cbd::block::Request* self, int outcome) {
      auto* apart = static_cast<Apart*>(self->context);
      apart->result = outcome;
      apart->is_over = true;
      apart->ended.release();
    };
    if (op == Op::flush) return;
    vector = {data.data(), data.size()};
    request.offset = mib;
    request.length = data.size();
    request.iov = &vector;
    request.iovcnt = 1;
  }
  int wait() {
    ended.acquire();
    return result;
  }
};

// One process's side of the image. Leave is asked for and never given but by the test.
struct Side {
  std::atomic<int> asked{0};
  ImageIo io{false, [this](bool) { asked++; }, {[](const std::string&) { return cbd::block::nebd::AskLeave(); }, {}}};

  int take(const Volume& volume, Own own, const char* id = "head") {
    return io.set_layers({cow(id)}, volume.open(), image_size, own);
  }
  int run(Op op, char byte = 0) {
    Apart apart(op, byte);
    io.submit(apart.request);
    return apart.wait();
  }
  // The byte that is read, or -errno.
  int read() {
    Apart apart(Op::read, '?');
    io.submit(apart.request);
    const int error = apart.wait();
    return error != 0 ? error : apart.data[17];
  }
};

void test_flushes() {
  tap::test("a flush does not end before a write that was submitted before it and waits for leave", [] {
    Volume volume;
    Side first, second;
    CHECK_EQ(first.take(volume, Own::read), 0);
    Apart write(Op::write, 'a'), flush(Op::flush);
    first.io.submit(write.request);
    first.io.submit(flush.request);
    CHECK_EQ(first.asked.load(), 1);
    CHECK(!flush.is_over);
    // A change of the chain waits for neither.
    first.io.close_gate();
    first.io.open_gate();
    CHECK_EQ(first.take(volume, Own::write), 0);
    CHECK_EQ(write.wait(), 0);
    CHECK_EQ(flush.wait(), 0);
    // Durable, with its map: another sees it on the volume.
    CHECK_EQ(second.take(volume, Own::read), 0);
    CHECK_EQ(second.read(), 'a');
  });

  tap::test("a write that is refused leave holds up no flush", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::read), 0);
    Apart write(Op::write, 'a'), flush(Op::flush);
    side.io.submit(write.request);
    side.io.submit(flush.request);
    side.io.refuse(-EROFS);
    CHECK_EQ(write.wait(), -EROFS);
    CHECK_EQ(flush.wait(), 0);
  });

  tap::test("a flush that comes while the image is held still covers the writes that came before it", [] {
    Volume volume;
    Side first, second;
    CHECK_EQ(first.take(volume, Own::write), 0);
    first.io.close_gate();
    Apart write(Op::write, 'b'), flush(Op::flush);
    first.io.submit(write.request);
    first.io.submit(flush.request);
    CHECK(!flush.is_over);
    first.io.open_gate();
    CHECK_EQ(flush.wait(), 0);
    CHECK(write.is_over.load());
    CHECK_EQ(second.take(volume, Own::read), 0);
    CHECK_EQ(second.read(), 'b');
  });
}

void test_losses() {
  tap::test("a writer whose leave was taken before his writes were durable is told by the next flush, and writes no more", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    CHECK_EQ(side.take(volume, Own::none), 0);
    CHECK_EQ(side.run(Op::flush), -ESHUTDOWN);
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::flush), -ESHUTDOWN);
    CHECK_EQ(side.run(Op::write, 'b'), -ESHUTDOWN);
    CHECK_EQ(side.run(Op::discard), -ESHUTDOWN);
    CHECK_EQ(side.read(), 0);
  });

  tap::test("the same where another layer stands in the place of his", [] {
    Volume volume, other;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    CHECK_EQ(side.take(other, Own::write, "another"), 0);
    CHECK_EQ(side.run(Op::flush), -ESHUTDOWN);
  });

  tap::test("one who had flushed goes on when he has leave again", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    CHECK_EQ(side.run(Op::flush), 0);
    CHECK_EQ(side.take(volume, Own::none), 0);
    CHECK_EQ(side.run(Op::flush), 0);
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.read(), 'a');
    CHECK_EQ(side.run(Op::write, 'b'), 0);
    CHECK_EQ(side.io.give_up(Own::none), 0);
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.read(), 'b');
    CHECK_EQ(side.run(Op::flush), 0);
  });

  tap::test("a quiesced image loses nothing with its leave, also where a flush waits for its end", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    side.io.close_gate();
    Apart flush(Op::flush);
    side.io.submit(flush.request);
    CHECK_EQ(side.io.flush_behind_gate(), 0);
    CHECK_EQ(side.take(volume, Own::read), 0);
    side.io.open_gate();
    CHECK_EQ(flush.wait(), 0);
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'b'), 0);
    CHECK_EQ(side.run(Op::flush), 0);
  });

  tap::test("where the flush of a writer who gives up fails, his own next flush fails, although he may write again", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    sync_error = EIO;
    CHECK_EQ(side.io.give_up(Own::none), -EIO);
    sync_error = 0;
    CHECK_EQ(side.run(Op::flush), -EIO);
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'b'), -EIO);
    CHECK_EQ(side.run(Op::flush), -EIO);
  });

  tap::test("a flush that failed has made nothing durable: with the leave its writes are lost", [] {
    Volume volume;
    Side side;
    CHECK_EQ(side.take(volume, Own::write), 0);
    CHECK_EQ(side.run(Op::write, 'a'), 0);
    sync_error = EIO;
    CHECK_EQ(side.run(Op::flush), -EIO);
    sync_error = 0;
    CHECK_EQ(side.take(volume, Own::none), 0);
    CHECK_EQ(side.run(Op::flush), -ESHUTDOWN);
  });
}

void test_close() {
  tap::test("closing an image says so where what was written could not be made durable", [] {
    auto client = std::make_shared<FakeClient>(mib);
    cbd::rados::IoCtx io = pool_of(client);
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0);
    CHECK_EQ(rbd_write(image, 0, 5, "hello"), 5);
    sync_error = EIO;
    CHECK_EQ(rbd_close(image), -EIO);
    CHECK_EQ(client->count("image.close"), 1);
    sync_error = 0;
    CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0);
    CHECK_EQ(rbd_write(image, 0, 5, "hello"), 5);
    CHECK_EQ(rbd_close(image), 0);
  });
}

void test_quiesce() {
  tap::test("an image is made durable before a snapshot also where another client holds the lock since it was written", [] {
    auto client = std::make_shared<FakeClient>(mib);
    cbd::rados::IoCtx io = pool_of(client);
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0);
    CHECK_EQ(rbd_write(image, 0, 5, "hello"), 5);
    cbd::control::Listener& listener = *client->last_listener();
    listener.on_call("image.lockTaken", cbd::control::Json::object(), {}, {});
    sync_error = EIO;
    int error = 1;
    listener.on_call("image.quiesce", cbd::control::Json::object(), {}, [&](int code, const cbd::control::Json&) { error = code; });
    CHECK_EQ(error, -EIO);
    sync_error = 0;
    listener.on_call("image.resume", {{"state", client->state()}}, {}, {});
    rbd_close(image);
  });
}

void test_image_gone() {
  tap::test("when the image is gone after a reconnect, flushes fail as writes do, and closing writes nothing", [] {
    auto client = std::make_shared<FakeClient>(mib);
    cbd::rados::IoCtx io = pool_of(client);
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0);
    CHECK_EQ(rbd_write(image, 0, 5, "hello"), 5);
    client->set_answer("image.attach", [](const cbd::control::Json&) { return FakeClient::error(-ENOENT); });
    client->last_listener()->on_reconnect();
    CHECK_EQ(rbd_write(image, 0, 5, "again"), -ESHUTDOWN);
    CHECK_EQ(rbd_flush(image), -ESHUTDOWN);
    sync_error = EIO;
    CHECK_EQ(rbd_close(image), 0);
    sync_error = 0;
  });
}

}  // namespace

extern "C" {

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  const int error = sync_error;
  if (!error) return __real_fdatasync(fd);
  errno = error;
  return -1;
}

// io_uring's own fdatasync cannot be led here, so nobody has it.
int __wrap_io_uring_queue_init_params(unsigned, void*, void*) { return -ENOSYS; }

}  // extern "C"

int main() {
  test_flushes();
  test_losses();
  test_close();
  test_quiesce();
  test_image_gone();
  return tap::finish();
}
