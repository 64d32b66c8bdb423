// rbd cp: librbd copies.
#include <cerrno>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"dest-pool"}, {"dest-namespace"}, {"dest"},
                                     {"object-size"}, {"data-pool"}, {"sparse-size"}, {"no-progress", 0, true}};

int note_progress(uint64_t done, uint64_t total, void* progress) {
  static_cast<Progress*>(progress)->update(done, total);
  return is_interrupted() ? -EINTR : 0;
}

}  // namespace

int run_copy(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 2);
  Spec from = image_spec(words, 0, true);
  Spec to;
  if (auto word = words.word(1)) to = parse_spec(*word);
  if (to.image.empty()) to.image = words.text("dest").value_or("");
  if (to.image.empty()) throw Failure{EINVAL, "rbd: destination image name was not specified\n"};
  if (to.pool.empty()) {
    to.pool = words.text("dest-pool").value_or(from.pool);
    to.name_space = words.text("dest-namespace").value_or(from.name_space);
  }
  Pool source_pool(cluster, from.pool, from.name_space);
  Pool target_pool(cluster, to.pool, to.name_space);
  Image image(source_pool, from.image, from.snap, true);
  Progress progress("Image copy", !words.has("no-progress"));
  watch_interrupts();
  rbd_image_options_t shape;
  rbd_image_options_create(&shape);
  if (auto size = words.text("object-size")) {
    uint64_t bytes = parse_bytes("object-size", *size), order = 0;
    while ((uint64_t{1} << order) < bytes) ++order;
    rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_ORDER, order);
  }
  if (auto data_pool = words.text("data-pool")) rbd_image_options_set_string(shape, RBD_IMAGE_OPTION_DATA_POOL, data_pool->c_str());
  size_t sparse = words.has("sparse-size") ? parse_bytes("sparse-size", *words.text("sparse-size")) : 4096;
  int result = rbd_copy_with_progress4(image.handle(), target_pool.ioctx(), to.image.c_str(), shape, note_progress, &progress, sparse);
  rbd_image_options_destroy(shape);
  if (result < 0) {
    progress.fail();
    throw failure("copy failed", result);
  }
  progress.finish();
  return 0;
}

}  // namespace cbd::hooks
