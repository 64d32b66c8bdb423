// Random operations on a device, checked against plain memory byte by byte. Used by the model tests of the
// stacks.
#pragma once

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "block/support.h"
#include "tap.h"

namespace cbd::block::test {

// One thread's part of a device: [begin, begin + bytes.size()), which nobody else touches.
struct Slice {
  uint64_t begin = 0;
  Bytes bytes;
};

// What the model may do.
struct ModelRules {
  bool flushes = true;
  uint64_t longest = 40000;  // bytes of one operation
};

class ModelRun {
 public:
  ModelRun(Device& device, std::shared_ptr<IoRing> ring, ModelRules rules)
      : device_(device), ring_(std::move(ring)), rules_(rules) {}

  // Carries out `count` operations on the slice, some alone and some several at a time. False at the first
  // mismatch.
  bool work(Slice& slice, uint64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    while (count) {
      const uint64_t n = std::min<uint64_t>(count, 1 + random() % 8);
      if (!batch(slice, n, random)) return false;
      count -= n;
    }
    return true;
  }

  bool verify(const Slice& slice) {
    Sync sync(device_, ring_);
    Bytes got(slice.bytes.size(), 0xee);
    const uint64_t step = 1 << 20;
    for (uint64_t at = 0; at < got.size(); at += step) {
      const uint64_t n = std::min<uint64_t>(step, got.size() - at);
      if (int rc = sync.read(slice.begin + at, got.data() + at, n))
        return complain("verify", slice.begin + at, n, rc);
    }
    const auto differs = std::mismatch(got.begin(), got.end(), slice.bytes.begin());
    if (differs.first == got.end()) return true;
    return complain("verify finds another byte", slice.begin + (differs.first - got.begin()), 1, 0);
  }

 private:
  struct Operation {
    Request request;
    Bytes memory;
    Bytes expected;
    std::vector<iovec> iov;
    iovec compare{};
    int wanted = 0;
    std::atomic<int> result{1};
    ModelRun* run = nullptr;
  };

  bool complain(const char* what, uint64_t offset, uint64_t length, int rc) {
    char text[200];
    std::snprintf(text, sizeof text, "%s at %llu, %llu bytes: %d", what,
                  static_cast<unsigned long long>(offset), static_cast<unsigned long long>(length), rc);
    return tap::check(false, __FILE__, __LINE__, text);
  }

  // Operations that do not overlap, so that their order does not matter.
  bool batch(Slice& slice, uint64_t count, std::mt19937& random) {
    std::vector<std::unique_ptr<Operation>> operations;
    const uint64_t part = slice.bytes.size() / count;
    const bool waits = count == 1 || random() % 3 == 0;
    for (uint64_t i = 0; i < count && part; ++i) {
      auto operation = std::make_unique<Operation>();
      const uint64_t within = random() % part;
      const uint64_t longest = std::min(part - within, rules_.longest);
      // Small, block-sized and long ones, at odd and at even places.
      uint64_t offset = i * part + within, length = 1 + random() % longest;
      if (random() % 3 == 0) length = 1 + random() % std::min<uint64_t>(longest, 700);
      if (random() % 3 == 0) {
        const uint64_t absolute = (slice.begin + offset + 4095) / 4096 * 4096;
        const uint64_t end = slice.begin + (i + 1) * part;
        if (absolute + 4096 <= end) {
          offset = absolute - slice.begin;
          length = std::min(end - absolute, (1 + length / 4096) * 4096) / 4096 * 4096;
        }
      }
      prepare(*operation, slice, offset, length, random);
      operations.push_back(std::move(operation));
    }
    for (auto& operation : operations) {
      Request& r = operation->request;
      if (waits) {
        operation->result = ring_->run(device_, r);
        continue;
      }
      r.context = operation.get();
      r.done = [](Request* self, int rc) {
        self->done = [](Request* again, int result) {
          auto* o = static_cast<Operation*>(again->context);
          o->result = result;
          o->result.notify_all();
        };
        static_cast<Operation*>(self->context)->run->ring_->complete(*self, rc);
      };
      device_.submit(r);
    }
    bool good = true;
    for (auto& operation : operations) {
      operation->result.wait(1);
      good = settle(*operation, slice) && good;
    }
    return good;
  }

  void prepare(Operation& o, Slice& slice, uint64_t offset, uint64_t length, std::mt19937& random) {
    static constexpr Op choices[] = {Op::read,
                                     Op::read,
                                     Op::read,
                                     Op::write,
                                     Op::write,
                                     Op::write,
                                     Op::write,
                                     Op::discard,
                                     Op::zero,
                                     Op::flush,
                                     Op::compare_and_write};
    o.run = this;
    o.request.op = choices[random() % std::size(choices)];
    o.request.offset = slice.begin + offset;
    o.request.length = length;
    o.request.keep_allocated = random() % 4 == 0;
    const auto at = slice.bytes.begin() + static_cast<long>(offset);
    switch (o.request.op) {
      case Op::flush:
        if (rules_.flushes && random() % 8 == 0) {
          o.request.offset = o.request.length = 0;
          return;
        }
        o.request.op = Op::read;
        [[fallthrough]];
      case Op::read:
        o.memory.assign(length, 0xee);
        break;
      case Op::compare_and_write:
        o.request.length = length = std::min<uint64_t>(length, 600);
        o.expected.assign(at, at + static_cast<long>(length));
        if (random() % 3 == 0) {
          o.expected[random() % length] ^= 0x40;
          o.wanted = -EILSEQ;
        }
        o.compare = {o.expected.data(), length};
        o.request.compare = &o.compare;
        o.request.comparecnt = 1;
        [[fallthrough]];
      case Op::write:
        o.memory = pattern(length, random());
        break;
      default:
        return;
    }
    // In one piece or a few.
    for (uint64_t done = 0; done < length;) {
      const uint64_t n = random() % 2 ? length - done : 1 + random() % (length - done);
      o.iov.push_back({o.memory.data() + done, n});
      done += n;
    }
    o.request.iov = o.iov.data();
    o.request.iovcnt = static_cast<int>(o.iov.size());
  }

  // Compares what came, or notes what is there from now on.
  bool settle(Operation& o, Slice& slice) {
    const Request& r = o.request;
    if (o.result != o.wanted) return complain("unexpected result", r.offset, r.length, o.result);
    const auto at = slice.bytes.begin() + static_cast<long>(r.op == Op::flush ? 0 : r.offset - slice.begin);
    switch (r.op) {
      case Op::read: {
        const auto differs = std::mismatch(o.memory.begin(), o.memory.end(), at);
        if (differs.first != o.memory.end()) {
          return complain("read finds another byte", r.offset + (differs.first - o.memory.begin()), r.length,
                          0);
        }
        return true;
      }
      case Op::compare_and_write:
        if (o.wanted) return true;
        [[fallthrough]];
      case Op::write:
        std::copy(o.memory.begin(), o.memory.end(), at);
        return true;
      case Op::zero:
      case Op::discard:
        // (These stacks promise zeroes after a discard.)
        std::fill_n(at, r.length, 0);
        return true;
      case Op::flush:
        return true;
    }
    return true;
  }

  Device& device_;
  std::shared_ptr<IoRing> ring_;
  const ModelRules rules_;
};

// Cuts [0, size) into slices whose borders lie inside blocks, and works on all at once.
inline bool run_threads(ModelRun& run, Bytes& model, uint64_t operations, uint32_t seed,
                        unsigned threads = 3) {
  std::vector<Slice> slices(threads);
  std::vector<std::thread> workers;
  std::atomic<bool> good{true};
  uint64_t begin = 0;
  for (unsigned t = 0; t < threads; ++t) {
    const uint64_t end = t + 1 == threads ? model.size() : model.size() * (t + 1) / threads;
    slices[t].begin = begin;
    slices[t].bytes.assign(model.begin() + static_cast<long>(begin), model.begin() + static_cast<long>(end));
    begin = end;
  }
  for (unsigned t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      if (!run.work(slices[t], operations / threads, seed * 31 + t)) good = false;
    });
  }
  for (auto& worker : workers) worker.join();
  for (auto& slice : slices)
    std::copy(slice.bytes.begin(), slice.bytes.end(), model.begin() + static_cast<long>(slice.begin));
  return good && run.verify({0, model});
}

}  // namespace cbd::block::test
