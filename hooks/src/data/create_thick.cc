// rbd create --thick-provision: an image whose every byte has its space from the start.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"
#include "data/shape.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr int depth = 8;

const std::vector<Option> options =
    with_format(with_shape({{"pool", 'p'}, {"namespace"}, {"image"}, {"size", 's'}, {"thick-provision", 0, true}, {"no-progress", 0, true}}));

// Sizes without a unit are MiB.
uint64_t size_of(const Words& words) {
  auto text = words.text("size");
  if (!text) throw Failure{EINVAL, "rbd: must specify --size <M/G/T>\n"};
  const bool is_plain = !text->empty() && text->find_first_not_of("0123456789", text->find('+') == 0 ? 1 : 0) == std::string::npos;
  return parse_bytes("size", is_plain ? *text + "M" : *text);
}

int fill(Image& image, uint64_t size, Progress& progress) {
  const Buffers::Buffer zeroes = Buffers(piece_bytes).take();
  memset(zeroes.get(), 0, piece_bytes);
  WriteFlow flow(image.handle(), depth);
  for (uint64_t at = 0; at < size; at += piece_bytes) {
    if (is_interrupted()) return -EINTR;
    if (int result = flow.write(at, zeroes, 0, static_cast<size_t>(std::min(piece_bytes, size - at))); result != 0) return result;
    progress.update(at, size);
  }
  if (int result = flow.drain(); result != 0) return result;
  return rbd_flush(image.handle());
}

}  // namespace

int run_create_thick(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 1);
  Spec spec = image_spec(words, 0, false);
  Shape shape(words);
  const uint64_t size = size_of(words);
  Pool pool(cluster, spec.pool, spec.name_space);
  watch_interrupts();
  int result = rbd_create4(pool.ioctx(), spec.image.c_str(), size, shape.get());
  if (result < 0) throw failure("create error", result);
  Progress progress("Thick provisioning", !words.has("no-progress"));
  {
    Image image(pool, spec.image, "", false);
    result = fill(image, size, progress);
    if (int closed = image.close(); result == 0) result = closed;
  }
  if (result < 0) {
    rbd_remove(pool.ioctx(), spec.image.c_str());
    progress.fail();
    throw failure("create error", result);
  }
  progress.finish();
  return 0;
}

}  // namespace cbd::hooks
