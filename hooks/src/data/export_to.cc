#include "data/export_to.h"

#include <cerrno>

#include "data/flow.h"

namespace cbd::hooks {

int export_to(rados_t cluster, const Words& words, const Spec& spec, const std::string& name,
              const std::function<int(const Pool&, const Image&, const Target&, Progress&)>& write) {
  const std::string path = words.text("path").value_or(words.word(words.has("image") ? 0 : 1).value_or(""));
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, spec.snap, true);
  Progress progress("Exporting image", !words.has("no-progress"));
  watch_interrupts();
  Target target(path);
  int result = target.error();
  if (result != 0) throw failure(name + " error", result);
  result = write(pool, image, target, progress);
  if (result == 0) result = target.finish();
  if (result != 0) {
    progress.fail();
    throw failure(name + " error", result);
  }
  progress.finish();
  return 0;
}

}  // namespace cbd::hooks
