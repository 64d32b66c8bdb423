// Requests for images on a real Ceph, carried from our handles to its library's and back, by many threads at once.
#include <pthread.h>
#include <rbd/librbd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "pool_there.h"
#include "tap.h"

namespace {

void count(rbd_completion_t completion, void* counter) {
  if (rbd_aio_is_complete(completion) == 1) static_cast<std::atomic<int>*>(counter)->fetch_add(1);
}

rbd_completion_t completion_for(std::atomic<int>& counter) {
  rbd_completion_t made = nullptr;
  rbd_aio_create_completion(&counter, count, &made);
  return made;
}

// So many writes that are under way, and their completions.
std::vector<rbd_completion_t> write_many(rbd_image_t image, int count, std::atomic<int>& called) {
  std::vector<rbd_completion_t> mine;
  for (int at = 0; at < count; at++) {
    mine.push_back(completion_for(called));
    CHECK_EQ(rbd_aio_write(image, 64 * at, 1, "y", mine.back()), 0);
  }
  return mine;
}

ssize_t end_of(rbd_completion_t completion) {
  rbd_aio_wait_for_complete(completion);
  const ssize_t result = rbd_aio_get_return_value(completion);
  rbd_aio_release(completion);
  return result;
}

}  // namespace

int main() {
  setenv("CBD2RBD_CEPH_LIBS", STAND_IN, 1);

  // The first test: what it needs is the first call.
  tap::test("a thread with a small stack may be the first who needs the library", [] {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 << 10);
    pthread_t thread;
    const auto open_and_close = [](void*) -> void* {
      Place place;
      rbd_image_t image = nullptr;
      CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
      CHECK_EQ(rbd_close(image), 0);
      return nullptr;
    };
    CHECK_EQ(pthread_create(&thread, &attributes, open_and_close, nullptr), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
  });

  tap::test("the first calls of many threads load the library, and each image is written, read and closed", [] {
    Place place;
    std::vector<std::thread> threads;
    for (int at = 0; at < 8; at++) {
      threads.emplace_back([&place, at] {
        rbd_image_t image = nullptr;
        CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
        std::atomic<int> called{0};
        char text[64], back[64];
        for (int round = 0; round < 50; round++) {
          memset(text, 'a' + (at + round) % 26, sizeof text);
          rbd_completion_t writing = completion_for(called);
          CHECK_EQ(rbd_aio_write(image, 4096 * round, sizeof text, text, writing), 0);
          CHECK_EQ(end_of(writing), 0);
          rbd_completion_t reading = completion_for(called);
          CHECK_EQ(rbd_aio_read(image, 4096 * round, sizeof back, back, reading), 0);
          CHECK_EQ(end_of(reading), static_cast<ssize_t>(sizeof back));
          CHECK(memcmp(text, back, sizeof text) == 0);
        }
        CHECK_EQ(called.load(), 100);
        CHECK_EQ(rbd_close(image), 0);
      });
    }
    for (std::thread& thread : threads) thread.join();
  });

  tap::test("a request that is refused at the call has no callback; one that fails later has one", [] {
    Place place;
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
    std::atomic<int> called{0};
    rbd_completion_t refused = completion_for(called);
    CHECK_EQ(rbd_aio_write(image, 1, 1, "x", refused), -EROFS);
    rbd_aio_release(refused);
    CHECK_EQ(called.load(), 0);
    rbd_completion_t failed = completion_for(called);
    CHECK_EQ(rbd_aio_write(image, 1 << 20, 1, "x", failed), 0);
    CHECK_EQ(end_of(failed), -EINVAL);
    CHECK_EQ(called.load(), 1);
    CHECK_EQ(rbd_close(image), 0);
    CHECK_EQ(rbd_open(&place.io, "none", &image, nullptr), -ENOENT);
  });

  tap::test("polled completions are ours, each once", [] {
    Place place;
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
    CHECK_EQ(rbd_set_image_notification(image, 0, 0), 0);
    std::atomic<int> called{0};
    std::vector<rbd_completion_t> mine = write_many(image, 32, called);
    size_t polled = 0;
    while (polled < mine.size()) {
      rbd_completion_t found[8];
      const int got = rbd_poll_io_events(image, found, 8);
      for (int at = 0; at < got; at++) {
        const auto place_of = std::find(mine.begin(), mine.end(), found[at]);
        CHECK(place_of != mine.end());
        rbd_aio_release(found[at]);
        *place_of = nullptr;
        polled++;
      }
      if (got == 0) std::this_thread::yield();
    }
    CHECK_EQ(called.load(), 32);
    CHECK_EQ(rbd_close(image), 0);
  });

  tap::test("an image opened in the background is there when its completion ends; the pool may be gone before", [] {
    rbd_image_t image = nullptr, none = nullptr;
    std::atomic<int> called{0};
    rbd_completion_t opening = completion_for(called), missing = completion_for(called);
    {
      Place place;
      CHECK_EQ(rbd_aio_open(&place.io, "there", &image, nullptr, opening), 0);
      CHECK_EQ(rbd_aio_open(&place.io, "none", &none, nullptr, missing), 0);
    }
    CHECK_EQ(end_of(opening), 0);
    CHECK_EQ(end_of(missing), -ENOENT);
    uint64_t size = 0;
    CHECK_EQ(rbd_get_size(image, &size), 0);
    CHECK_EQ(size, uint64_t{1} << 20);
    CHECK_EQ(rbd_close(image), 0);
  });

  tap::test("an image that is closed while requests are under way is closed behind the last callback", [] {
    Place place;
    for (int round = 0; round < 20; round++) {
      rbd_image_t image = nullptr;
      CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
      std::atomic<int> called{0};
      // Released before its end, at its callback, and behind the close.
      const auto end_it = [](rbd_completion_t completion, void* counter) {
        rbd_aio_release(completion);
        static_cast<std::atomic<int>*>(counter)->fetch_add(1);
      };
      std::vector<rbd_completion_t> mine;
      static char data[64];
      for (int at = 0; at < 24; at++) {
        rbd_completion_t made = nullptr;
        rbd_aio_create_completion(&called, at % 3 == 0 ? end_it : count, &made);
        CHECK_EQ(rbd_aio_write(image, 64 * at, sizeof data, data, made), 0);
        if (at % 3 == 1) rbd_aio_release(made);
        if (at % 3 == 2) mine.push_back(made);
      }
      if (round % 2 == 0) {
        CHECK_EQ(rbd_close(image), 0);
      } else {
        std::atomic<int> closed{0};
        rbd_completion_t closing = completion_for(closed);
        CHECK_EQ(rbd_aio_close(image, closing), 0);
        CHECK_EQ(end_of(closing), 0);
        CHECK_EQ(closed.load(), 1);
      }
      CHECK_EQ(called.load(), 24);
      for (rbd_completion_t each : mine) CHECK_EQ(end_of(each), 0);
    }
  });

  tap::test("completions that nobody polled for are no loss when their image is closed", [] {
    Place place;
    rbd_image_t image = nullptr;
    CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
    CHECK_EQ(rbd_set_image_notification(image, 0, 0), 0);
    std::atomic<int> called{0};
    std::vector<rbd_completion_t> mine = write_many(image, 16, called);
    CHECK_EQ(rbd_close(image), 0);
    CHECK_EQ(called.load(), 16);
    for (rbd_completion_t each : mine) CHECK_EQ(end_of(each), 0);
  });

  tap::test("what goes with the last image of a pool goes on no thread of the library's", [] {
    static std::string gone_on;  // static: the pool writes it last
    std::atomic<int> called{0};
    rbd_image_t image = nullptr, none = nullptr;
    for (const bool is_there : {false, true}) {
      rbd_completion_t ending = completion_for(called);
      {
        Place place;
        place.pool->gone_on = &gone_on;
        if (is_there) {
          CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
        } else {
          CHECK_EQ(rbd_aio_open(&place.io, "none", &none, nullptr, ending), 0);
        }
      }
      if (is_there) CHECK_EQ(rbd_aio_close(image, ending), 0);
      CHECK_EQ(end_of(ending), is_there ? 0 : -ENOENT);
      CHECK(!gone_on.empty() && gone_on != "stand-in");
      gone_on.clear();
    }
  });

  tap::test("after a fork an inherited image is left alone, and functions that Ceph lacks are refused", [] {
    Place place;
    rbd_image_t image = nullptr;
    static rbd_image_t inherited = nullptr;  // the parent's to close, which is gone: static, so that it is no leak
    CHECK_EQ(rbd_open(&place.io, "there", &image, nullptr), 0);
    CHECK_EQ(rbd_invalidate_cache(image), -EOPNOTSUPP);
    CHECK_EQ(rbd_close(image), 0);
    CHECK_EQ(rbd_open(&place.io, "there", &inherited, nullptr), 0);
    place.pool->fork();
    uint64_t size = 0;
    CHECK_EQ(rbd_get_size(inherited, &size), -ENOTCONN);
  });

  return tap::finish();
}
