// An image's I/O when the daemon's messages cannot be used: two processes' worth of ImageIo over one cow layer.
#include "rbd/image_io.h"

#include <cerrno>
#include <future>
#include <thread>

#include "rbd/layer_parts.h"
#include "tap.h"

using cbd::block::Op;
using cbd::rbd::ImageIo;
using cbd::rbd::IoRequest;
using cbd::rbd::LayerState;
using cbd::rbd::Own;
using namespace cbd::test;

namespace {

// One process's side of the image; it is never given leave that the test did not give.
struct Side {
  ImageIo io;
  explicit Side(ImageIo::HasHeard has_heard = {})
      : io(false, [this](bool) { io.refuse(-EROFS); }, {[](const std::string&) { return cbd::block::nebd::AskLeave(); }, {}}, std::move(has_heard)) {}

  int take(const Volume& volume, Own own) { return io.set_layers({cow("head")}, volume.open(), image_size, own); }
  int transfer(Op op, char* memory) {
    iovec vector = {memory, 4096};
    IoRequest request;
    request.op = op;
    request.offset = mib;
    request.length = 4096;
    request.iov = &vector;
    request.iovcnt = 1;
    return io.run(request);
  }
  int write(char byte) {
    std::vector<char> data(4096, byte);
    return transfer(Op::write, data.data());
  }
  // The byte that is read, or -errno.
  int read() {
    std::vector<char> data(4096, '?');
    const int error = transfer(Op::read, data.data());
    return error != 0 ? error : data[17];
  }
};

// One for whom something lies there that the daemon said, and who is told so once.
struct Pausing : Side {
  std::promise<std::function<void()>> asked;
  Pausing() : Side([this](std::function<void()> go_on) {
    asked.set_value(std::move(go_on));
    return false;
  }) {}
};

}  // namespace

int main() {
  tap::test("a writer who cannot use a message makes durable what he wrote, and does nothing more without leave", [] {
    Volume volume;
    Side first, second;
    CHECK_EQ(first.take(volume, Own::write), 0);
    CHECK_EQ(first.write('a'), 0);
    CHECK_EQ(first.io.set_layers({cow("newer", false), cow("head")}, {}, image_size, Own::write), -EIO);
    CHECK_EQ(first.io.drop_leave(Own::write), 0);
    CHECK(first.io.own() == Own::none);
    CHECK_EQ(first.write('x'), -EROFS);
    CHECK_EQ(first.read(), -EROFS);
    CHECK_EQ(second.take(volume, Own::write), 0);
    CHECK_EQ(second.read(), 'a');
  });

  tap::test("what he knew of the layer is forgotten, and its volume is not: others may have written meanwhile", [] {
    Volume volume;
    Side first, second;
    CHECK_EQ(first.take(volume, Own::write), 0);
    CHECK_EQ(first.read(), 0);
    CHECK_EQ(first.io.set_layers({cow("newer", false), cow("head")}, {}, image_size, Own::write), -EIO);
    CHECK_EQ(first.io.drop_leave(Own::write), 0);
    CHECK_EQ(second.take(volume, Own::write), 0);
    CHECK_EQ(second.write('b'), 0);
    CHECK_EQ(second.io.give_up(Own::none), 0);
    // The daemon need not send a volume twice.
    CHECK_EQ(first.io.set_layers({cow("head", false)}, {}, image_size, Own::read), 0);
    CHECK_EQ(first.read(), 'b');
  });

  tap::test("a writer who is no longer one leaves the layer alone: another may write to it by now", [] {
    Volume volume;
    Side first, second;
    CHECK_EQ(first.take(volume, Own::write), 0);
    CHECK_EQ(first.write('a'), 0);
    CHECK_EQ(second.take(volume, Own::write), 0);
    CHECK_EQ(first.io.set_layers({cow("newer", false), cow("head")}, {}, image_size, Own::none), -EIO);
    CHECK_EQ(first.io.drop_leave(Own::none), -ESHUTDOWN);
    CHECK_EQ(second.read(), 0);
    CHECK_EQ(first.write('x'), -ESHUTDOWN);
  });

  tap::test("leave to a plain head goes as well: it may be frozen by now", [] {
    Volume volume;
    Side side;
    LayerState plain = cow("head");
    plain.is_cow = false;
    CHECK_EQ(side.io.set_layers({plain}, volume.open(), image_size, Own::shared), 0);
    CHECK_EQ(side.write('a'), 0);
    CHECK_EQ(side.io.drop_leave(Own::shared), 0);
    CHECK_EQ(side.write('x'), -EROFS);
  });
  tap::test("a read that comes after a pause first lets be taken what the daemon said meanwhile, and holds that up no more", [] {
    Volume volume;
    Pausing side;
    CHECK_EQ(side.take(volume, Own::read), 0);
    int byte = 0;
    std::thread reader([&] { byte = side.read(); });
    std::function<void()> go_on = side.asked.get_future().get();
    CHECK_EQ(side.io.give_up(Own::none), 0);
    go_on();
    reader.join();
    CHECK_EQ(byte, -EROFS);
  });

  return tap::finish();
}
