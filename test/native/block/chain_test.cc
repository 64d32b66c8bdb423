// Chains of layers in memory, alone: what is read from where, what is written, what a crash of nothing
// leaves.
#include "block/chain.h"

#include <sched.h>
#include <sys/wait.h>

#include <atomic>
#include <random>
#include <semaphore>
#include <thread>

#include "block/chain_image.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;

namespace {

constexpr uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib, tib = 1024 * gib;

LayerSpec frozen_cow(uint64_t size, const std::vector<std::pair<uint64_t, int>>& blocks) {
  auto volume = cow_volume(size);
  Chain chain([](bool) {});
  const std::string id = ChainImage::name();
  CHECK_EQ(chain.set_layers({{.id = id, .is_cow = true, .is_frozen = false, .size = size, .volume = volume}},
                            size, Chain::Leave::write),
           0);
  Sync sync(chain);
  for (auto [block, value] : blocks) {
    if (value < 0) {
      CHECK_EQ(sync.plain(Op::zero, block * 4096, 4096), 0);
    } else {
      const Bytes data(4096, static_cast<unsigned char>(value));
      CHECK_EQ(sync.write(block * 4096, data.data(), 4096), 0);
    }
  }
  CHECK_EQ(sync.flush(), 0);
  return {.id = id, .is_cow = true, .is_frozen = true, .size = size, .volume = volume};
}

std::string describe(const std::vector<Extent>& extents) {
  std::string out;
  for (const Extent& e : extents) {
    out += e.kind == Extent::Kind::data ? 'd' : e.kind == Extent::Kind::zero ? 'z' : '-';
    out += std::to_string(e.offset / 4096) + "+" + std::to_string(e.length / 4096) + " ";
  }
  return out;
}

}  // namespace

int main() {
  tap::test("a lone plain layer passes everything straight through, with its own blocks", [] {
    ChainImage image(ChainImage::plain(mib), mib);
    CHECK_EQ(image.chain->block_size(), 512u);
    Sync sync(*image.chain, image.ring);
    Bytes data(512, 3);
    CHECK_EQ(sync.write(512, data.data(), 512), 0);
    CHECK(sync.bytes(512, 512) == data);
  });

  tap::test("reads find the newest owner of each block, and zeroes stop at what is below", [] {
    const uint64_t size = 10 * 4096;
    std::vector<LayerSpec> layers = {frozen_cow(size, {{1, 31}, {2, -1}}),
                                     frozen_cow(size, {{1, 21}, {2, 22}, {3, 23}}),
                                     frozen_cow(size, {{1, 11}, {2, 12}, {3, 13}, {4, 14}, {9, 19}})};
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers(layers, size, Chain::Leave::read), 0);
    Sync sync(chain);
    const Bytes all = sync.bytes(0, size);
    const int expected[] = {0, 31, 0, 23, 14, 0, 0, 0, 0, 19};
    for (int b = 0; b < 10; ++b)
      CHECK(Bytes(all.begin() + b * 4096, all.begin() + (b + 1) * 4096) == Bytes(4096, expected[b]));
    std::vector<Extent> extents;
    CHECK_EQ(chain.extents(0, size, extents), 0);
    CHECK_EQ(describe(extents), std::string("-0+1 d1+1 z2+1 d3+2 -5+4 d9+1 "));
  });

  tap::test("a plain layer's volume is asked once what it holds, however many blocks above it are owned", [] {
    struct Counting : MemoryVolume {
      using MemoryVolume::MemoryVolume;
      int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override {
        asked++;
        return MemoryVolume::extents(offset, length, out);
      }
      int asked = 0;
    };
    const uint64_t size = 2 * gib;
    auto below = std::make_shared<Counting>(MemoryVolume::Options{.size = size});
    for (uint64_t block : {2, 5}) below->poke(block * 4096, Bytes(4096, 1).data(), 4096);
    auto top = frozen_cow(size, {{1, 7}, {3, 7}, {5, -1}, {gib / 4096 + 1, 7}});
    const LayerSpec plain = {.id = ChainImage::name(), .is_cow = false, .is_frozen = true, .size = size, .volume = below};
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers({top, plain}, size, Chain::Leave::read), 0);
    std::vector<Extent> extents;
    CHECK_EQ(chain.extents(0, size, extents), 0);
    CHECK_EQ(describe(extents), std::string("z0+1 d1+3 z4+262141 d262145+1 z262146+262142 "));
    CHECK_EQ(below->asked, 1);
    extents.clear();
    CHECK_EQ(chain.changes_since(nullptr, 0, size, extents), 0);
    CHECK_EQ(describe(extents), std::string("d1+3 d262145+1 "));
    CHECK_EQ(below->asked, 2);
  });

  tap::test("who takes a layer away waits for those who look at it: its volume may be gone then", [] {
    struct Slow : MemoryVolume {
      using MemoryVolume::MemoryVolume;
      int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override {
        is_asked.release();
        may_answer.acquire();
        return MemoryVolume::extents(offset, length, out);
      }
      std::binary_semaphore is_asked{0}, may_answer{0};
    };
    const uint64_t size = mib;
    auto below = std::make_shared<Slow>(MemoryVolume::Options{.size = size});
    const LayerSpec plain = {.id = ChainImage::name(), .is_cow = false, .is_frozen = true, .size = size, .volume = below};
    auto top = frozen_cow(size, {{1, 7}});
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers({top, plain}, size, Chain::Leave::read), 0);
    std::thread looker([&] {
      std::vector<Extent> extents;
      CHECK_EQ(chain.extents(0, size, extents), 0);
    });
    below->is_asked.acquire();
    // More layers, or the same with less leave, wait for nobody.
    CHECK_EQ(chain.set_layers({frozen_cow(size, {}), top, plain}, size, Chain::Leave::none), 0);
    std::atomic<bool> was_answered{false};
    bool waited = false;
    std::thread changer([&] {
      CHECK_EQ(chain.set_layers({top}, size, Chain::Leave::read), 0);
      waited = was_answered;
    });
    // Lets one that waits for nobody show it; one that does wait passes, however long this takes.
    for (int i = 0; i < 1000; i++) sched_yield();
    was_answered = true;
    below->may_answer.release();
    looker.join();
    changer.join();
    CHECK(waited);
  });

  tap::test("what is behind a layer's size is zero, though a layer below is longer", [] {
    const uint64_t size = 10 * 4096;
    auto top = frozen_cow(size, {{0, 1}});
    auto below = frozen_cow(size, {{1, 2}, {2, 3}, {3, 4}});
    top.size = below.size = 2 * 4096 + 100;
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers({top, below}, size, Chain::Leave::read), 0);
    Sync sync(chain);
    Bytes expected(size, 0);
    std::fill_n(expected.begin(), 4096, 1);
    std::fill_n(expected.begin() + 4096, 4096, 2);
    std::fill_n(expected.begin() + 8192, 100, 3);
    CHECK(sync.bytes(0, size) == expected);
  });

  tap::test("the first write asks for a head and waits for it, reads go on meanwhile", [] {
    const uint64_t size = mib;
    int asked = 0;
    Chain chain([&](bool write) { asked += write ? 1 : 100; });
    auto base = frozen_cow(size, {{1, 7}});
    CHECK_EQ(chain.set_layers({base}, size, Chain::Leave::read), 0);
    Bytes data(4096, 9);
    iovec iov{data.data(), 4096};
    Request write[2];
    static int results[2];
    for (int i = 0; i < 2; ++i) {
      results[i] = 1;
      write[i].op = Op::write;
      write[i].offset = 4096 * (1 + static_cast<uint64_t>(i));
      write[i].length = 4096;
      write[i].iov = &iov;
      write[i].iovcnt = 1;
      write[i].context = &results[i];
      write[i].done = [](Request* self, int rc) { *static_cast<int*>(self->context) = rc; };
      chain.submit(write[i]);
    }
    CHECK_EQ(asked, 1);
    CHECK_EQ(results[0], 1);
    Sync sync(chain);
    CHECK(sync.bytes(4096, 4096) == Bytes(4096, 7));
    auto head = cow_volume(size);
    CHECK_EQ(chain.set_layers(
                 {{.id = "head", .is_cow = true, .is_frozen = false, .size = size, .volume = head}, base},
                 size, Chain::Leave::write),
             0);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(results[1], 0);
    CHECK(sync.bytes(4096, 8192) == Bytes(8192, 9));
    // Refused, it ends with the error.
    CHECK_EQ(chain.set_layers({base}, size, Chain::Leave::none), 0);
    results[0] = 1;
    chain.submit(write[0]);
    CHECK_EQ(asked, 2);
    chain.refuse(-EROFS);
    CHECK_EQ(results[0], -EROFS);
  });

  tap::test("a write copies nothing up and a flush writes data, map and nothing else", [] {
    const uint64_t size = gib;
    auto base = frozen_cow(size, {{1, 7}});
    auto head = cow_volume(size, true);
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers(
                 {{.id = "head", .is_cow = true, .is_frozen = false, .size = size, .volume = head}, base},
                 size, Chain::Leave::write),
             0);
    Sync sync(chain);
    Bytes data(4096, 9);
    CHECK_EQ(sync.write(500 * mib, data.data(), 4096), 0);
    CHECK_EQ(head->records().size(), 1u);
    CHECK_EQ(sync.plain(Op::discard, 4096, 4096), 0);
    CHECK_EQ(head->records().size(), 1u);
    CHECK(sync.bytes(0, 16384) == Bytes(16384, 0));
    CHECK_EQ(sync.flush(), 0);
    std::string order;
    for (const auto& record : head->records()) {
      order += record.op == Op::flush                ? 'f'
               : record.offset >= layer::data_offset ? 'd'
               : record.offset < layer::map_offset   ? 'h'
                                                     : 'm';
    }
    CHECK_EQ(order, std::string("dfhfhfmmf"));
    CHECK_EQ(sync.write(500 * mib, data.data(), 4096), 0);
    CHECK_EQ(sync.flush(), 0);
    CHECK_EQ(head->records().size(), 11u);  // the block is marked already: data and one flush
    CHECK_EQ(static_cast<MemoryVolume&>(*base.volume).count(Op::write) > 0, true);
  });

  tap::test(
      "an image of 1 TiB with a little data costs under 1 MiB of memory, and so does discarding all of it",
      [] {
        auto head = cow_volume(tib);
        Chain chain([](bool) {});
        CHECK_EQ(chain.set_layers(
                     {{.id = "head", .is_cow = true, .is_frozen = false, .size = tib, .volume = head}}, tib,
                     Chain::Leave::write),
                 0);
        Sync sync(chain);
        Bytes data(4096, 9);
        for (uint64_t i = 0; i < 100; ++i) CHECK_EQ(sync.write(i * 10 * gib, data.data(), 4096), 0);
        CHECK(chain.memory_bytes() < mib);
        std::vector<Extent> extents;
        CHECK_EQ(chain.extents(0, tib, extents), 0);
        CHECK_EQ(extents.size(), 200u);
        CHECK_EQ(sync.plain(Op::zero, gib, tib - gib), 0);
        CHECK(chain.memory_bytes() < 2 * mib);
        CHECK_EQ(sync.flush(), 0);
      });

  tap::test("a damaged map or header is EIO and not zeroes", [] {
    auto layer_spec = frozen_cow(mib, {{1, 7}});
    auto& volume = static_cast<MemoryVolume&>(*layer_spec.volume);
    const unsigned char bad = 0x5a;
    auto read = [&] {
      Chain chain([](bool) {});
      CHECK_EQ(chain.set_layers({layer_spec}, mib, Chain::Leave::read), 0);
      Bytes block(4096);
      return Sync(chain).read(4096, block.data(), 4096);
    };
    CHECK_EQ(read(), 0);
    volume.poke(layer::map_offset + 100, &bad, 1);
    CHECK_EQ(read(), -EIO);
    const unsigned char good = 0;
    volume.poke(layer::map_offset + 100, &good, 1);
    CHECK_EQ(read(), 0);
    volume.poke(layer::header_offsets[0] + 20, &bad, 1);  // the other copy is still whole
    CHECK_EQ(read(), 0);
    volume.poke(layer::header_offsets[1] + 20, &bad, 1);
    CHECK_EQ(read(), -EIO);
  });

  tap::test("a failed write-back is tried again by the next flush", [] {
    auto head = cow_volume(mib);
    const LayerSpec spec{.id = "head", .is_cow = true, .is_frozen = false, .size = mib, .volume = head};
    Bytes data(4096, 9);
    {
      Chain chain([](bool) {});
      CHECK_EQ(chain.set_layers({spec}, mib, Chain::Leave::write), 0);
      Sync sync(chain);
      CHECK_EQ(sync.write(4096, data.data(), 4096), 0);
      head->fail_if([](const Request& r) { return r.op == Op::write ? -ENOSPC : 0; });
      CHECK_EQ(sync.flush(), -ENOSPC);
      CHECK_EQ(sync.write(8192, data.data(), 4096), -ENOSPC);
      head->fail_if(nullptr);
      CHECK_EQ(sync.flush(), 0);
    }
    Chain again([](bool) {});
    CHECK_EQ(again.set_layers({spec}, mib, Chain::Leave::write), 0);
    CHECK(Sync(again).bytes(4096, 4096) == data);
    CHECK(Sync(again).bytes(8192, 4096) == Bytes(4096, 0));
  });

  tap::test("changes between two snapshots are exact to a block, over a shrink, a growth and a rollback", [] {
    const uint64_t size = 100 * 4096;
    ChainImage image(ChainImage::plain(size), size);
    Sync sync(*image.align, image.ring);
    Bytes block(4096, 1);
    for (uint64_t b : {1, 2, 3, 50, 90}) CHECK_EQ(sync.write(b * 4096, block.data(), 4096), 0);
    const auto one = image.snapshot();
    CHECK_EQ(sync.write(2 * 4096 + 100, block.data(), 10), 0);
    CHECK_EQ(sync.write(60 * 4096, block.data(), 4096), 0);
    CHECK_EQ(sync.plain(Op::discard, 50 * 4096, 4096), 0);
    const auto two = image.snapshot();
    CHECK_EQ(sync.write(4096, block.data(), 4096), 0);
    image.resize(80 * 4096);
    image.resize(size);
    const auto three = image.snapshot();

    auto open = [&](const std::vector<LayerSpec>& layers) {
      auto chain = std::make_unique<Chain>([](bool) {});
      CHECK_EQ(chain->set_layers(layers, size, Chain::Leave::read), 0);
      return chain;
    };
    auto changes = [&](const std::vector<LayerSpec>* from, const std::vector<LayerSpec>& to) {
      std::vector<Extent> out;
      auto a = from ? open(*from) : nullptr;
      auto b = open(to);
      CHECK_EQ(b->changes_since(a.get(), 0, size, out), 0);
      return describe(out);
    };
    CHECK_EQ(changes(nullptr, one), std::string("d1+3 d50+1 d90+1 "));
    CHECK_EQ(changes(&one, two), std::string("d2+1 z50+1 d60+1 "));
    CHECK_EQ(changes(&one, one), std::string(""));
    CHECK_EQ(changes(&two, three), std::string("d1+1 z90+1 "));
    CHECK_EQ(changes(nullptr, three), std::string("d1+3 d60+1 "));
    // What was no data before is no loss.
    image.resize(80 * 4096);
    image.resize(size);
    CHECK_EQ(sync.plain(Op::discard, 10 * 4096, 4096), 0);
    CHECK_EQ(changes(&three, image.snapshot()), std::string(""));
    // Rolled back to the first, then written elsewhere: the second's blocks differ too.
    image.roll_back(one, size);
    CHECK_EQ(sync.write(70 * 4096, block.data(), 4096), 0);
    image.settle();
    const auto four = image.snapshot();
    CHECK_EQ(changes(&two, four), std::string("d2+1 d50+1 z60+1 d70+1 "));
  });

  const char* forked = "a forked child asks for leave before it touches a chain, and the parent goes on";
  tap::test(forked, [] {
    const uint64_t size = mib;
    auto base = frozen_cow(size, {{1, 7}});
    auto head = cow_volume(size);
    const LayerSpec top{.id = "head", .is_cow = true, .is_frozen = false, .size = size, .volume = head};
    int asked = 0;
    Chain* self = nullptr;
    Chain chain([&](bool write) {
      ++asked;
      // What the image layer does in the end: it knows what the daemon granted to this process.
      if (!write) self->set_layers({base}, size, Chain::Leave::read);
      if (write) self->refuse(-EROFS);
    });
    self = &chain;
    CHECK_EQ(chain.set_layers({top, base}, size, Chain::Leave::write), 0);
    Sync sync(chain);
    Bytes data(4096, 9);
    CHECK_EQ(sync.write(8192, data.data(), 4096), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(20);
      Sync own(chain);
      const bool reads = own.bytes(4096, 4096) == Bytes(4096, 7) && asked == 1;
      const bool refuses = own.write(8192, data.data(), 4096) == -EROFS && asked == 2;
      _exit(reads && refuses ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    CHECK_EQ(asked, 0);
    CHECK(sync.bytes(8192, 4096) == data);
    CHECK_EQ(sync.flush(), 0);
  });

  return tap::finish();
}
