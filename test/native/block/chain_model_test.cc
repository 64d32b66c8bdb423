// Images of layers against memory: snapshots, clones, rollbacks, resizes and reopens between random
// operations of several threads; every snapshot is checked again to the end:
//   native_block_chain_model [operations]    20,000 by default; 1,000,000 is the long form
#include "block/chain_image.h"
#include "block/model.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;

namespace {

struct Kept {
  std::vector<LayerSpec> layers;
  uint64_t size;
  Bytes bytes;
};

bool same(const Kept& kept) {
  ChainImage image(kept.layers, kept.size);
  ModelRun run(*image.align, image.ring, {});
  return run.verify({0, kept.bytes});
}

// What differs by the maps covers what differs by the bytes, and says zero only of zeroes.
bool changes_hold(const Kept& from, const Kept& to) {
  auto open = [](const Kept& kept) {
    auto chain = std::make_unique<Chain>([](bool) {});
    if (chain->set_layers(kept.layers, kept.size, Chain::Leave::read)) std::abort();
    return chain;
  };
  auto a = open(from), b = open(to);
  std::vector<Extent> extents;
  const uint64_t end = (std::max(from.size, to.size) + 4095) / 4096 * 4096;
  if (!CHECK_EQ(b->changes_since(a.get(), 0, end, extents), 0)) return false;
  std::vector<char> said(end / 4096, ' ');
  for (const Extent& e : extents) {
    for (uint64_t at = e.offset; at < e.offset + e.length; at += 4096)
      said[at / 4096] = e.kind == Extent::Kind::data ? 'd' : 'z';
  }
  auto byte = [](const Kept& kept, uint64_t at) { return at < kept.size ? kept.bytes[at] : 0; };
  for (uint64_t block = 0; block < std::min(from.size, to.size) / 4096; ++block) {
    bool differs = false, is_zero = true;
    for (uint64_t at = block * 4096; at < (block + 1) * 4096; ++at) {
      differs |= byte(from, at) != byte(to, at);
      is_zero &= byte(to, at) == 0;
    }
    if (differs && !CHECK(said[block] != ' ')) return false;
    if (said[block] == 'z' && !CHECK(is_zero)) return false;
  }
  return true;
}

void run(uint64_t operations, bool reorders, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes model(1000000 + seed % 4096, 0);
  auto image = std::make_unique<ChainImage>(ChainImage::plain(model.size()), model.size());
  image->reorders = reorders;
  std::vector<Kept> snapshots;
  const uint64_t round = 250;
  for (uint64_t done = 0; done < operations; done += round) {
    ModelRun test(*image->align, image->ring, {});
    if (!run_threads(test, model, round, random())) return;
    image->settle();
    switch (random() % 8) {
      case 0:
      case 1: {
        Kept kept{image->snapshot(), model.size(), model};
        if (!snapshots.empty() && !changes_hold(snapshots.back(), kept)) return;
        // A dozen at a time, so that the chain stays of an ordinary depth.
        if (snapshots.size() < 12) snapshots.push_back(std::move(kept));
        break;
      }
      case 2: {
        if (image->flush()) return;
        image->reopen();
        break;
      }
      case 3: {
        const uint64_t size = 300000 + random() % 1200000;
        image->resize(size);
        model.resize(size, 0);
        break;
      }
      case 4: {
        if (snapshots.empty()) break;
        const Kept& kept = snapshots[random() % snapshots.size()];
        if (random() % 2) {
          image->roll_back(kept.layers, kept.size);
        } else {
          // A clone; the old image goes.
          image = std::make_unique<ChainImage>(kept.layers, kept.size);
          image->reorders = reorders;
        }
        model = kept.bytes;
        break;
      }
      case 5: {
        if (snapshots.empty()) break;
        const size_t index = random() % snapshots.size();
        if (!same(snapshots[index])) return;
        if (random() % 3 == 0) snapshots.erase(snapshots.begin() + static_cast<long>(index));
        break;
      }
      default:
        break;
    }
    // Layers that nothing but the image refers to would be merged; here the image begins anew when the chain
    // is long.
    if (image->layers.size() > 14) {
      for (const Kept& kept : snapshots) {
        if (!same(kept)) return;
      }
      snapshots.clear();
      model.assign(900001, 0);
      image = std::make_unique<ChainImage>(ChainImage::plain(model.size()), model.size());
      image->reorders = reorders;
    }
  }
  for (const Kept& kept : snapshots) {
    if (!same(kept)) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000;
  tap::test("random operations on layers match a model, and snapshots never change",
            [&] { run(operations / 2, false, 5); });
  tap::test("the same with heads that answer in random order", [&] { run(operations / 2, true, 9); });
  return tap::finish();
}
