// Power loss at any moment: a cow layer's volume is put back to what a disk could hold then (flushed writes
// whole, others there, missing or torn at 512 bytes) and opened again:
//   native_block_power_loss [cut points]    3,000 by default, fewer under sanitizers
#include <map>
#include <random>

#include "block/chain_image.h"
#include "tap.h"

using namespace cbd::block;
using namespace cbd::block::test;

namespace {

constexpr uint64_t sector = 512;
constexpr uint64_t image_bytes = 200ull << 20;

// Where the writes go: around the borders of map sectors and pages, and elsewhere.
constexpr uint64_t spot_blocks = 24;
const uint64_t spots[] = {0, 2016 - 12, layer::blocks_per_page - 12, 30000, 2 * layer::blocks_per_page - 10};

using Sector = std::array<unsigned char, sector>;

// What one operation made of a sector, and when: `issued` counts the volume's records when it began.
struct Version {
  size_t issued;
  Sector bytes;
};

struct History {
  std::map<uint64_t, std::vector<Version>> sectors;  // by number in the image; the first is from before
  // Flushes that were answered: records when the flush began, and when it ended.
  struct Flush {
    size_t issued, answered;
  };
  std::vector<Flush> flushes;
};

Sector contents(uint64_t seed) {
  Sector out;
  const Bytes bytes = pattern(sector, static_cast<unsigned>(seed));
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

// A frozen layer below, with data in half of the spots' blocks.
LayerSpec base(History& history) {
  auto volume = cow_volume(image_bytes);
  LayerSpec spec{.id = "base", .is_cow = true, .is_frozen = false, .size = image_bytes, .volume = volume};
  Chain chain([](bool) {});
  CHECK_EQ(chain.set_layers({spec}, image_bytes, Chain::Leave::write), 0);
  Sync sync(chain);
  for (uint64_t spot : spots) {
    for (uint64_t b = spot; b < spot + spot_blocks; ++b) {
      Bytes data;
      for (uint64_t s = 0; s < 8; ++s) {
        const Sector bytes = b % 2 ? contents(b * 8 + s) : Sector{};
        history.sectors[b * 8 + s] = {{0, bytes}};
        data.insert(data.end(), bytes.begin(), bytes.end());
      }
      if (b % 2) CHECK_EQ(sync.write(b * 4096, data.data(), 4096), 0);
    }
  }
  CHECK_EQ(sync.flush(), 0);
  spec.is_frozen = true;
  return spec;
}

// Writes, discards and flushes, and the history of what each made.
void work(Chain& chain, MemoryVolume& head, History& history, size_t records, std::mt19937& random) {
  Align align(chain, image_bytes);
  Sync sync(align);
  uint64_t seed = 1000000;
  while (head.records().size() < records) {
    const uint64_t spot = spots[random() % std::size(spots)];
    const uint64_t first = spot * 8 + random() % (spot_blocks * 8);
    const uint64_t count = std::min<uint64_t>(1 + random() % 40, (spot + spot_blocks) * 8 - first);
    const size_t issued = head.records().size();
    switch (random() % 8) {
      case 0: {
        CHECK_EQ(sync.flush(), 0);
        history.flushes.push_back({issued, head.records().size()});
        break;
      }
      case 1:
      case 2:
        CHECK_EQ(sync.plain(random() % 2 ? Op::discard : Op::zero, first * sector, count * sector), 0);
        for (uint64_t s = first; s < first + count; ++s) history.sectors[s].push_back({issued, {}});
        break;
      default: {
        Bytes data;
        for (uint64_t s = first; s < first + count; ++s) {
          const Sector bytes = contents(++seed);
          data.insert(data.end(), bytes.begin(), bytes.end());
          history.sectors[s].push_back({issued, bytes});
        }
        CHECK_EQ(sync.write(first * sector, data.data(), data.size()), 0);
      }
    }
  }
}

// The volume as it may be after a power loss before record `cut`.
std::unique_ptr<MemoryVolume> after_loss(const std::vector<MemoryVolume::Record>& records, size_t cut,
                                         std::mt19937& random) {
  auto volume = std::make_unique<MemoryVolume>(MemoryVolume::Options{.size = cow_bytes(image_bytes)});
  size_t safe = cut;
  while (safe && records[safe - 1].op != Op::flush) --safe;
  for (size_t i = 0; i < safe; ++i) volume->apply(records[i]);
  // Each sector of the rest arrived or did not, by itself and in no order... but of one sector the latest
  // that arrived stays.
  const unsigned mood = random() % 4;
  for (size_t i = safe; i < cut; ++i) {
    const auto& record = records[i];
    const bool all = mood == 0 || (mood == 1 && random() % 2), none = !all && mood == 1;
    if (none) continue;
    for (uint64_t at = 0; at < record.length; at += sector) {
      if (!all && random() % 3 == 0) continue;
      MemoryVolume::Record part{record.op,
                                record.offset + at,
                                sector,
                                {record.data.begin() + static_cast<long>(at),
                                 record.data.begin() + static_cast<long>(at + sector)}};
      volume->apply(part);
    }
  }
  return volume;
}

bool holds(Chain& chain, const History& history, size_t cut) {
  size_t durable = 0;  // issued before this: flushed
  for (const auto& flush : history.flushes) {
    if (flush.answered <= cut) durable = flush.issued;
  }
  Sync sync(chain);
  for (uint64_t spot : spots) {
    const Bytes got = sync.bytes(spot * 4096, spot_blocks * 4096);
    if (!CHECK_EQ(got.size(), spot_blocks * 4096)) return false;
    for (uint64_t s = spot * 8; s < (spot + spot_blocks) * 8; ++s) {
      const auto& versions = history.sectors.at(s);
      // The last one that was flushed, or any that began later and before the cut.
      size_t from = 0;
      for (size_t v = 0; v < versions.size(); ++v) {
        // (What was issued at the same record count as a flush may have come before or after it: both pass.)
        if (versions[v].issued < durable) from = v;
      }
      bool good = false;
      for (size_t v = from; v < versions.size() && versions[v].issued <= cut && !good; ++v) {
        good = std::equal(versions[v].bytes.begin(), versions[v].bytes.end(),
                          got.begin() + static_cast<long>((s - spot * 8) * sector));
      }
      if (!good) {
        std::printf("# cut %zu, sector %llu: a state that never was, or one from before the last flush\n",
                    cut, static_cast<unsigned long long>(s));
        return CHECK(good);
      }
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  const size_t usual = 300;
#else
  const size_t usual = 3000;
#endif
  const size_t cuts = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : usual;
  tap::test("after a power loss at any moment flushed data is whole and the rest is as before or as written",
            [&] {
              std::mt19937 random(42);
              const size_t rounds = 3;
              for (size_t round = 0; round < rounds; ++round) {
                History history;
                const LayerSpec below = base(history);
                auto head = cow_volume(image_bytes, true);
                Chain chain([](bool) {});
                const LayerSpec spec{
                    .id = "head", .is_cow = true, .is_frozen = false, .size = image_bytes, .volume = head};
                CHECK_EQ(chain.set_layers({spec, below}, image_bytes, Chain::Leave::write), 0);
                work(chain, *head, history, 400, random);
                for (size_t i = 0; i < cuts / rounds; ++i) {
                  const size_t cut = i < head->records().size() ? i : random() % head->records().size();
                  std::shared_ptr<MemoryVolume> left = after_loss(head->records(), cut, random);
                  Chain again([](bool) {});
                  LayerSpec reopened = spec;
                  reopened.volume = left;
                  CHECK_EQ(again.set_layers({reopened, below}, image_bytes, Chain::Leave::write), 0);
                  if (!holds(again, history, cut)) return;
                  // It takes writes and flushes again, also where the header was torn.
                  Bytes data(4096, 0x77);
                  Sync sync(again);
                  CHECK_EQ(sync.write(5 * 4096, data.data(), 4096), 0);
                  CHECK_EQ(sync.flush(), 0);
                  Chain third([](bool) {});
                  CHECK_EQ(third.set_layers({reopened, below}, image_bytes, Chain::Leave::read), 0);
                  if (!CHECK(Sync(third).bytes(5 * 4096, 4096) == data)) return;
                }
              }
            });
  return tap::finish();
}
