// The NEBD volume in forked children.
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "block/support.h"
#include "curvebs/volume_support.h"

using namespace cbd;
using namespace cbd::test;

namespace {

constexpr const char* sentence = "eight forked children and their parent all use the volume, each under its own name";

void forks() {
  tap::test(sentence, [] {
    Setting s;
    s.server->start();
    auto volume = std::make_unique<NebdVolume>(s.options);
    CHECK_EQ(write(*volume, 0, 4096, 100), 0);
    std::vector<pid_t> children;
    for (int i = 1; i <= 8; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        const uint64_t at = static_cast<uint64_t>(i) * gib;
        bool good = read_fill(*volume, 0, 4096) == 100;
        for (int round = 0; round < 50 && good; ++round) {
          good = write(*volume, at, 1 << 16, static_cast<uint8_t>(round), round % 2) == 0 && read_fill(*volume, at, 1 << 16, round % 2) == round;
        }
        volume.reset();
        _exit(good ? 0 : 1);
      }
      children.push_back(pid);
    }
    for (int round = 0; round < 50; ++round) CHECK_EQ(write(*volume, 4096, 1 << 16, static_cast<uint8_t>(round)), 0);
    for (pid_t pid : children) {
      int status = -1;
      waitpid(pid, &status, 0);
      CHECK_EQ(status, 0);
    }
    for (int i = 1; i <= 8; ++i) CHECK_EQ(read_fill(*volume, static_cast<uint64_t>(i) * gib, 1 << 16), 49);
    until([&] { return s.server->open_names().size() == 1; });
    CHECK_EQ(s.server->connections(), 9);
  });
}

}  // namespace

int main() {
  if (block::test::threads_after_fork) {
    forks();
  } else {
    tap::skip(sentence, block::test::no_threads_after_fork);
  }
  return tap::finish();
}
