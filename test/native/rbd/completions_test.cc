// Completions, the event socket and the image's I/O, through the C functions, over a file without a daemon.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>
#include <semaphore>
#include <thread>
#include <vector>

#include "abi/ceph_api.h"
#include "rbd/fake_client.h"
#include "tap.h"

using cbd::test::FakeClient;

namespace {

constexpr uint64_t kSize = (10 << 20) + 512;

struct Fixture {
  explicit Fixture(uint64_t size = kSize) : client(std::make_shared<FakeClient>(size)), io(cbd::test::pool_of(client)) {
    open();
  }
  ~Fixture() {
    if (image != nullptr) rbd_close(image);
  }
  void open() { CHECK_EQ(rbd_open(&io, "image", &image, nullptr), 0); }
  void close() {
    CHECK_EQ(rbd_close(image), 0);
    image = nullptr;
  }
  std::shared_ptr<FakeClient> client;
  cbd::rados::IoCtx io;
  rbd_image_t image = nullptr;
};

struct Seen {
  rbd_image_t image = nullptr;
  std::atomic<int> calls{0};
  std::atomic<int> complete_inside{-1};
  std::thread::id thread;
  std::counting_semaphore<> done{0};
};

void see(rbd_completion_t c, void* arg) {
  auto& seen = *static_cast<Seen*>(arg);
  seen.calls++;
  seen.complete_inside = rbd_aio_is_complete(c);
  seen.thread = std::this_thread::get_id();
  seen.done.release();
}

rbd_completion_t make(Seen& seen, rbd_callback_t callback = see) {
  rbd_completion_t c = nullptr;
  CHECK_EQ(rbd_aio_create_completion(&seen, callback, &c), 0);
  return c;
}

void test_callbacks() {
  tap::test("a callback runs once, on another thread, and finds its completion complete", [] {
    Fixture f;
    Seen seen;
    std::vector<char> data(4096, 'a');
    rbd_completion_t c = make(seen);
    CHECK_EQ(rbd_aio_is_complete(c), 0);
    CHECK_EQ(rbd_aio_write(f.image, 0, data.size(), data.data(), c), 0);
    CHECK_EQ(rbd_aio_wait_for_complete(c), 0);
    CHECK_EQ(seen.calls.load(), 1);
    CHECK_EQ(seen.complete_inside.load(), 1);
    CHECK(seen.thread != std::this_thread::get_id());
    CHECK_EQ(rbd_aio_get_return_value(c), 0);
    CHECK_EQ(rbd_aio_get_arg(c), static_cast<void*>(&seen));
    rbd_aio_release(c);
    c = make(seen);
    CHECK_EQ(rbd_aio_read(f.image, 0, data.size(), data.data(), c), 0);
    rbd_aio_wait_for_complete(c);
    CHECK_EQ(rbd_aio_get_return_value(c), 4096);
    rbd_aio_release(c);
  });

  tap::test("a completion may be released before its end and inside its callback", [] {
    Fixture f;
    Seen seen;
    std::vector<char> data(512, 'b');
    rbd_completion_t c = make(seen);
    CHECK_EQ(rbd_aio_write(f.image, 0, data.size(), data.data(), c), 0);
    rbd_aio_release(c);
    seen.done.acquire();
    c = make(seen, [](rbd_completion_t self, void* arg) {
      rbd_aio_release(self);
      see(self, arg);
    });
    // see() looks at the completion after the release: the call under way still holds it.
    CHECK_EQ(rbd_aio_write(f.image, 0, data.size(), data.data(), c), 0);
    seen.done.acquire();
    CHECK_EQ(seen.calls.load(), 2);
  });

  tap::test("inside a callback new I/O can be started, read synchronously and waited for", [] {
    Fixture f;
    Seen seen;
    seen.image = f.image;
    std::vector<char> data(512, 'c');
    rbd_completion_t c = make(seen, [](rbd_completion_t, void* arg) {
      auto& s = *static_cast<Seen*>(arg);
      char buffer[512];
      CHECK_EQ(rbd_read(s.image, 0, sizeof buffer, buffer), 512);
      CHECK_EQ(buffer[511], 'c');
      CHECK_EQ(rbd_flush(s.image), 0);
      rbd_completion_t inner = nullptr;
      rbd_aio_create_completion(nullptr, nullptr, &inner);
      CHECK_EQ(rbd_aio_read(s.image, 0, sizeof buffer, buffer, inner), 0);
      rbd_aio_wait_for_complete(inner);
      CHECK_EQ(rbd_aio_get_return_value(inner), 512);
      rbd_aio_release(inner);
      rbd_completion_t next = make(s);
      static char later[512];
      CHECK_EQ(rbd_aio_read(s.image, 0, sizeof later, later, next), 0);
      rbd_aio_release(next);
    });
    CHECK_EQ(rbd_aio_write(f.image, 0, data.size(), data.data(), c), 0);
    rbd_aio_wait_for_complete(c);
    rbd_aio_release(c);
    seen.done.acquire();
    CHECK_EQ(seen.calls.load(), 1);
  });

  tap::test("callbacks of one image never run beside one another", [] {
    Fixture f;
    struct Shared {
      std::atomic<int> inside{0}, most{0}, calls{0};
    } shared;
    auto callback = [](rbd_completion_t c, void* arg) {
      auto& s = *static_cast<Shared*>(arg);
      int now = ++s.inside;
      if (now > s.most) s.most = now;
      std::this_thread::yield();
      --s.inside;
      ++s.calls;
      rbd_aio_release(c);
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
      threads.emplace_back([&, t] {
        std::vector<char> data(700, static_cast<char>('0' + t));
        for (int i = 0; i < 200; i++) {
          rbd_completion_t c = nullptr;
          rbd_aio_create_completion(&shared, callback, &c);
          CHECK_EQ(rbd_aio_write(f.image, static_cast<uint64_t>(i * 4 + t) * 700, data.size(), data.data(), c), 0);
        }
        CHECK_EQ(rbd_flush(f.image), 0);
        CHECK_EQ(rbd_write(f.image, kSize - 100, 100, data.data()), 100);
      });
    }
    for (auto& thread : threads) thread.join();
    f.close();
    CHECK_EQ(shared.calls.load(), 800);
    CHECK_EQ(shared.most.load(), 1);
  });
}

void test_closing() {
  tap::test("closing returns after the callbacks have returned", [] {
    Fixture f;
    struct Slow {
      std::binary_semaphore entered{0}, go{0};
      std::atomic<bool> returned{false};
    } slow;
    rbd_completion_t c = nullptr;
    rbd_aio_create_completion(
        &slow,
        [](rbd_completion_t, void* arg) {
          auto& s = *static_cast<Slow*>(arg);
          s.entered.release();
          s.go.acquire();
          s.returned = true;
        },
        &c);
    char byte = 1;
    CHECK_EQ(rbd_aio_write(f.image, 0, 1, &byte, c), 0);
    rbd_aio_release(c);
    slow.entered.acquire();
    std::thread opener([&] { slow.go.release(); });
    f.close();
    CHECK(slow.returned.load());
    opener.join();
    CHECK_EQ(f.client->count("image.close"), 1);
  });

  tap::test("an image can be closed inside its own callback", [] {
    // The image is deleted on a thread of its own after the close; the fixture outlives the test for its sake.
    static Fixture* const f = new Fixture;
    Seen seen;
    seen.image = f->image;
    std::binary_semaphore closed{0};
    f->client->set_answer("image.close", [&](const cbd::control::Json&) {
      closed.release();
      return FakeClient::ok();
    });
    rbd_completion_t c = make(seen, [](rbd_completion_t self, void* arg) {
      auto& s = *static_cast<Seen*>(arg);
      CHECK_EQ(rbd_close(s.image), 0);
      rbd_aio_release(self);
    });
    char byte = 1;
    CHECK_EQ(rbd_aio_write(f->image, 0, 1, &byte, c), 0);
    closed.acquire();
    f->image = nullptr;
  });

  tap::test("aio_open and aio_close end through their completions", [] {
    Fixture f;
    rbd_image_t other = nullptr;
    Seen seen;
    rbd_completion_t c = make(seen);
    CHECK_EQ(rbd_aio_open(&f.io, "image", &other, nullptr, c), 0);
    rbd_aio_wait_for_complete(c);
    CHECK_EQ(rbd_aio_get_return_value(c), 0);
    CHECK(other != nullptr);
    rbd_aio_release(c);
    c = make(seen);
    CHECK_EQ(rbd_aio_close(other, c), 0);
    rbd_aio_wait_for_complete(c);
    rbd_aio_release(c);
    f.client->set_answer("image.open", [](const cbd::control::Json&) { return FakeClient::error(-ENOENT); });
    c = make(seen);
    CHECK_EQ(rbd_aio_open(&f.io, "nope", &other, nullptr, c), 0);
    rbd_aio_wait_for_complete(c);
    CHECK_EQ(rbd_aio_get_return_value(c), -ENOENT);
    rbd_aio_release(c);
  });
}

void test_ranges() {
  tap::test("errors of range arrive through the completion, and ranges across the end are cut", [] {
    Fixture f;
    std::vector<char> data(4096, 'd');
    auto aio = [&](auto&& submit) {
      rbd_completion_t c = nullptr;
      rbd_aio_create_completion(nullptr, nullptr, &c);
      CHECK_EQ(submit(c), 0);
      rbd_aio_wait_for_complete(c);
      ssize_t result = rbd_aio_get_return_value(c);
      rbd_aio_release(c);
      return result;
    };
    CHECK_EQ(aio([&](rbd_completion_t c) { return rbd_aio_read(f.image, kSize, 1, data.data(), c); }), -EINVAL);
    CHECK_EQ(aio([&](rbd_completion_t c) { return rbd_aio_read(f.image, 10 << 20, 4096, data.data(), c); }), 512);
    CHECK_EQ(aio([&](rbd_completion_t c) { return rbd_aio_write(f.image, 10 << 20, 4096, data.data(), c); }), 0);
    CHECK_EQ(aio([&](rbd_completion_t c) { return rbd_aio_read(f.image, kSize + 88, 0, data.data(), c); }), 0);
    CHECK_EQ(aio([&](rbd_completion_t c) { return rbd_aio_discard(f.image, kSize, 1, c); }), -EINVAL);
    CHECK_EQ(rbd_read(f.image, UINT64_MAX, 512, data.data()), -EINVAL);
    CHECK_EQ(rbd_write(f.image, 10 << 20, 4096, data.data()), 512);
    CHECK_EQ(rbd_discard(f.image, 10 << 20, 4096), 512);
    CHECK_EQ(rbd_discard(f.image, 0, 3ULL << 30), -EINVAL);
    CHECK_EQ(rbd_write_zeroes(f.image, 0, 4096, 2, 0), -EINVAL);
    CHECK_EQ(rbd_writesame(f.image, 0, 1000, data.data(), 512, 0), -EINVAL);
    CHECK_EQ(rbd_writesame(f.image, 0, 1500, data.data(), 500, 0), 1500);
    iovec none{};
    rbd_completion_t c = nullptr;
    rbd_aio_create_completion(nullptr, nullptr, &c);
    CHECK_EQ(rbd_aio_readv(f.image, &none, 0, 0, c), -EINVAL);
    CHECK_EQ(rbd_aio_writev(f.image, &none, -1, 0, c), -EINVAL);
    CHECK_EQ(rbd_aio_is_complete(c), 0);
    rbd_aio_release(c);
  });

  tap::test("a discard gives back whole units only, write_zeroes is exact", [] {
    Fixture f;
    std::vector<char> data(256 << 10, 7);
    auto byte = [&](uint64_t at) {
      char b = 0;
      CHECK_EQ(rbd_read(f.image, at, 1, &b), 1);
      return int{b};
    };
    CHECK_EQ(rbd_write(f.image, 0, data.size(), data.data()), static_cast<ssize_t>(data.size()));
    CHECK_EQ(rbd_discard(f.image, 4096, 4096), 4096);
    CHECK_EQ(byte(4096), 7);
    CHECK_EQ(rbd_discard(f.image, 60 << 10, 128 << 10), 128 << 10);
    CHECK_EQ(byte((64 << 10) - 1), 7);
    CHECK_EQ(byte(64 << 10), 0);
    CHECK_EQ(byte((128 << 10) - 1), 0);
    CHECK_EQ(byte(128 << 10), 7);
    CHECK_EQ(byte(188 << 10), 7);
    CHECK_EQ(rbd_write_zeroes(f.image, 10, 100, 0, 0), 100);
    CHECK_EQ(byte(9), 7);
    CHECK_EQ(byte(10), 0);
    CHECK_EQ(byte(109), 0);
    CHECK_EQ(byte(110), 7);
  });

  tap::test("writesame repeats its pattern and compare_and_write says where bytes differ", [] {
    Fixture f;
    std::vector<char> pattern(512), back(300 << 10), other(512, 1);
    for (size_t i = 0; i < pattern.size(); i++) pattern[i] = static_cast<char>(i * 7 + 1);
    CHECK_EQ(rbd_writesame(f.image, 100, back.size(), pattern.data(), pattern.size(), 0),
             static_cast<ssize_t>(back.size()));
    CHECK_EQ(rbd_read(f.image, 100, back.size(), back.data()), static_cast<ssize_t>(back.size()));
    bool is_same = true;
    for (size_t i = 0; i < back.size(); i++) is_same = is_same && back[i] == pattern[i % 512];
    CHECK(is_same);
    uint64_t mismatch = 99;
    CHECK_EQ(rbd_compare_and_write(f.image, 100, 512, pattern.data(), other.data(), &mismatch, 0), 512);
    CHECK_EQ(mismatch, 99u);
    std::vector<char> nearly = other;
    nearly[100] = 2;
    CHECK_EQ(rbd_compare_and_write(f.image, 100, 512, nearly.data(), pattern.data(), &mismatch, 0), -EILSEQ);
    CHECK_EQ(mismatch, 100u);
  });

  tap::test("a smaller image refuses what lies behind its new end, a larger one takes it", [] {
    Fixture f;
    char byte = 5;
    CHECK_EQ(rbd_write(f.image, 8 << 20, 1, &byte), 1);
    f.client->resize(1 << 20);
    uint64_t size = 0;
    CHECK_EQ(rbd_get_size(f.image, &size), 0);
    CHECK_EQ(size, uint64_t{1} << 20);
    CHECK_EQ(rbd_write(f.image, 1 << 20, 1, &byte), -EINVAL);
    f.client->resize(16 << 20);
    CHECK_EQ(rbd_read(f.image, 8 << 20, 1, &byte), 1);
    CHECK_EQ(int{byte}, 0);
    byte = 6;
    CHECK_EQ(rbd_write(f.image, (16 << 20) - 1, 1, &byte), 1);
  });

  tap::test("a lock that another client manages makes writes fail until it is freed", [] {
    Fixture f;
    char byte = 5;
    cbd::control::Listener* listener = f.client->last_listener();
    listener->on_call("image.lockTaken", cbd::control::Json::object(), {}, {});
    CHECK_EQ(rbd_write(f.image, 0, 1, &byte), -EROFS);
    CHECK_EQ(rbd_discard(f.image, 0, 0), -EROFS);
    CHECK_EQ(rbd_read(f.image, 0, 1, &byte), 1);
    listener->on_call("image.lockFreed", cbd::control::Json::object(), {}, {});
    CHECK_EQ(rbd_write(f.image, 0, 1, &byte), 1);
    int owner = 0;
    CHECK_EQ(rbd_is_exclusive_lock_owner(f.image, &owner), 0);
    CHECK_EQ(owner, 1);
    listener->on_call("image.lockMoved", cbd::control::Json::object(), {}, {});
    CHECK_EQ(rbd_is_exclusive_lock_owner(f.image, &owner), 0);
    CHECK_EQ(owner, 0);
  });
}

void test_events() {
  tap::test("the event descriptor counts completions whose callbacks have run", [] {
    Fixture f;
    int fd = eventfd(0, EFD_SEMAPHORE);
    CHECK_EQ(rbd_set_image_notification(f.image, fd, 9), -EINVAL);
    CHECK_EQ(rbd_set_image_notification(f.image, fd, EVENT_TYPE_EVENTFD), 0);
    CHECK_EQ(rbd_set_image_notification(f.image, fd, EVENT_TYPE_EVENTFD), -EINVAL);
    rbd_completion_t fetched[4];
    CHECK_EQ(rbd_poll_io_events(f.image, fetched, 4), 0);
    CHECK_EQ(rbd_poll_io_events(f.image, fetched, 0), -EINVAL);
    std::vector<Seen> seen(3);
    char byte = 1;
    for (Seen& s : seen) CHECK_EQ(rbd_aio_write(f.image, 0, 1, &byte, make(s)), 0);
    for (int i = 0; i < 3; i++) {
      pollfd p{fd, POLLIN, 0};
      CHECK_EQ(poll(&p, 1, 5000), 1);
      uint64_t value = 0;
      CHECK_EQ(read(fd, &value, sizeof value), 8);
      CHECK_EQ(value, 1u);
      CHECK_EQ(rbd_poll_io_events(f.image, fetched, 1), 1);
      CHECK_EQ(static_cast<Seen*>(rbd_aio_get_arg(fetched[0]))->calls.load(), 1);
      rbd_aio_release(fetched[0]);
    }
    CHECK_EQ(rbd_poll_io_events(f.image, fetched, 4), 0);
    f.close();
    ::close(fd);
  });
}

void test_fork() {
  const char* child = "a child uses its parent's image, and the parent goes on";
  auto forks = [] {
    Fixture f;
    Seen seen;
    char byte = 'p';
    rbd_completion_t c = make(seen);
    CHECK_EQ(rbd_aio_write(f.image, 0, 1, &byte, c), 0);
    rbd_aio_wait_for_complete(c);
    rbd_aio_release(c);
    pid_t pid = fork();
    if (pid == 0) {
      char got = 0, mine = 'c';
      bool fine = rbd_read(f.image, 0, 1, &got) == 1 && got == 'p';
      rbd_completion_t own = nullptr;
      rbd_aio_create_completion(nullptr, [](rbd_completion_t, void*) {}, &own);
      fine = fine && rbd_aio_write(f.image, 1, 1, &mine, own) == 0;
      rbd_aio_wait_for_complete(own);
      fine = fine && rbd_aio_get_return_value(own) == 0 && rbd_flush(f.image) == 0;
      _exit(fine ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(rbd_read(f.image, 1, 1, &byte), 1);
    CHECK_EQ(byte, 'c');
    c = make(seen);
    CHECK_EQ(rbd_aio_flush(f.image, c), 0);
    rbd_aio_wait_for_complete(c);
    CHECK_EQ(rbd_aio_get_return_value(c), 0);
    rbd_aio_release(c);
  };
#if defined(__SANITIZE_THREAD__)
  (void)forks;
  tap::skip(child, "ThreadSanitizer does not support threads in the child of a process with threads");
#else
  tap::test(child, forks);
#endif
}

void test_whole_images() {
  tap::test("a copy into an image that held something else is equal to its source", [] {
    Fixture from, to;
    std::vector<char> data(3 << 20), a(kSize), b(kSize);
    for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>((i / 5000) % 3 ? i * 31 : 0);
    CHECK_EQ(rbd_write(from.image, 2000000, data.size(), data.data()), static_cast<ssize_t>(data.size()));
    CHECK_EQ(rbd_write(from.image, kSize - 10, 10, "0123456789"), 10);
    for (uint64_t at = 0; at < kSize; at += data.size()) rbd_write(to.image, at, data.size(), data.data());
    from.client->set_answer("image.metadata.list", [](const cbd::control::Json&) {
      return FakeClient::ok({{"entries", cbd::control::Json::array()}});
    });
    CHECK_EQ(rbd_copy2(from.image, to.image), 0);
    CHECK_EQ(rbd_read(from.image, 0, kSize, a.data()), static_cast<ssize_t>(kSize));
    CHECK_EQ(rbd_read(to.image, 0, kSize, b.data()), static_cast<ssize_t>(kSize));
    CHECK(a == b);
    CHECK_EQ(rbd_copy_with_progress2(from.image, to.image, [](uint64_t, uint64_t, void*) { return -1; }, nullptr),
             -ECANCELED);
  });

  tap::test("sparsify gives zeroes back and leaves everything else", [] {
    Fixture f;
    // As the daemon does it: nobody else writes here.
    uint64_t asked = 0;
    f.client->set_answer("image.sparsify", [&](const cbd::control::Json& params) {
      const auto ranges = params.at("ranges").get<std::vector<off_t>>();
      for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
        asked += static_cast<uint64_t>(ranges[i + 1]);
        if (fallocate(f.client->file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ranges[i], ranges[i + 1]) != 0) return FakeClient::error(-errno);
      }
      return FakeClient::ok({{"by", "daemon"}});
    });
    std::vector<char> data(8 << 20, 0), back(8 << 20);
    memset(data.data() + (5 << 20), 9, 4096);
    CHECK_EQ(rbd_write(f.image, 0, data.size(), data.data()), static_cast<ssize_t>(data.size()));
    CHECK_EQ(rbd_sparsify(f.image, 1000), -EINVAL);
    CHECK_EQ(rbd_sparsify(f.image, 8 << 20), -EINVAL);
    CHECK_EQ(asked, uint64_t{0});
    CHECK_EQ(rbd_sparsify(f.image, 64 << 10), 0);
    CHECK_EQ(asked, (uint64_t{8} << 20) - (64 << 10));
    CHECK_EQ(rbd_read(f.image, 0, back.size(), back.data()), static_cast<ssize_t>(back.size()));
    CHECK(data == back);
    struct Held {
      uint64_t bytes = 0;
    } held;
    auto add = [](uint64_t, size_t length, int exists, void* arg) {
      static_cast<Held*>(arg)->bytes += exists ? length : 0;
      return 0;
    };
    CHECK_EQ(rbd_diff_iterate2(f.image, nullptr, 0, 8 << 20, 1, 0, add, &held), 0);
    CHECK_EQ(held.bytes, uint64_t{64 << 10});
    held.bytes = 0;
    CHECK_EQ(rbd_diff_iterate2(f.image, nullptr, 0, 8 << 20, 1, 1, add, &held), 0);
    CHECK_EQ(held.bytes, uint64_t{4 << 20});
    CHECK_EQ(rbd_diff_iterate2(f.image, nullptr, 0, 8 << 20, 1, 1, [](uint64_t, size_t, int, void*) { return -9000; }, nullptr),
             -9000);
  });
}

}  // namespace

int main() {
  test_callbacks();
  test_closing();
  test_ranges();
  test_events();
  test_fork();
  test_whole_images();
  return tap::finish();
}
