// rbd cp and deep cp: librbd copies.
#include <cerrno>
#include <functional>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"
#include "data/shape.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> ends = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"dest-pool"}, {"dest-namespace"}, {"dest"}, {"no-progress", 0, true}};

std::vector<Option> options_and(const Option& own) {
  std::vector<Option> all = with_shape(ends);
  all.push_back(own);
  return all;
}

// As in 16.2.15 the default pool, and no namespace, wherever the source is.
Spec destination(const Words& words) {
  Spec to;
  if (auto word = words.word(words.text("image").value_or("").empty() ? 1 : 0)) to = parse_spec(*word);
  if (to.image.empty()) to.image = words.text("dest").value_or("");
  if (to.image.empty()) throw Failure{EINVAL, "rbd: destination image name was not specified\n"};
  if (!to.snap.empty()) throw Failure{EINVAL, "rbd: destination snapshot name specified for a command that doesn't use it\n"};
  if (to.pool.empty()) to.pool = words.text("dest-pool").value_or("rbd");
  if (to.name_space.empty()) to.name_space = words.text("dest-namespace").value_or("");
  return to;
}

using Work = std::function<int(const Image& image, const Pool& target, const std::string& name, Shape& shape, Progress& progress)>;

int copy(rados_t cluster, const Words& words, const char* label, const char* what, const Work& work) {
  Spec from = image_spec(words, 0, true);
  Shape shape(words);
  Spec to = destination(words);
  Pool source_pool(cluster, from.pool, from.name_space);
  Pool target_pool(cluster, to.pool, to.name_space);
  Image image(source_pool, from.image, from.snap, true);
  Progress progress(label, !words.has("no-progress"));
  watch_interrupts();
  int result = work(image, target_pool, to.image, shape, progress);
  if (result < 0) {
    // Who has seen progress has made the image.
    if (progress.has_begun()) remove_half(target_pool, to.image);
    progress.fail();
    throw failure(what, result);
  }
  progress.finish();
  return 0;
}

}  // namespace

int run_copy(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options_and({"sparse-size"}), argv, 2);
  // What no image can be sparse by counts as nothing said.
  const uint64_t asked = words.has("sparse-size") ? parse_bytes("sparse-size", *words.text("sparse-size")) : 0;
  return copy(cluster, words, "Image copy", "copy failed", [&](const Image& image, const Pool& target, const std::string& name, Shape& shape, Progress& progress) {
    const bool fits = asked >= 4096 && asked <= image.object_size() && (asked & (asked - 1)) == 0;
    const uint64_t sparse = fits ? asked : 4096;
    return rbd_copy_with_progress4(image.handle(), target.ioctx(), name.c_str(), shape.get(), Progress::note, &progress, sparse);
  });
}

int run_deep_copy(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options_and({"flatten", 0, true}), argv, 2);
  return copy(cluster, words, "Image deep copy", "deep copy failed", [&](const Image& image, const Pool& target, const std::string& name, Shape& shape, Progress& progress) {
    if (words.has("flatten")) shape.set(RBD_IMAGE_OPTION_FLATTEN, 1);
    return rbd_deep_copy_with_progress(image.handle(), target.ioctx(), name.c_str(), shape.get(), Progress::note, &progress);
  });
}

}  // namespace cbd::hooks
