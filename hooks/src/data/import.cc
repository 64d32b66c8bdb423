// rbd import: a file or a pipe becomes an image. A half-made image is removed.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "control/unique_fd.h"
#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr int depth = 8;

const std::vector<Option> options = {
    {"pool", 'p'}, {"namespace"}, {"image"}, {"path"}, {"dest-pool"}, {"dest-namespace"}, {"dest"}, {"image-format"},
    {"new-format", 0, true}, {"order"}, {"object-size"}, {"image-feature"}, {"image-shared", 0, true}, {"stripe-unit"},
    {"stripe-count"}, {"data-pool"}, {"sparse-size"}, {"no-progress", 0, true}, {"export-format"}};

struct Features {
  const char* name;
  uint64_t bit;
};
const Features feature_bits[] = {{"layering", RBD_FEATURE_LAYERING},       {"striping", RBD_FEATURE_STRIPINGV2},
                                 {"exclusive-lock", RBD_FEATURE_EXCLUSIVE_LOCK}, {"object-map", RBD_FEATURE_OBJECT_MAP},
                                 {"fast-diff", RBD_FEATURE_FAST_DIFF},     {"deep-flatten", RBD_FEATURE_DEEP_FLATTEN},
                                 {"journaling", RBD_FEATURE_JOURNALING}};

uint64_t features_of(const std::vector<std::string>& lists) {
  uint64_t bits = 0;
  for (std::string list : lists) {
    list += ',';
    for (size_t from = 0, comma; (comma = list.find(',', from)) != std::string::npos; from = comma + 1) {
      std::string name = list.substr(from, comma - from);
      auto at = std::find_if(std::begin(feature_bits), std::end(feature_bits), [&](const Features& one) { return name == one.name; });
      if (at == std::end(feature_bits)) throw Failure{1, "rbd: the argument for option '--image-feature' is invalid\n"};
      bits |= at->bit;
    }
  }
  return bits;
}

// The image options of the words; the caller destroys them.
rbd_image_options_t shape_of(const Words& words) {
  uint64_t order = 0;
  if (auto text = words.text("order")) {
    order = std::strtoul(text->c_str(), nullptr, 10);
    if (order < 12 || order > 25) throw Failure{1, "rbd: the argument for option '--order' is invalid\n"};
    fprintf(stderr, "rbd: --order is deprecated, use --object-size\n");
  } else if (auto size = words.text("object-size")) {
    uint64_t bytes = parse_bytes("object-size", *size);
    while ((uint64_t{1} << order) < bytes) ++order;
  }
  uint64_t features = features_of(words.texts("image-feature"));
  uint64_t stripe_unit = words.has("stripe-unit") ? parse_bytes("stripe-unit", *words.text("stripe-unit")) : 0;
  uint64_t stripe_count = words.has("stripe-count") ? std::strtoul(words.text("stripe-count")->c_str(), nullptr, 10) : 0;
  rbd_image_options_t shape;
  rbd_image_options_create(&shape);
  rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_FORMAT, 2);
  if (order != 0) rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_ORDER, order);
  if (words.has("image-feature")) rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_FEATURES, features);
  if (words.has("image-shared")) {
    rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_FEATURES_CLEAR,
                                 RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP | RBD_FEATURE_FAST_DIFF | RBD_FEATURE_JOURNALING);
  }
  if (stripe_unit != 0) rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_STRIPE_UNIT, stripe_unit);
  if (stripe_count != 0) rbd_image_options_set_uint64(shape, RBD_IMAGE_OPTION_STRIPE_COUNT, stripe_count);
  if (auto pool = words.text("data-pool")) rbd_image_options_set_string(shape, RBD_IMAGE_OPTION_DATA_POOL, pool->c_str());
  return shape;
}

struct Source {
  UniqueFd owned;
  int fd = -1;
  bool is_stream = false;  // its size is known only at its end
  uint64_t size = 0;
};

Source open_source(const std::string& path) {
  Source source;
  if (path == "-") {
    source.fd = STDIN_FILENO;
    source.is_stream = true;
    return source;
  }
  source.owned = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  source.fd = source.owned.get();
  if (source.fd < 0) {
    int error = errno;
    Failure why = failure("import failed", -error);
    throw Failure{error, "rbd: error opening " + path + "\n" + why.text};
  }
  struct stat about {};
  fstat(source.fd, &about);
  if (S_ISDIR(about.st_mode)) throw Failure{EISDIR, "rbd: cannot import a directory\nrbd: import failed: (21) Is a directory\n"};
  if (S_ISREG(about.st_mode)) {
    source.size = static_cast<uint64_t>(about.st_size);
  } else if (S_ISBLK(about.st_mode)) {
    ioctl(source.fd, BLKGETSIZE64, &source.size);
  } else {
    source.is_stream = true;
  }
  return source;
}

// Fills the buffer as far as the source goes; its bytes, or -errno.
ssize_t read_full(int fd, char* buffer, size_t length) {
  size_t got = 0;
  while (got < length) {
    ssize_t now = read(fd, buffer + got, length - got);
    if (now == 0) break;
    if (now < 0 && errno == EINTR && !is_interrupted()) continue;
    if (now < 0) return -errno;
    got += static_cast<size_t>(now);
  }
  return static_cast<ssize_t>(got);
}

// Copies everything; the image grows where the source turns out to be longer. 0 or -errno.
int copy_in(const Source& source, rbd_image_t image, size_t sparse, Progress& progress) {
  WriteFlow flow(image, depth);
  uint64_t offset = 0, room = source.size;
  for (;;) {
    if (is_interrupted()) return -EINTR;
    if (!source.is_stream) {
      // Holes of the file are not read.
      off_t data = lseek(source.fd, static_cast<off_t>(offset), SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data > 0) offset = static_cast<uint64_t>(data) / piece_bytes * piece_bytes;
      if (lseek(source.fd, static_cast<off_t>(offset), SEEK_SET) < 0) return -errno;
    }
    std::vector<char> buffer(piece_bytes);
    ssize_t got = read_full(source.fd, buffer.data(), buffer.size());
    if (got < 0) return static_cast<int>(got);
    if (got == 0) break;
    uint64_t end = offset + static_cast<uint64_t>(got);
    if (end > room) {
      room = std::max(end, source.is_stream ? room * 2 : end);
      if (int result = rbd_resize(image, room); result < 0) return result;
    }
    int result = for_each_nonzero(buffer.data(), static_cast<size_t>(got), sparse, [&](size_t from, size_t length) {
      return flow.write(offset + from, std::vector<char>(buffer.begin() + static_cast<long>(from), buffer.begin() + static_cast<long>(from + length)));
    });
    if (result != 0) return result;
    offset = end;
    progress.update(offset, source.size);
  }
  if (int result = flow.drain(); result < 0) return result;
  if (source.is_stream && room != offset) {
    if (int result = rbd_resize(image, offset); result < 0) return result;
  }
  return rbd_flush(image);
}

std::string base_name(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

int run_import(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 2);
  std::string path = words.word(0) ? *words.word(0) : words.text("path").value_or("");
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  if (auto format = words.text("export-format"); format && *format != "1") {
    if (*format != "2") throw Failure{1, "rbd: the argument for option '--export-format' is invalid\n"};
    throw Failure{EOPNOTSUPP, "rbd: import: --export-format 2 is not supported\n"};
  }
  size_t at = words.has("path") ? 0 : 1;
  Spec spec;
  if (auto word = words.word(at); word && !word->empty()) spec = parse_spec(*word);
  if (spec.image.empty()) spec.image = words.text("dest").value_or(words.text("image").value_or(base_name(path)));
  if (spec.pool.empty()) spec.pool = words.text("dest-pool").value_or(words.text("pool").value_or("rbd"));
  if (spec.name_space.empty()) spec.name_space = words.text("dest-namespace").value_or(words.text("namespace").value_or(""));
  if (!spec.snap.empty()) throw Failure{EINVAL, "rbd: snapshot name specified for a command that doesn't use it\n"};
  uint64_t sparse = words.has("sparse-size") ? parse_bytes("sparse-size", *words.text("sparse-size")) : 4096;
  if (sparse < 512 || sparse > piece_bytes || (sparse & (sparse - 1)) != 0) throw Failure{1, "rbd: the argument for option '--sparse-size' is invalid\n"};

  Pool pool(cluster, spec.pool, spec.name_space);
  Source source = open_source(path);
  Progress progress("Importing image", !words.has("no-progress"));
  watch_interrupts();
  rbd_image_options_t shape = shape_of(words);
  int result = rbd_create4(pool.ioctx(), spec.image.c_str(), source.is_stream ? 0 : source.size, shape);
  rbd_image_options_destroy(shape);
  if (result == 0) {
    {
      Image image(pool, spec.image, "", false);
      result = copy_in(source, image.handle(), sparse, progress);
      int closed = image.close();
      if (result == 0) result = closed;
    }
    if (result != 0) rbd_remove(pool.ioctx(), spec.image.c_str());
  }
  if (result == 0) {
    progress.finish();
    return 0;
  }
  progress.fail();
  throw failure("import failed", result);
}

}  // namespace cbd::hooks
