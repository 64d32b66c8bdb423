// rbd export-diff and import-diff.
#include <cerrno>
#include <cstdio>

#include "data/commands.h"
#include "data/diff_carry.h"
#include "data/export_to.h"
#include "data/flow.h"
#include "data/paths.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> export_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"path"}, {"from-snap"}, {"whole-object", 0, true}, {"no-progress", 0, true}};
const std::vector<Option> import_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"path"}, {"sparse-size"}, {"no-progress", 0, true}};

}  // namespace

int run_export_diff(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(export_options, argv, 2);
  const Spec spec = image_spec(words, 0, true);
  return export_to(cluster, words, spec, "export-diff", [&](const Pool&, const Image& image, const Target& target, Progress& progress) {
    DiffRange range;
    range.from = words.text("from-snap").value_or("");
    range.to = spec.snap;
    range.whole_objects = words.has("whole-object");
    return write_diff(image, range, target.fd(), progress);
  });
}

int run_import_diff(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(import_options, argv, 2);
  const std::string path = words.text("path").value_or(words.word(0).value_or(""));
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  Spec spec = image_spec(words, words.has("path") ? 0 : 1, false);
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, "", false);
  watch_interrupts();
  Source source(path);
  if (source.error() != 0) throw Failure{-source.error(), "rbd: error opening " + path + "\n" + failure("import-diff failed", source.error()).text};
  InStream in(source.fd());
  // As the real one: the second version is part of whole images only.
  if (int wrong = read_banner(in, diff_banner_v1); wrong != 0) throw Failure{-wrong, banner_message(wrong) + failure("import-diff failed", wrong).text};
  Progress progress("Importing image diff", !words.has("no-progress"));
  std::string message;
  int result = apply_diff(in, 1, image, source.size(), progress, message);
  if (int closed = image.close(); result == 0) result = closed;
  if (result == 0) {
    progress.finish();
    return 0;
  }
  fputs(message.c_str(), stderr);
  progress.fail();
  throw failure("import-diff failed", result);
}

}  // namespace cbd::hooks
