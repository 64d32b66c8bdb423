// Random operations through librbd's C functions against memory: reads and writes of several threads and of two clients, snapshots,
// clones, flattens, rollbacks, resizes, copies and reopens; every snapshot is read again to the end:
//   native_rbd_model [operations [SEED [CONF [POOL]]]]    4,000 by default, fewer under TSan; 1,000,000 is the long form
// Without a configuration it starts daemons of its own, one on local files and one on a CurveBS stand-in.
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "rbd/model_family.h"
#include "rbd/served.h"
#include "tap.h"

using namespace cbd::test;

namespace {

// Reads and writes between two changes of an image: the short form has the changes closer together.
uint64_t round_of(uint64_t operations) { return operations < 100000 ? 50 : 400; }

// False at the first mismatch.
bool run(Clients& clients, uint64_t operations, uint32_t seed) {
  Family family(clients, seed, std::to_string(seed) + "-");
  const uint64_t round = round_of(operations);
  uint64_t done = 0;
  auto told = std::chrono::steady_clock::now();
  while (done < operations) {
    if (!family.step(round)) {
      std::printf("# seed %u, after %llu operations\n", seed, static_cast<unsigned long long>(done));
      return false;
    }
    done += round;
    const auto now = std::chrono::steady_clock::now();
    if (now - told > std::chrono::seconds(30)) {
      told = now;
      std::printf("# %llu operations, %llu changes of images\n", static_cast<unsigned long long>(done), static_cast<unsigned long long>(family.changes()));
      std::fflush(stdout);
    }
  }
  if (!family.verify_all() || !family.remove_all()) return false;
  std::printf("# seed %u: %llu operations, %llu changes of images, %llu readings of whole snapshots, no mismatch\n", seed,
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(family.changes()),
              static_cast<unsigned long long>(family.snapshots_verified()));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__SANITIZE_THREAD__)
  const uint64_t usual = 2000;
#else
  const uint64_t usual = 4000;
#endif
  const uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : usual;
  const auto seed = static_cast<uint32_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 11);
  if (argc > 3) {
    Clients clients(argv[3], argc > 4 ? argv[4] : "rbd", false);
    tap::test("random operations on images, snapshots and clones match a model, and snapshots never change", [&] { CHECK(run(clients, operations, seed)); });
    return tap::finish();
  }
  for (const auto& [backend, sentence] : {
           std::pair("local", "on local random operations on images, snapshots and clones match a model, and snapshots never change"),
           std::pair("curvebs", "on curvebs random operations on images, snapshots and clones match a model, and snapshots never change"),
       }) {
    tap::test(sentence, [&, backend = backend] {
      const Served served(backend);
      Clients clients(served.conf(), "rbd", std::string_view(backend) == "local");
      if (!CHECK(run(clients, operations, seed))) served.print_log();
    });
  }
  return tap::finish();
}
