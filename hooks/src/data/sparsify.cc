// rbd sparsify: librbd gives the space of zeroes back.
#include <cerrno>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"no-progress", 0, true}, {"sparse-size"}};

}  // namespace

int run_sparsify(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 1);
  Spec spec = image_spec(words, 0, false);
  const uint64_t grain = words.has("sparse-size") ? parse_bytes("sparse-size", *words.text("sparse-size")) : 4096;
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, "", false);
  Progress progress("Image sparsify", !words.has("no-progress"));
  watch_interrupts();
  int result = rbd_sparsify_with_progress(image.handle(), grain, Progress::note, &progress);
  if (int closed = image.close(); result == 0) result = closed;
  if (result < 0) {
    progress.fail();
    throw failure("sparsify error", result);
  }
  progress.finish();
  return 0;
}

}  // namespace cbd::hooks
