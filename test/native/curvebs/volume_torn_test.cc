// Many threads inside one block of a volume, by way of Align: nothing is lost and nothing torn, on blocks of 512 and 4096 bytes, while
// the server answers in any order and loses connections.
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "block/align.h"
#include "curvebs/volume_support.h"

using namespace cbd::test;

namespace {

constexpr uint64_t threads = 8;

// Has the server hold a part of its replies, and lets them go, last first; where asked to, cuts the connection after each hundred requests.
class Trouble {
 public:
  Trouble(MemoryNebd& server, bool cuts) : server_(server), thread_([this, cuts] {
    uint64_t next_cut = 100;
    while (!over_) {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      server_.release();
      const uint64_t seen = server_.requests("Read") + server_.requests("Write");
      if (!cuts || seen < next_cut) continue;
      server_.disconnect();
      next_cut = seen + 100;
    }
    server_.release();
  }) {}
  ~Trouble() {
    over_ = true;
    thread_.join();
  }
  static void prepare(MemoryNebd& server) {
    server.decide = [random = std::mt19937(3)](const MemoryNebd::Seen& seen) mutable {
      const bool is_io = seen.method == "Write" || seen.method == "Read";
      return is_io && random() % 4 == 0 ? MemoryNebd::Do::hold : MemoryNebd::Do::answer;
    };
  }

 private:
  MemoryNebd& server_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// Each thread has a part of one block to itself, which borders on the others'.
void neighbours(uint32_t block, bool cuts) {
  Setting s(block);
  Trouble::prepare(*s.server);
  s.server->start();
  NebdVolume volume(s.options);
  Align align(volume, size);
  {
    Trouble trouble(*s.server, cuts);
    std::vector<std::thread> all;
    for (uint64_t t = 0; t < threads; ++t) {
      all.emplace_back([&, t] {
        const uint64_t part = block / threads, at = gib + t * part;
        for (int i = 1; i <= 120; ++i) {
          const bool may_block = (t + static_cast<uint64_t>(i)) % 2;
          if (!CHECK_EQ(write(align, at, part, static_cast<uint8_t>(i), may_block), 0)) return;
          if (!CHECK_EQ(read_fill(align, at, part, may_block), i)) return;
        }
      });
    }
    for (auto& thread : all) thread.join();
  }
  CHECK_EQ(s.server->crash(), "");
}

// All threads write one odd range that lies in one block, and the blocks around it by turns: a reader sees one of them whole.
void rivals(uint32_t block, bool cuts) {
  Setting s(block);
  Trouble::prepare(*s.server);
  s.server->start();
  NebdVolume volume(s.options);
  Align align(volume, size);
  const uint64_t at = gib + block + 13, length = block - 29;
  {
    Trouble trouble(*s.server, cuts);
    std::vector<std::thread> all;
    for (uint64_t t = 1; t < threads; ++t) {
      all.emplace_back([&, t] {
        for (int i = 0; i < 80; ++i) {
          const bool may_block = (t + static_cast<uint64_t>(i)) % 2;
          if (!CHECK_EQ(write(align, at, length, static_cast<uint8_t>(t), may_block), 0)) return;
          // Whole blocks and edges of the neighbours, so that ranges of every shape wait for each other.
          if (!CHECK_EQ(write(align, gib + (i % 3) * block * 2, block, static_cast<uint8_t>(t)), 0)) return;
        }
      });
    }
    std::thread reader([&] {
      for (int i = 0; i < 300; ++i) {
        const int fill = read_fill(align, at, length, i % 2);
        if (!CHECK(fill >= 0 && fill < static_cast<int>(threads))) return;
      }
    });
    for (auto& thread : all) thread.join();
    reader.join();
  }
  CHECK_EQ(s.server->crash(), "");
}

}  // namespace

int main() {
  tap::test("eight threads that share a block of 4096 bytes never undo one another's bytes", [] { neighbours(4096, false); });
  tap::test("nor on blocks of 512 bytes", [] { neighbours(512, false); });
  tap::test("nor while the connection is cut again and again", [] { neighbours(512, true), neighbours(4096, true); });
  tap::test("a reader of bytes that seven threads write at once sees one of their writes, whole", [] { rivals(4096, false), rivals(512, false); });
  tap::test("also while the connection is cut", [] { rivals(4096, true), rivals(512, true); });
  return tap::finish();
}
