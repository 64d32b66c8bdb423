// The NEBD volume and a server that answers with whatever comes to its mind.
#include <string.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include "curvebs/volume_support.h"

using namespace cbd::test;

namespace {

void hostile() {
  tap::test("spoiled replies never harm the process, and good ones afterwards are taken", [] {
    Setting s;
    std::mt19937_64 random(11);
    std::atomic<bool> spoiling{true};
    std::atomic<int> spoiled{0};
    s.server->spoil = [&spoiling, &spoiled, random = std::mt19937_64(12)](std::vector<uint8_t>& frame) mutable {
      if (!spoiling || random() % 3) return;
      ++spoiled;
      switch (random() % 8) {
        case 0: frame[random() % frame.size()] = static_cast<uint8_t>(random()); break;
        case 1: frame.resize(random() % frame.size()); break;
        case 2: frame.insert(frame.end(), frame.begin(), frame.end()); break;
        case 3: frame.assign(random() % 300, static_cast<uint8_t>(random())); break;
        case 4: for (int i = 0; i < 4; ++i) frame[12 + random() % 12] = static_cast<uint8_t>(random()); break;
        // Lengths that lie by a little, and a reply that ends in its body.
        case 5: frame[random() % 2 ? 7 : 11] += static_cast<uint8_t>(random() % 9 - 4); break;
        case 6: frame.resize(std::min<size_t>(frame.size(), 12 + frame[11] + random() % 4)); break;
        default: memcpy(frame.data() + 4, "\xff\xff\xff\xff", 4); break;
      }
    };
    s.options.times.patience = 100;
    s.server->start();
    // A volume whose size or blocks were lied about may have failed for good: each round has one of its own.
    for (int round = 0; spoiled < 1000 || s.server->connections() < 100; ++round) {
      if (!CHECK(round < 1000)) break;
      NebdVolume volume(s.options);
      std::vector<std::unique_ptr<Io>> ios;
      spoiling = true;
      for (int i = 0; i < 60; ++i) {
        ios.push_back(std::make_unique<Io>(random() % 2 ? Op::read : Op::write, (random() % 64) << 12, (1 + random() % 20) << 12, 1));
        const int before = spoiled;
        volume.submit(*ios.back());
        if (i % 10 != 9) continue;
        // One more reply is spoiled before it goes on, so that they meet every state. A connection that waits for the rest of one is cut.
        until([&, looks = 0]() mutable {
          if (spoiled > before || std::ranges::all_of(ios, [](const auto& io) { return io->is_over(); })) return true;
          if (++looks % 20 == 0) s.server->disconnect();
          return false;
        });
      }
      spoiling = false;
      s.server->disconnect();
      for (auto& io : ios) io->wait();
    }
    CHECK_EQ(s.server->crash(), "");
    NebdVolume volume(s.options);
    CHECK_EQ(write(volume, 0, 4096, 5), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 5);
  });
}

}  // namespace

int main() {
  hostile();
  return tap::finish();
}
