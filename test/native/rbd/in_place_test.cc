// What librbd hands to the kernel of a write on CurveBS is the caller's own memory: the kernel's copy into the socket is the only one. An
// asynchronous write's is copied before where rbd_disable_zero_copy_writes says so, as it does by default.
// Looks at every sendmsg of this process, ours being found before the C library's.
#include <dlfcn.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "rbd/served.h"
#include "tap.h"

namespace {

constexpr uint64_t block = 4096;
constexpr uint64_t mib = 1 << 20;

// The memory that is looked for, and what has been sent since: from it, and from anywhere else.
std::atomic<uintptr_t> begin, end;
std::atomic<uint64_t> own, other;

}  // namespace

extern "C" __attribute__((visibility("default"))) ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  using Function = ssize_t (*)(int, const msghdr*, int);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "sendmsg"));
  const ssize_t sent = real(fd, message, flags);
  size_t left = sent > 0 ? static_cast<size_t>(sent) : 0;
  for (size_t i = 0; left > 0; ++i) {
    const iovec& piece = message->msg_iov[i];
    const size_t bytes = std::min(left, piece.iov_len);
    const auto at = reinterpret_cast<uintptr_t>(piece.iov_base);
    (at >= begin && at + bytes <= end ? own : other) += bytes;
    left -= bytes;
  }
  return sent;
}

namespace {

struct Sent {
  uint64_t own, other;
};

// What is sent of `memory`, and of everything else, while that is done.
template <class Work>
Sent sent_while(const std::vector<char>& memory, Work work) {
  begin = reinterpret_cast<uintptr_t>(memory.data());
  end = begin + memory.size();
  own = other = 0;
  work();
  const Sent sent{own, other};
  end = begin = 0;
  return sent;
}

// The heads of a few frames, a flush of a map, a request to the daemon: what may go with a write without being its data.
constexpr uint64_t beside = 8 * block;

int wait(rbd_completion_t completion) {
  rbd_aio_wait_for_complete(completion);
  const auto result = static_cast<int>(rbd_aio_get_return_value(completion));
  rbd_aio_release(completion);
  return result;
}

rbd_completion_t completion() {
  rbd_completion_t made = nullptr;
  CHECK_EQ(rbd_aio_create_completion(nullptr, nullptr, &made), 0);
  return made;
}

struct Client {
  rados_t cluster = nullptr;
  rados_ioctx_t io = nullptr;

  Client(const std::string& conf, const char* disables_zero_copy) {
    CHECK_EQ(rados_create(&cluster, "admin"), 0);
    CHECK_EQ(rados_conf_read_file(cluster, conf.c_str()), 0);
    CHECK_EQ(rados_conf_set(cluster, "rbd_disable_zero_copy_writes", disables_zero_copy), 0);
    CHECK_EQ(rados_connect(cluster), 0);
    CHECK_EQ(rados_ioctx_create(cluster, "rbd", &io), 0);
  }
  ~Client() {
    rados_ioctx_destroy(io);
    rados_shutdown(cluster);
  }
};

Sent write_now(rbd_image_t image, uint64_t offset, const std::vector<char>& data) {
  return sent_while(data, [&] { CHECK_EQ(rbd_write(image, offset, data.size(), data.data()), static_cast<ssize_t>(data.size())); });
}

Sent write_later(rbd_image_t image, uint64_t offset, const std::vector<char>& data) {
  return sent_while(data, [&] {
    rbd_completion_t done = completion();
    CHECK_EQ(rbd_aio_write(image, offset, data.size(), data.data(), done), 0);
    CHECK_EQ(wait(done), 0);
  });
}

// As many pieces, none of whole blocks.
Sent write_pieces(rbd_image_t image, uint64_t offset, const std::vector<char>& data) {
  constexpr size_t piece = 100000;
  return sent_while(data, [&] {
    std::vector<iovec> pieces;
    for (size_t at = 0; at < data.size(); at += piece) pieces.push_back({const_cast<char*>(data.data()) + at, std::min(piece, data.size() - at)});
    rbd_completion_t done = completion();
    CHECK_EQ(rbd_aio_writev(image, pieces.data(), static_cast<int>(pieces.size()), offset, done), 0);
    CHECK_EQ(wait(done), 0);
  });
}

void check_in_place(const Sent& sent, const std::vector<char>& data) {
  CHECK_EQ(sent.own, data.size());
  CHECK(sent.other < beside);
}

void write_in_each_way(rbd_image_t image) {
  const std::vector<char> data(4 * mib, 'x');
  check_in_place(write_now(image, 0, data), data);
  check_in_place(write_later(image, 8 * mib, data), data);
  check_in_place(write_pieces(image, 16 * mib, data), data);
  // What is missing of the blocks at both ends is put around it.
  check_in_place(write_now(image, 24 * mib + 777, data), data);
}

rbd_image_t opened(rados_ioctx_t io, const char* name) {
  rbd_image_t image = nullptr;
  CHECK_EQ(rbd_open(io, name, &image, nullptr), 0);
  return image;
}

}  // namespace

int main() {
  const cbd::test::Served served("curvebs");
  const Client client(served.conf(), "false");
  rados_ioctx_t io = client.io;
  tap::test("a write is handed to the kernel from where the caller has its data", [&] {
    int order = 0;
    CHECK_EQ(rbd_create2(io, "plain", 64 * mib, RBD_FEATURE_LAYERING, &order), 0);
    rbd_image_t image = opened(io, "plain");
    write_in_each_way(image);
    CHECK_EQ(rbd_snap_create(image, "snap"), 0);
    CHECK_EQ(rbd_snap_protect(image, "snap"), 0);
    CHECK_EQ(rbd_close(image), 0);
  });
  tap::test("so is a write to a clone", [&] {
    int order = 0;
    CHECK_EQ(rbd_clone(io, "plain", "snap", io, "clone", RBD_FEATURE_LAYERING, &order), 0);
    rbd_image_t image = opened(io, "clone");
    // The first one makes the clone a volume of its own.
    CHECK_EQ(rbd_write(image, 60 * mib, 1, "x"), 1);
    write_in_each_way(image);
    CHECK_EQ(rbd_close(image), 0);
  });
  tap::test("with rbd_disable_zero_copy_writes only the asynchronous ones are copied, once", [&] {
    const Client copying(served.conf(), "true");
    rbd_image_t image = opened(copying.io, "plain");
    const std::vector<char> data(4 * mib, 'y');
    check_in_place(write_now(image, 0, data), data);
    for (const Sent& sent : {write_later(image, 0, data), write_pieces(image, 0, data)}) {
      CHECK_EQ(sent.own, 0u);
      CHECK(sent.other >= data.size() && sent.other < data.size() + beside);
    }
    CHECK_EQ(rbd_close(image), 0);
  });
  return tap::finish();
}
