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
      switch (random() % 6) {
        case 0: frame[random() % frame.size()] = static_cast<uint8_t>(random()); break;
        case 1: frame.resize(random() % frame.size()); break;
        case 2: frame.insert(frame.end(), frame.begin(), frame.end()); break;
        case 3: frame.assign(random() % 300, static_cast<uint8_t>(random())); break;
        case 4: for (int i = 0; i < 4; ++i) frame[12 + random() % 12] = static_cast<uint8_t>(random()); break;
        default: memcpy(frame.data() + 4, "\xff\xff\xff\xff", 4); break;
      }
    };
    s.options.times.patience = 100;
    s.server->start();
    NebdVolume volume(s.options);
    std::vector<std::unique_ptr<Io>> ios;
    // Every tenth request waits until one more reply was spoiled, so that they meet every state of a connection. One that a spoiled
    // reply has left without a next one is cut.
    for (int i = 0; i < 300 || spoiled < 200 || s.server->connections() < 30; ++i) {
      if (!CHECK(i < 20000)) break;
      ios.push_back(std::make_unique<Io>(random() % 2 ? Op::read : Op::write, (random() % 64) << 12, (1 + random() % 20) << 12, 1));
      const int before = spoiled;
      volume.submit(*ios.back());
      if (i % 10 != 9) continue;
      until([&, looks = 0]() mutable {
        if (spoiled > before || std::ranges::all_of(ios, [](const auto& io) { return io->is_over(); })) return true;
        if (++looks % 20 == 0) s.server->disconnect();
        return false;
      });
    }
    spoiling = false;
    s.server->disconnect();
    for (auto& io : ios) io->wait();
    CHECK_EQ(s.server->crash(), "");
    CHECK_EQ(write(volume, 0, 4096, 5), 0);
    CHECK_EQ(read_fill(volume, 0, 4096), 5);
  });
}

}  // namespace

int main() {
  hostile();
  return tap::finish();
}
