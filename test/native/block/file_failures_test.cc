// FileVolume over a kernel that fails: the linker leads its system calls through here (see CMakeLists.txt).
#include <errno.h>
#include <sys/uio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "block/support.h"
#include "block/volume_file.h"
#include "tap.h"

using namespace cbd;
using namespace cbd::block;
using namespace cbd::block::test;

namespace {

constexpr uint64_t mib = 1024 * 1024;

std::atomic<int> sync_error{0};           // what the next fdatasync() gives; 0: what the kernel says
std::atomic<bool> cache_is_silent{false};  // preadv2() with RWF_NOWAIT gives 0

struct Open {
  std::shared_ptr<IoRing> ring = std::make_shared<IoRing>(IoRing::Options{.force_threads = true});
  FileVolume volume{temporary_file(), mib, ring};
  Sync sync{volume, ring};
};

// One that does not block the submitter, and its result.
int run_apart(Open& open, Op op, void* memory = nullptr, uint64_t length = 0) {
  struct Ended {
    std::atomic<int> is_over{0};
    int result = 0;
  } ended;
  const iovec iov{memory, length};
  Request request;
  request.op = op;
  request.length = length;
  request.iov = &iov;
  request.iovcnt = memory ? 1 : 0;
  request.context = &ended;
  request.done = [](Request* self, int result) {
    auto* e = static_cast<Ended*>(self->context);
    e->result = result;
    e->is_over = 1;
    e->is_over.notify_one();
  };
  open.volume.submit(request);
  ended.is_over.wait(0);
  return ended.result;
}

}  // namespace

extern "C" {

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  const int error = sync_error.exchange(0);
  if (!error) return __real_fdatasync(fd);
  errno = error;
  return -1;
}

ssize_t __real_preadv2(int fd, const iovec* iov, int count, off_t offset, int flags);
ssize_t __wrap_preadv2(int fd, const iovec* iov, int count, off_t offset, int flags) {
  if (cache_is_silent && (flags & RWF_NOWAIT)) return 0;
  return __real_preadv2(fd, iov, count, offset, flags);
}

}  // extern "C"

int main() {
  tap::test("after a flush that failed none succeeds any more, for the kernel has forgotten which data was lost", [] {
    Open open;
    const Bytes data = pattern(4096, 1);
    CHECK_EQ(open.sync.write(0, data.data(), data.size()), 0);
    sync_error = EIO;
    CHECK_EQ(open.sync.flush(), -EIO);
    CHECK_EQ(open.sync.flush(), -EIO);
    CHECK_EQ(run_apart(open, Op::flush), -EIO);
    // What is there can be read still.
    CHECK(open.sync.bytes(0, data.size()) == data);
  });

  tap::test("a flush that another thread carries out is remembered in the same way", [] {
    Open open;
    sync_error = ENOSPC;
    CHECK_EQ(run_apart(open, Op::flush), -ENOSPC);
    CHECK_EQ(run_apart(open, Op::flush), -ENOSPC);
    CHECK_EQ(open.sync.flush(), -ENOSPC);
  });

  tap::test("a flush that a signal cut short has not failed", [] {
    Open open;
    sync_error = EINTR;
    CHECK_EQ(open.sync.flush(), 0);
    CHECK_EQ(open.sync.flush(), 0);
  });

  tap::test("a flush fails where another file stands in the volume's place: nobody will see what it made durable", [] {
    char path[] = "/tmp/cbd-fenced-XXXXXX";
    UniqueFd fd(mkstemp(path));
    const std::string copy = std::string(path) + ".copy";
    UniqueFd other(open(copy.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    auto ring = std::make_shared<IoRing>();
    FileVolume volume(std::move(fd), mib, ring);
    Sync sync(volume, ring);
    const Bytes data = pattern(4096, 3);
    CHECK_EQ(sync.write(0, data.data(), data.size()), 0);
    CHECK_EQ(sync.flush(), 0);
    CHECK_EQ(rename(copy.c_str(), path), 0);
    CHECK_EQ(sync.flush(), -ESHUTDOWN);
    CHECK_EQ(sync.flush(), -ESHUTDOWN);
    unlink(path);
  });

  tap::test("a flush fails, too, where the file is only marked as one that is being copied away from its writer", [] {
    char path[] = "/tmp/cbd-fenced-XXXXXX";
    UniqueFd fd(mkstemp(path));
    auto ring = std::make_shared<IoRing>();
    FileVolume volume(std::move(fd), mib, ring);
    Sync sync(volume, ring);
    CHECK_EQ(sync.flush(), 0);
    CHECK_EQ(chmod(path, 0600 | S_ISVTX), 0);
    CHECK_EQ(sync.flush(), -ESHUTDOWN);
    unlink(path);
  });

  // Linux 5.9 and 5.10 do that.
  tap::test("where a look into the page cache gives nothing the data is read, not taken for the file's end", [] {
    Open open;
    const Bytes data = pattern(8192, 2);
    CHECK_EQ(open.sync.write(0, data.data(), data.size()), 0);
    cache_is_silent = true;
    Bytes read(data.size());
    CHECK_EQ(run_apart(open, Op::read, read.data(), read.size()), 0);
    cache_is_silent = false;
    CHECK(read == data);
  });
  return tap::finish();
}
