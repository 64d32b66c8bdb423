// rbd import: a file or a pipe becomes an image. A half-made image is removed.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "data/commands.h"
#include "data/flow.h"
#include "data/full_format.h"
#include "data/image.h"
#include "data/paths.h"
#include "data/shape.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr int depth = 16;

const std::vector<Option> options =
    with_format(with_shape({{"pool", 'p'}, {"namespace"}, {"image"}, {"path"}, {"dest-pool"}, {"dest-namespace"}, {"dest"}, {"sparse-size"},
                {"no-progress", 0, true}, {"export-format"}}));

Source open_source(const std::string& path) {
  Source source(path);
  if (source.error() != 0 && source.error() != -EISDIR) throw Failure{-source.error(), "rbd: error opening " + path + "\n" + failure("import failed", source.error()).text};
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
  const Buffers buffers(piece_bytes);
  WriteFlow flow(image, depth);
  uint64_t offset = 0, room = source.size();
  for (;;) {
    if (is_interrupted()) return -EINTR;
    if (!source.is_stream() && sparse != 0) {
      // Holes of the file are not read.
      off_t data = lseek(source.fd(), static_cast<off_t>(offset), SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data > 0) offset = static_cast<uint64_t>(data) / piece_bytes * piece_bytes;
      if (lseek(source.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) return -errno;
    }
    Buffers::Buffer buffer = buffers.take();
    ssize_t got = read_full(source.fd(), buffer.get(), piece_bytes);
    if (got < 0) return static_cast<int>(got);
    if (got == 0) break;
    uint64_t end = offset + static_cast<uint64_t>(got);
    if (end > room) {
      room = std::max(end, source.is_stream() ? room * 2 : end);
      if (int result = rbd_resize(image, room); result < 0) return result;
    }
    const auto write = [&](size_t from, size_t length) { return flow.write(offset + from, buffer, from, length); };
    const int result = sparse == 0 ? write(0, static_cast<size_t>(got)) : for_each_nonzero(buffer.get(), static_cast<size_t>(got), sparse, write);
    if (result != 0) return result;
    offset = end;
    progress.update(offset, source.size());
  }
  if (int result = flow.drain(); result < 0) return result;
  if (source.is_stream() && room != offset) {
    if (int result = rbd_resize(image, offset); result < 0) return result;
  }
  return rbd_flush(image);
}

std::string base_name(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Spec destination(const Words& words, const std::string& path) {
  Spec spec;
  if (auto word = words.word(words.has("path") ? 0 : 1); word && !word->empty()) spec = parse_spec(*word);
  if (spec.image.empty()) spec.image = words.text("dest").value_or(words.text("image").value_or(base_name(path)));
  if (spec.pool.empty()) spec.pool = words.text("dest-pool").value_or(words.text("pool").value_or("rbd"));
  if (spec.name_space.empty()) spec.name_space = words.text("dest-namespace").value_or(words.text("namespace").value_or(""));
  if (!spec.snap.empty()) throw Failure{EINVAL, "rbd: destination snapshot name specified for a command that doesn't use it\n"};
  return spec;
}

// The new image is like the exported one where the command line says nothing else.
void take_head(const ImageHead& head, Shape& shape) {
  auto otherwise = [&](int option, std::optional<uint64_t> value) {
    if (value && !shape.has(option)) shape.set(option, *value);
  };
  otherwise(RBD_IMAGE_OPTION_ORDER, head.order);
  if (head.features) otherwise(RBD_IMAGE_OPTION_FEATURES, *head.features & ~(RBD_FEATURES_INTERNAL | RBD_FEATURE_DATA_POOL));
  if (head.features.value_or(0) & RBD_FEATURE_STRIPINGV2) {
    otherwise(RBD_IMAGE_OPTION_STRIPE_UNIT, head.stripe_unit);
    otherwise(RBD_IMAGE_OPTION_STRIPE_COUNT, head.stripe_count);
  }
}

}  // namespace

int run_import(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 2);
  const std::string path = words.word(0) ? *words.word(0) : words.text("path").value_or("");
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  const bool is_full = has_full_format(words);
  Spec spec = destination(words, path);
  const uint64_t sparse = sparse_size(words);
  Shape shape(words);

  Pool pool(cluster, spec.pool, spec.name_space);
  Source source = open_source(path);
  Progress progress("Importing image", !words.has("no-progress"));
  watch_interrupts();
  std::string message;
  InStream in(source.fd());
  ImageHead head;
  int result = source.error();
  if (result != 0) message = "rbd: cannot import a directory\n";
  if (result == 0 && !source.is_stream() && source.size() == 0) {
    // As the real one, which asks a file without bytes for its size as a device.
    result = -ENOTTY;
    message = "rbd: unable to get size of file/block device\n";
  }
  if (result == 0 && is_full) result = read_full_head(in, head, message);
  if (result == 0) {
    if (is_full) take_head(head, shape);
    result = rbd_create4(pool.ioctx(), spec.image.c_str(), is_full || source.is_stream() ? 0 : source.size(), shape.get());
    if (result != 0) message = "rbd: image creation failed\n";
    if (result == 0) {
      {
        Image image(pool, spec.image, "", false);
        result = is_full ? read_full_diffs(in, head, image, source.size(), progress, message) : copy_in(source, image.handle(), sparse, progress);
        int closed = image.close();
        if (result == 0) result = closed;
      }
      if (result != 0) remove_half(pool, spec.image);
    }
  }
  fputs(message.c_str(), stderr);
  if (result == 0) {
    progress.finish();
    return 0;
  }
  progress.fail();
  throw failure("import failed", result == -EBADMSG ? short_stream : result);
}

}  // namespace cbd::hooks
