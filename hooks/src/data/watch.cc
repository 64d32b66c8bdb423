// rbd watch: says when an image changed, until a line comes or the input ends.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}};

struct Seen {
  std::string name;
  uint64_t cookie = 0;
  std::atomic<uint64_t> count{0};
};

// There is no notification of its own behind a change here: the number counts, and nothing is carried.
void note_change(void* context) {
  auto& seen = *static_cast<Seen*>(context);
  printf("%s received notification: notify_id=%" PRIu64 ", cookie=%" PRIu64 ", notifier_id=0, bl.length=0\n", seen.name.c_str(), ++seen.count, seen.cookie);
  fflush(stdout);
}

// Returns when standard input gave a line or ended, or a signal came.
void wait_for_input() {
  for (;;) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int got = poll(&input, 1, -1);
    if (got < 0 && errno == EINTR && !is_interrupted()) continue;
    char byte = 0;
    if (got <= 0 || read(STDIN_FILENO, &byte, 1) <= 0 || byte == '\n') return;
  }
}

}  // namespace

int run_watch(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 1);
  Spec spec = image_spec(words, 0, false);
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, "", true);
  watch_interrupts();
  Seen seen;
  seen.name = spec.image;
  if (int result = rbd_update_watch(image.handle(), &seen.cookie, note_change, &seen); result < 0) throw failure("watch failed", result);
  puts("press enter to exit...");
  fflush(stdout);
  wait_for_input();
  if (int result = rbd_update_unwatch(image.handle(), seen.cookie); result < 0) throw failure("watch failed", result);
  return is_interrupted() ? EINTR : 0;
}

}  // namespace cbd::hooks
