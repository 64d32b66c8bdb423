// The NEBD volume over a server in memory: what it sends, and in which order.
#include <errno.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "curvebs/volume_support.h"

using namespace cbd::test;

namespace {

void basics() {
  tap::test("what was written is read, in every length and by either way of waiting", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    for (bool may_block : {false, true}) {
      CHECK_EQ(write(volume, 0, 4096, 1, may_block), 0);
      CHECK_EQ(write(volume, 8192, 3 << 20, 2, may_block), 0);
      CHECK_EQ(write(volume, size - 4096, 4096, 3, may_block), 0);
      CHECK_EQ(read_fill(volume, 0, 4096, may_block), 1);
      CHECK_EQ(read_fill(volume, 4096, 4096, may_block), 0);
      CHECK_EQ(read_fill(volume, 8192, 3 << 20, may_block), 2);
      CHECK_EQ(read_fill(volume, size - 4096, 4096, may_block), 3);
    }
    CHECK_EQ(s.server->connections(), 1);
    CHECK_EQ(s.server->crash(), "");
  });
  tap::test("scattered memory is gathered and scattered", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<uint8_t> memory(2 << 20), back(2 << 20);
    std::mt19937 random(3);
    for (auto& byte : memory) byte = static_cast<uint8_t>(random());
    auto cut = [&](std::vector<uint8_t>& bytes) {
      std::vector<iovec> pieces;
      for (size_t at = 0; at < bytes.size();) {
        const size_t n = std::min<size_t>(bytes.size() - at, 1 + random() % 5000);
        pieces.push_back({bytes.data() + at, n});
        at += n;
      }
      return pieces;
    };
    for (Op op : {Op::write, Op::read}) {
      auto pieces = cut(op == Op::write ? memory : back);
      Io io(Op::discard, 1 << 20, memory.size());
      io.op = op;
      io.iov = pieces.data();
      io.iovcnt = static_cast<int>(pieces.size());
      CHECK_EQ(run(volume, io), 0);
    }
    CHECK(memory == back);
  });
  tap::test("what is no whole block of the volume, empty, or outside it, is refused and not sent", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 1), 0);
    for (Op op : {Op::read, Op::write, Op::zero, Op::discard}) {
      for (auto [offset, length] : std::vector<std::pair<uint64_t, uint64_t>>{
               {0, 0}, {0, 512}, {512, 4096}, {1, 1}, {size, 4096}, {size - 4096, 8192}, {UINT64_MAX - 4095, 4096}, {UINT64_MAX - 4095, 8192}, {4096, 4097}}) {
        Io io(op, offset, 0);
        io.length = length;
        CHECK_EQ(run(volume, io), -EINVAL);
      }
    }
    CHECK_EQ(s.server->requests("Read") + s.server->requests("Write") + s.server->requests("Discard"), 1u);
    Io compare(Op::compare_and_write, 0, 4096);
    CHECK_EQ(run(volume, compare), -EOPNOTSUPP);
    CHECK_EQ(s.server->crash(), "");
  });
  tap::test("zero writes zeroes, discard is passed on, flush costs nothing", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 2 << 20, 7), 0);
    Io zero(Op::zero, 4096, (2 << 20) - 8192), discard(Op::discard, 0, 2 * gib), flush(Op::flush, 0, 0);
    CHECK_EQ(run(volume, zero), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 7);
    CHECK_EQ(read_fill(volume, 4096, (2 << 20) - 8192), 0);
    CHECK_EQ(run(volume, discard), 0);
    CHECK_EQ(s.server->requests("Discard"), 1u);
    CHECK_EQ(run(volume, flush), 0);
    CHECK_EQ(s.server->requests("Flush"), 0u);
    CHECK(!volume.discard_zeroes());
    std::vector<Extent> extents;
    CHECK_EQ(volume.extents(4096, 8192, extents), 0);
    CHECK(extents.size() == 1 && extents[0].kind == Extent::Kind::data);
  });
  tap::test("who is told what takes space tells data from zeroes; who is not, or not rightly, takes all for data", [] {
    Setting s;
    std::vector<Extent> told = {{Extent::Kind::data, gib, gib}, {Extent::Kind::data, 2 * gib, 4096}, {Extent::Kind::data, 3 * gib, gib}};
    int answer = 0;
    s.options.ask_allocated = [&](uint64_t, uint64_t, std::vector<Extent>& out) {
      out = told;
      return answer;
    };
    NebdVolume volume(s.options);
    auto kinds = [&](uint64_t offset, uint64_t length) {
      std::vector<Extent> extents;
      CHECK_EQ(volume.extents(offset, length, extents), 0);
      std::string out;
      for (const Extent& e : extents) {
        CHECK_EQ(e.offset, offset);
        offset += e.length;
        out += e.kind == Extent::Kind::data ? 'd' : 'z';
        out += std::to_string(e.length / 4096) + " ";
      }
      return out;
    };
    CHECK_EQ(kinds(4096, 4 * gib - 4096 - 8192), std::string("z262143 d262145 z262143 d262142 "));
    told.clear();
    CHECK_EQ(kinds(0, 4 * gib), std::string("z1048576 "));
    answer = -ETIMEDOUT;
    CHECK_EQ(kinds(0, gib), std::string("d262144 "));
  });
  tap::test("blocks of 512 bytes, and a server whose blocks are larger than ours", [] {
    Setting s(512);
    s.server->start();
    NebdVolume small(s.options);
    CHECK_EQ(write(small, 512, 1024, 5), 0);
    CHECK_EQ(read_fill(small, 512, 1024), 5);
    s.options.block = 4096;
    NebdVolume large(s.options);
    CHECK_EQ(read_fill(large, 4096, 4096), 0);
    Setting other;
    other.options.block = 512;
    other.server->start();
    NebdVolume wrong(other.options);
    CHECK_EQ(write(wrong, 512, 512, 5), -EIO);
    CHECK_EQ(other.server->requests("Write"), 0u);
    CHECK_EQ(other.server->crash(), "");
  });
  tap::test("names are this process's and this volume's own; volumes share the connection; a released one is closed", [] {
    Setting s;
    s.server->start();
    auto first = std::make_unique<NebdVolume>(s.options), second = std::make_unique<NebdVolume>(s.options);
    CHECK_EQ(write(*first, 0, 4096, 1), 0);
    CHECK_EQ(read_fill(*second, 0, 4096), 1);
    auto names = s.server->open_names();
    CHECK_EQ(names.size(), 2u);
    CHECK(names[0] != names[1]);
    for (const auto& name : names) {
      CHECK(name.starts_with("cbd:pool-" + std::to_string(getpid()) + "-"));
      CHECK(name.ends_with("//pool/disk_user1_:"));
    }
    CHECK_EQ(s.server->connections(), 1);
    first.reset();
    second.reset();
    until([&] { return s.server->open_names().empty(); });
  });
}

void order() {
  tap::test("replies are matched in any order", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" || seen.method == "Read" ? MemoryNebd::Do::hold : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::unique_ptr<Io>> ios;
    for (uint64_t i = 0; i < 500; ++i) {
      ios.push_back(std::make_unique<Io>(Op::write, i * 8192, 4096, static_cast<uint8_t>(i)));
      volume.submit(*ios.back());
    }
    until([&] { return s.server->held() == 500; });
    s.server->release();
    for (auto& io : ios) CHECK_EQ(io->wait(), 0);
    ios.clear();
    for (uint64_t i = 0; i < 500; ++i) {
      ios.push_back(std::make_unique<Io>(Op::read, i * 8192, 4096));
      volume.submit(*ios.back());
    }
    until([&] { return s.server->held() == 500; });
    s.server->release();
    for (uint64_t i = 0; i < 500; ++i) {
      CHECK_EQ(ios[i]->wait(), 0);
      CHECK(ios[i]->bytes == std::vector<uint8_t>(4096, static_cast<uint8_t>(i)));
    }
  });
  tap::test("a write waits for an earlier one to the same place, and nothing else waits", [] {
    Setting s;
    s.server->decide = [](const MemoryNebd::Seen& seen) { return seen.method == "Write" ? MemoryNebd::Do::hold : MemoryNebd::Do::answer; };
    s.server->start();
    NebdVolume volume(s.options);
    Io first(Op::write, 8192, 8192, 1), second(Op::write, 12288, 8192, 2), third(Op::write, 16384, 4096, 3), apart(Op::write, 1 << 20, 4096, 4);
    for (Io* io : {&first, &second, &third, &apart}) volume.submit(*io);
    until([&] { return s.server->held() == 2; });
    CHECK_EQ(read_fill(volume, 8192, 8192), 0);
    CHECK_EQ(s.server->requests("Write"), 2u);
    s.server->release();
    CHECK_EQ(first.wait() + apart.wait(), 0);
    until([&] { return s.server->held() == 1; });
    s.server->release();
    CHECK_EQ(second.wait(), 0);
    until([&] { return s.server->held() == 1; });
    s.server->release();
    CHECK_EQ(third.wait(), 0);
    CHECK_EQ(read_fill(volume, 12288, 4096), 2);
    CHECK_EQ(read_fill(volume, 16384, 4096), 3);
  });
  tap::test("a completion may submit, and wait, on the thread that it runs on", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    Io outer(Op::write, 0, 4096, 1);
    int inner = 1, again = 1;
    outer.then = [&] {
      inner = write(volume, 4096, 2 << 20, 2, true);
      again = read_fill(volume, 4096, 2 << 20, true);
    };
    CHECK_EQ(run(volume, outer), 0);
    CHECK_EQ(inner, 0);
    CHECK_EQ(again, 2);
    // And through a reconnect.
    Io last(Op::read, 0, 4096);
    last.then = [&] {
      s.server->disconnect();
      inner = write(volume, 4096, 4096, 3, true);
      s.server->disconnect();
      again = read_fill(volume, 4096, 4096, true);
    };
    CHECK_EQ(run(volume, last), 0);
    CHECK_EQ(inner, 0);
    CHECK_EQ(again, 3);
  });
  tap::test("many threads, both ways of waiting, against a model of bytes", [] {
    Setting s;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        std::array<uint8_t, 64> model{};
        for (int i = 0; i < 600; ++i) {
          const uint64_t first = random() % 64, count = 1 + random() % (64 - first), base = t * gib;
          const bool may_block = (t + static_cast<uint64_t>(i)) % 2;
          if (random() % 2) {
            const auto fill = static_cast<uint8_t>(random());
            CHECK_EQ(write(volume, base + first * 4096, count * 4096, fill, may_block), 0);
            for (uint64_t b = first; b < first + count; ++b) model[b] = fill;
          } else {
            CHECK_EQ(read_fill(volume, base + first * 4096, 4096, may_block), model[first]);
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK_EQ(s.server->crash(), "");
  });
}

}  // namespace

int main() {
  basics();
  order();
  return tap::finish();
}
