// Flatten and merge against what the chain showed before, also when they are cut short and run again.
#include "block/chain_image.h"
#include "block/layer_tools.h"
#include "block/model.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;

namespace {

Bytes shown(std::vector<LayerSpec> layers, uint64_t size) {
  for (auto& layer : layers) layer.is_frozen = true;
  Chain chain([](bool) {});
  if (chain.set_layers(layers, size, Chain::Leave::read)) return {};
  Align align(chain, size);
  return Sync(align).bytes(0, size);
}

// Three frozen layers of an image that shrank and grew in between.
struct Made {
  std::vector<LayerSpec> layers;
  uint64_t size;
};

Made make(bool plain_base, uint32_t seed) {
  const uint64_t size = 700001;
  ChainImage image(plain_base ? ChainImage::plain(size) : std::vector<LayerSpec>{}, size);
  std::mt19937 random(seed);
  Bytes model(size, 0);
  for (uint64_t next : {400001ull, 900003ull, 0ull}) {
    ModelRun run(*image.align, image.ring, {});
    run_threads(run, model, 60, random());
    image.snapshot();
    if (!next) break;
    image.resize(next);
    model.resize(next, 0);
    image.settle();
  }
  return {image.layers, image.size};
}

}  // namespace

int main() {
  for (bool plain : {true, false}) {
    const std::string tail = plain ? " (over a plain layer)" : " (of cow layers only)";
    tap::test(("a flattened chain holds the same bytes, and holes stay holes" + tail).c_str(), [&] {
      const Made made = make(plain, 1);
      const Bytes before = shown(made.layers, made.size);
      MemoryVolume target({.size = (made.size + 4095) / 4096 * 4096});
      int calls = 0;
      CHECK_EQ(flatten_layers(made.layers, made.size, target,
                              [&](uint64_t, uint64_t) { return ++calls == 2 ? -1 : 0; }),
               -ECANCELED);
      CHECK_EQ(flatten_layers(made.layers, made.size, target, {}), 0);
      CHECK(Sync(target).bytes(0, target.size()).size() >= before.size());
      const Bytes after = Sync(target).bytes(0, target.size());
      CHECK(std::equal(before.begin(), before.end(), after.begin()));
      CHECK(std::all_of(after.begin() + static_cast<long>(before.size()), after.end(),
                        [](auto b) { return b == 0; }));
    });

    tap::test(("merging each layer into the one below shows the same bytes at every step" + tail).c_str(),
              [&] {
                for (uint32_t seed = 1; seed < 8; ++seed) {
                  Made made = make(plain, seed);
                  const Bytes before = shown(made.layers, made.size);
                  // From the bottom up, as the daemon would for layers that nothing else refers to.
                  while (made.layers.size() > 1) {
                    const LayerSpec upper = made.layers[made.layers.size() - 2], lower = made.layers.back();
                    auto& volume = static_cast<MemoryVolume&>(*lower.volume);
                    const uint64_t needed =
                        lower.is_cow ? cow_bytes(upper.size) : (upper.size + 4095) / 4096 * 4096;
                    if (volume.size() < needed) volume.set_size(needed);
                    int calls = 0;
                    auto merge = [&](const ToolProgress& progress) {
                      Layer a(upper.id, true, upper.volume), b(lower.id, lower.is_cow, lower.volume);
                      return merge_layer(a, b, lower.size, upper.size, progress);
                    };
                    const int cut_short = merge([&](uint64_t, uint64_t) { return ++calls == 3 ? -1 : 0; });
                    CHECK(cut_short == -ECANCELED || calls < 3);
                    CHECK(shown(made.layers, made.size) == before);
                    CHECK_EQ(merge({}), 0);
                    CHECK(shown(made.layers, made.size) == before);
                    made.layers.erase(made.layers.end() - 2);
                    made.layers.back().size = upper.size;
                    if (!CHECK(shown(made.layers, made.size) == before)) return;
                  }
                }
              });
  }

  tap::test("a layer's usage counts its data blocks", [] {
    auto volume = cow_volume(1 << 20);
    const LayerSpec spec{.id = "x", .is_cow = true, .is_frozen = false, .size = 1 << 20, .volume = volume};
    Chain chain([](bool) {});
    CHECK_EQ(chain.set_layers({spec}, 1 << 20, Chain::Leave::write), 0);
    Sync sync(chain);
    Bytes data(3 * 4096, 1);
    CHECK_EQ(sync.write(4096, data.data(), data.size()), 0);
    CHECK_EQ(sync.plain(Op::zero, 4096, 4096), 0);
    CHECK_EQ(sync.flush(), 0);
    Layer layer("x", true, volume);
    uint64_t bytes = 0;
    CHECK_EQ(measure_layer(layer, 1 << 20, bytes), 0);
    CHECK_EQ(bytes, 8192u);
  });

  tap::test("zeroing a range writes only where it is not zero", [] {
    MemoryVolume volume({.size = 1 << 20, .block_size = 1});
    Bytes data(4096, 1);
    volume.poke(10000, data.data(), 4096);
    CHECK_EQ(zero_range(volume, 11000, 500000), 0);
    CHECK_EQ(volume.count(Op::zero) > 0, true);
    Bytes left = Sync(volume).bytes(10000, 4096);
    CHECK(std::all_of(left.begin(), left.begin() + 1000, [](auto b) { return b == 1; }));
    CHECK(std::all_of(left.begin() + 1000, left.end(), [](auto b) { return b == 0; }));
    const uint64_t before = volume.count(Op::zero);
    CHECK_EQ(zero_range(volume, 11000, 500000), 0);
    CHECK_EQ(volume.count(Op::zero), before);
  });
  return tap::finish();
}
