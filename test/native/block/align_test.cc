// Align over a volume of whole blocks that holds requests back, reorders them and fails.
#include "block/align.h"

#include <atomic>
#include <random>
#include <thread>

#include "block/memory_volume.h"
#include "block/support.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;

namespace {

constexpr uint64_t kib = 1024;

// An asynchronous request over memory of its own.
struct Async {
  Request request;
  iovec iov{};
  Bytes memory;
  std::atomic<int> result{1};

  void go(Device& device, Op op, uint64_t offset, Bytes data) {
    memory = std::move(data);
    iov = {memory.data(), memory.size()};
    request.op = op;
    request.offset = offset;
    request.length = memory.size();
    request.iov = &iov;
    request.iovcnt = 1;
    request.context = this;
    request.done = [](Request* self, int rc) {
      auto* a = static_cast<Async*>(self->context);
      a->result = rc;
      a->result.notify_all();
    };
    device.submit(request);
  }
  int wait() {
    result.wait(1);
    return result;
  }
};

void against_model(uint32_t block, bool discard_zeroes) {
  MemoryVolume volume({.size = 64 * kib, .block_size = block, .discard_zeroes = discard_zeroes});
  const uint64_t size = 64 * kib - (block > 1 ? 1000 : 0);
  Align align(volume, size);
  Sync sync(align);
  Bytes model(size, 0);
  std::mt19937 random(block + discard_zeroes);
  for (int i = 0; i < 3000; ++i) {
    const uint64_t offset = random() % size;
    const uint64_t length = 1 + random() % std::min<uint64_t>(size - offset, random() % 2 ? 600 : 20000);
    const auto at = model.begin() + static_cast<long>(offset);
    uint64_t mismatch = 0;
    switch (random() % 5) {
      case 0: {
        const Bytes got = sync.bytes(offset, length);
        if (!CHECK(std::equal(got.begin(), got.end(), at))) return;
        break;
      }
      case 1: {
        const Bytes data = pattern(length, random());
        CHECK_EQ(sync.write(offset, data.data(), length), 0);
        std::copy(data.begin(), data.end(), at);
        break;
      }
      case 2:
        CHECK_EQ(sync.plain(Op::zero, offset, length, random() % 2), 0);
        std::fill_n(at, length, 0);
        break;
      case 3:
        CHECK_EQ(sync.plain(Op::discard, offset, length), 0);
        if (align.discard_zeroes()) std::fill_n(at, length, 0);
        break;
      case 4: {
        Bytes expected(at, at + static_cast<long>(length));
        const Bytes data = pattern(length, random());
        const bool spoil = random() % 2;
        const size_t where = random() % length;
        if (spoil) expected[where] ^= 1;
        CHECK_EQ(sync.compare_and_write(offset, expected, data, mismatch), spoil ? -EILSEQ : 0);
        if (spoil) {
          CHECK_EQ(mismatch, where);
        } else {
          std::copy(data.begin(), data.end(), at);
        }
        break;
      }
    }
  }
  CHECK(sync.bytes(0, size) == model);
}

// Every thread owns some bytes of each block and writes only those; all must be there in the end.
void one_block(bool asynchronous) {
  MemoryVolume volume({.size = 16 * kib});
  if (asynchronous) volume.answer_from_thread(7);
  Align align(volume, 16 * kib);
  constexpr int threads = 6, rounds = 300;
  std::vector<std::thread> writers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < threads; ++t) {
    writers.emplace_back([&, t] {
      Sync sync(align);
      for (int i = 1; i <= rounds; ++i) {
        const uint64_t offset = 4096 + (i % 2) * 2048 + t * 100;
        const Bytes data = pattern(100, t * 1000 + i);
        int rc;
        if (asynchronous) {
          Async a;
          a.go(align, Op::write, offset, data);
          rc = a.wait();
        } else {
          rc = sync.write(offset, data.data(), 100);
        }
        if (rc || sync.bytes(offset, 100) != data) ++wrong;
      }
    });
  }
  for (auto& writer : writers) writer.join();
  CHECK_EQ(wrong.load(), 0);
  Sync sync(align);
  for (int t = 0; t < threads; ++t) {
    for (int i : {rounds - 1, rounds}) {
      CHECK(sync.bytes(4096 + (i % 2) * 2048 + t * 100, 100) == pattern(100, t * 1000 + i));
    }
  }
}

}  // namespace

int main() {
  for (uint32_t block : {1u, 512u, 4096u}) {
    for (bool zeroes : {true, false}) {
      const std::string name = "any range reads back as a model of bytes says, over blocks of " +
                               std::to_string(block) + (zeroes ? "" : " whose discard promises nothing");
      tap::test(name.c_str(), [&] { against_model(block, zeroes); });
    }
  }

  tap::test("writes of many threads to one block never lose one another", [] { one_block(false); });
  tap::test(
      "asynchronous writes of many threads to one block, answered in random order, never lose one another",
      [] { one_block(true); });

  tap::test("a write of whole blocks waits for a read-modify-write of the same block", [] {
    MemoryVolume volume({.size = 16 * kib});
    Align align(volume, 16 * kib);
    volume.hold();
    Async part, whole, elsewhere;
    part.go(align, Op::write, 100, Bytes(10, 1));   // reads block 0 first
    whole.go(align, Op::write, 0, Bytes(4096, 2));  // must not overtake it
    elsewhere.go(align, Op::write, 8192, Bytes(4096, 3));
    CHECK_EQ(volume.held(), 2u);  // the read, and the write elsewhere
    while (volume.held()) volume.release(volume.held() - 1);
    CHECK_EQ(part.wait(), 0);
    CHECK_EQ(whole.wait(), 0);
    CHECK_EQ(elsewhere.wait(), 0);
    volume.stop_holding();
    Sync sync(align);
    CHECK(sync.bytes(0, 4096) == Bytes(4096, 2));
  });

  tap::test("a read-modify-write waits for a write of the whole block that began before", [] {
    MemoryVolume volume({.size = 16 * kib});
    Align align(volume, 16 * kib);
    volume.hold();
    Async whole, part;
    whole.go(align, Op::write, 0, Bytes(4096, 2));
    part.go(align, Op::write, 100, Bytes(10, 1));
    CHECK_EQ(volume.held(), 1u);
    while (volume.held()) volume.release(0);
    CHECK_EQ(part.wait(), 0);
    volume.stop_holding();
    Sync sync(align);
    Bytes expected(4096, 2);
    std::fill_n(expected.begin() + 100, 10, 1);
    CHECK(sync.bytes(0, 4096) == expected);
  });

  tap::test("writes of whole blocks do not wait for one another", [] {
    MemoryVolume volume({.size = 16 * kib});
    Align align(volume, 16 * kib);
    volume.hold();
    Async a, b;
    a.go(align, Op::write, 0, Bytes(8192, 1));
    b.go(align, Op::write, 4096, Bytes(8192, 2));
    CHECK_EQ(volume.held(), 2u);
    while (volume.held()) volume.release(0);
    CHECK_EQ(a.wait(), 0);
    CHECK_EQ(b.wait(), 0);
  });

  tap::test("an error of the read or of the write reaches the writer, and the range is free again", [] {
    MemoryVolume volume({.size = 16 * kib});
    Align align(volume, 16 * kib);
    Sync sync(align);
    Bytes data(10, 1);
    uint64_t mismatch;
    volume.fail_if([](const Request& r) { return r.op == Op::read ? -EIO : 0; });
    CHECK_EQ(sync.write(100, data.data(), 10), -EIO);
    CHECK_EQ(sync.plain(Op::zero, 100, 5000), -EIO);
    CHECK_EQ(sync.compare_and_write(0, data, data, mismatch), -EIO);
    volume.fail_if([](const Request& r) { return r.op == Op::write ? -ENOSPC : 0; });
    CHECK_EQ(sync.write(100, data.data(), 10), -ENOSPC);
    volume.fail_if(nullptr);
    CHECK_EQ(sync.write(100, data.data(), 10), 0);
    CHECK(sync.bytes(100, 10) == data);
  });

  tap::test("one of many compare_and_writes of the same bytes wins, over blocks of 1 and of 4096", [] {
    for (uint32_t block : {1u, 4096u}) {
      MemoryVolume volume({.size = 16 * kib, .block_size = block});
      volume.answer_from_thread(3);
      Align align(volume, 16 * kib);
      constexpr int threads = 4, rounds = 50;
      std::vector<std::thread> racers;
      std::atomic<int> won{0};
      for (int t = 0; t < threads; ++t) {
        racers.emplace_back([&, t] {
          for (int i = 0; i < rounds; ++i) {
            Bytes expected(5000, static_cast<unsigned char>(i)),
                fresh(5000, static_cast<unsigned char>(i + 1));
            const iovec what{expected.data(), expected.size()};
            Async a;
            for (;;) {
              a.result = 1;
              a.request.compare = &what;
              a.request.comparecnt = 1;
              a.go(align, Op::compare_and_write, 700, fresh);
              const int rc = a.wait();
              if (rc == 0) ++won;
              Bytes now(1);
              Sync(align).read(700, now.data(), 1);
              if (rc == 0 || now[0] > i) break;
            }
          }
        });
      }
      for (auto& racer : racers) racer.join();
      CHECK_EQ(won.load(), rounds);
    }
  });

  tap::test(
      "requests outside the image, or empty, are refused with EINVAL, though the volume below is larger", [] {
        MemoryVolume volume({.size = 16 * kib});
        Align align(volume, 10000);
        Sync sync(align);
        Bytes data(4096);
        CHECK_EQ(sync.write(9000, data.data(), 1001), -EINVAL);
        CHECK_EQ(sync.write(9000, data.data(), 1000), 0);
        CHECK_EQ(sync.read(10000, data.data(), 1), -EINVAL);
        CHECK_EQ(sync.read(0, data.data(), 0), -EINVAL);
        CHECK_EQ(sync.plain(Op::discard, UINT64_MAX, 10), -EINVAL);
        align.set_size(12000);
        CHECK_EQ(sync.write(11999, data.data(), 1), 0);
        std::vector<Extent> extents;
        CHECK_EQ(align.extents(5000, 7000, extents), 0);
        CHECK_EQ(extents.front().offset, 5000u);
        CHECK_EQ(extents.back().offset + extents.back().length, 12000u);
      });

  return tap::finish();
}
