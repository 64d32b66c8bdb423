// rbd watch: says when an image changed, until a line comes or the input ends.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}};

struct Seen {
  rados_ioctx_t io = nullptr;
  std::string image, header;
};

// The operation that librbd's notification says: a version, the length of what follows, its number. Else what 16.2.15 says of
// what it cannot read.
uint32_t operation(const void* data, size_t length) {
  uint8_t bytes[10];
  if (length < sizeof bytes) return UINT32_MAX;
  memcpy(bytes, data, sizeof bytes);
  const uint32_t follows = bytes[2] | bytes[3] << 8 | bytes[4] << 16 | static_cast<uint32_t>(bytes[5]) << 24;
  if (bytes[1] != 1 || follows < 4 || follows > length - 6) return UINT32_MAX;
  return bytes[6] | bytes[7] << 8 | bytes[8] << 16 | static_cast<uint32_t>(bytes[9]) << 24;
}

void note_change(void* context, uint64_t notify_id, uint64_t cookie, uint64_t notifier_id, void* data, size_t length) {
  constexpr uint32_t header_update = 3;
  auto& seen = *static_cast<Seen*>(context);
  const uint32_t op = operation(data, length);
  const std::string name = op == header_update ? "HeaderUpdate" : "Unknown (" + std::to_string(op) + ")";
  if (op == UINT32_MAX) fputs("rbd: failed to decode image notification\n", stderr);
  printf("%s received notification: notify_id=%" PRIu64 ", cookie=%" PRIu64 ", notifier_id=%" PRIu64 ", bl.length=%zu, notify_op=%s\n", seen.image.c_str(),
         notify_id, cookie, notifier_id, length, name.c_str());
  fflush(stdout);
  rados_notify_ack(seen.io, seen.header.c_str(), notify_id, cookie, nullptr, 0);
}

void note_error(void* context, uint64_t cookie, int error) {
  auto& seen = *static_cast<Seen*>(context);
  fprintf(stderr, "%s received error: cookie=%" PRIu64 ", err=(%d) %s\n", seen.image.c_str(), cookie, -error, strerror(-error));
}

std::string id_of(const Image& image) {
  char id[64];
  if (int result = rbd_get_id(image.handle(), id, sizeof id); result < 0) throw failure("watch failed", result);
  return id;
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
  // What 16.2.15 watches: whoever asks for the image's watchers sees this one, and the image cannot be removed meanwhile.
  Seen seen{pool.ioctx(), spec.image, "rbd_header." + id_of(image)};
  uint64_t cookie = 0;
  if (int result = rados_watch2(seen.io, seen.header.c_str(), &cookie, note_change, note_error, &seen); result < 0) throw failure("watch failed", result);
  puts("press enter to exit...");
  fflush(stdout);
  wait_for_input();
  if (int result = rados_unwatch2(seen.io, cookie); result < 0) throw failure("watch failed", result);
  return is_interrupted() ? EINTR : 0;
}

}  // namespace cbd::hooks
