// Requests around the page cache that the client's own thread gives to the kernel and finishes (IoRing::start_direct,
// listen, help), as a client with rbd_set_image_notification has them.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "block/align.h"
#include "block/support.h"
#include "block/volume_file.h"
#include "tap.h"

using namespace cbd;
using namespace cbd::block;
using namespace cbd::block::test;

// How long this thread is held up behind each eventfd_write, as a busy machine holds up whom it likes.
static thread_local std::chrono::milliseconds held_up{0};

// Stands before libc's: the ring wakes its thread with it.
extern "C" int eventfd_write(int fd, eventfd_t count) {
  const ssize_t wrote = write(fd, &count, sizeof count);
  if (held_up.count() > 0) std::this_thread::sleep_for(held_up);
  return wrote == static_cast<ssize_t>(sizeof count) ? 0 : -1;
}

namespace {

constexpr uint64_t mib = 1024 * 1024;
constexpr uint64_t size = 16 * mib;
constexpr uint64_t page = 4096;

struct PageMemory {
  std::byte* at = static_cast<std::byte*>(std::aligned_alloc(page, page));
  PageMemory() = default;
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;
  ~PageMemory() { std::free(at); }
};

// A client who listens to an eventfd, as fio does: one count for each request that ended, then a look.
struct Client {
  // Closed after the ring's thread has ended, which may raise it last.
  UniqueFd event{eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK)};
  std::shared_ptr<IoRing> ring = std::make_shared<IoRing>();
  FileVolume volume{temporary_file(), size, ring, {.direct = true}};
  Align align{volume, size};
  std::atomic<int> running{0}, overlaps{0}, ended{0}, failed{0}, ended_on_client{0};
  // Requests whose end the kernel has not told, or tells only us.
  std::atomic<int> told_by_us{0};
  const std::thread::id client_thread = std::this_thread::get_id();

  struct One {
    Request request;
    iovec iov;
    PageMemory memory;
    Client* client = nullptr;
    void (*then)(One&) = nullptr;
    std::atomic<bool> is_over{false};
  };

  Client() { ring->listen(event.get()); }

  void go(One& one, Op op, uint64_t offset, uint64_t length = page) {
    one.client = this;
    one.is_over = false;
    one.iov = {one.memory.at, length};
    one.request.op = op;
    one.request.may_block = false;
    one.request.raises_listened = true;
    one.request.was_raised = false;
    one.request.offset = offset;
    one.request.length = length;
    one.request.iov = &one.iov;
    one.request.iovcnt = 1;
    one.request.context = &one;
    one.request.done = [](Request* self, int result) {
      auto* o = static_cast<One*>(self->context);
      if (result) ++o->client->failed;
      self->done = [](Request* r, int) { static_cast<One*>(r->context)->client->finish(*static_cast<One*>(r->context)); };
      o->client->ring->complete(*self, 0);
    };
    align.submit(one.request);
  }

  void finish(One& one) {
    if (running.fetch_add(1)) ++overlaps;
    if (std::this_thread::get_id() == client_thread) ++ended_on_client;
    if (one.then) one.then(one);
    running.fetch_sub(1);
    const bool tell = !one.request.was_raised;
    one.is_over = true;
    ended.fetch_add(1);
    ended.notify_all();
    if (tell) {
      ++told_by_us;
      eventfd_write(event.get(), 1);
    }
  }

  // Waits as fio does until one more has ended.
  void wait_for(One& one) {
    while (!one.is_over) {
      pollfd wait{event.get(), POLLIN, 0};
      poll(&wait, 1, -1);
      ring->help();
    }
    eventfd_t count;
    CHECK_EQ(eventfd_read(event.get(), &count), 0);
  }
};

}  // namespace

int main() {
  Client probe;
  if (!probe.volume.is_direct()) {
    tap::skip("a client finishes its own requests", "this folder's file system has no O_DIRECT");
    return tap::finish();
  }

  tap::test("one request at a time: each raises the client's eventfd once and ends on the client's thread or the ring's", [] {
    Client client;
    Client::One one;
    for (uint64_t round = 0; round < 3; ++round) {
      // The first time through, the file is one hole, where the kernel would have had to wait.
      for (uint64_t offset = 0; offset < 2 * mib; offset += page) {
        std::memset(one.memory.at, static_cast<int>(offset / page + round), page);
        client.go(one, Op::write, offset);
        client.wait_for(one);
      }
      for (uint64_t offset = 0; offset < 2 * mib; offset += page) {
        client.go(one, Op::read, offset);
        client.wait_for(one);
        CHECK_EQ(static_cast<unsigned>(one.memory.at[17]), (offset / page + round) & 0xff);
      }
    }
    CHECK_EQ(client.failed, 0);
    CHECK_EQ(client.overlaps, 0);
    CHECK(client.ended_on_client > 0);
    CHECK(client.told_by_us < client.ended);
    // Not one count too many.
    eventfd_t count;
    CHECK_EQ(eventfd_read(client.event.get(), &count), -1);
  });

  tap::test("a client who listens but never looks is called back all the same", [] {
    Client client;
    Client::One one;
    for (uint64_t n = 0; n < 200; ++n) {
      client.go(one, n % 2 ? Op::read : Op::write, n / 2 * page);
      client.ended.wait(static_cast<int>(n));
      while (client.ended <= static_cast<int>(n)) client.ended.wait(static_cast<int>(n));
    }
    CHECK_EQ(client.failed, 0);
  });

  tap::test("he is called back where he is held up for some ticks before the kernel has his request", [] {
    Client client;
    Client::One one;
    held_up = std::chrono::milliseconds(10);
    for (int n = 0; n < 5; ++n) {
      client.go(one, n % 2 ? Op::read : Op::write, static_cast<uint64_t>(n) / 2 * page);
      while (client.ended <= n) client.ended.wait(n);
      // The ring's thread has nothing more to look for, and stops.
      std::this_thread::sleep_for(held_up);
    }
    held_up = std::chrono::milliseconds(0);
    CHECK_EQ(client.failed, 0);
  });

  tap::test("many at once, aligned and not, with several threads that help: data right, no two callbacks at once", [] {
    Client client;
    constexpr int depth = 24, rounds = 150;
    std::vector<std::thread> threads;
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    for (int h = 0; h < 2; ++h) {
      threads.emplace_back([&] {
        while (!stop) {
          pollfd wait{client.event.get(), POLLIN, 0};
          poll(&wait, 1, 1);
          eventfd_t count;
          eventfd_read(client.event.get(), &count);
          client.ring->help();
        }
      });
    }
    std::vector<std::thread> writers;
    for (int w = 0; w < 2; ++w) {
      writers.emplace_back([&, w] {
        std::vector<Client::One> ones(depth);
        for (int round = 0; round < rounds; ++round) {
          const bool reads = round % 2;
          for (int i = 0; i < depth; ++i) {
            const uint64_t slot = static_cast<uint64_t>(w * depth + i) * page;
            // Odd requests lie off the blocks, so that neighbours share one.
            const uint64_t length = i % 3 ? page : 512 * (1 + static_cast<uint64_t>(i) % 7) - 8;
            const uint64_t offset = i % 3 ? slot : slot + 4;
            if (reads) {
              std::memset(ones[i].memory.at, 0xee, page);
            } else {
              std::memset(ones[i].memory.at, (round + i) & 0x7f, page);
            }
            client.go(ones[i], reads ? Op::read : Op::write, offset, length);
          }
          for (int i = 0; i < depth; ++i) {
            while (!ones[i].is_over) {
              const int seen = client.ended;
              if (!ones[i].is_over) client.ended.wait(seen);
            }
            if (reads && static_cast<int>(ones[i].memory.at[9]) != ((round - 1 + i) & 0x7f)) ++wrong;
          }
        }
      });
    }
    for (auto& writer : writers) writer.join();
    stop = true;
    for (auto& thread : threads) thread.join();
    CHECK_EQ(client.ended, 2 * depth * rounds);
    CHECK_EQ(client.failed, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(client.overlaps, 0);
  });

  tap::test("a callback that runs on the client's thread may wait for I/O of its own", [] {
    Client client;
    Client::One one;
    one.then = [](Client::One& self) {
      Sync sync(self.client->align, self.client->ring);
      const Bytes data = pattern(3000, 7);
      CHECK_EQ(sync.write(mib + 100, data.data(), data.size()), 0);
      CHECK(sync.bytes(mib + 100, data.size()) == data);
      CHECK_EQ(sync.flush(), 0);
    };
    for (int n = 0; n < 50; ++n) {
      client.go(one, Op::write, static_cast<uint64_t>(n) * page);
      client.wait_for(one);
    }
    CHECK_EQ(client.failed, 0);
    CHECK_EQ(client.overlaps, 0);
  });
  return tap::finish();
}
