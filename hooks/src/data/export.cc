// rbd export: an image or snapshot becomes a file (with holes) or a stream.
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "data/commands.h"
#include "data/export_to.h"
#include "data/extents.h"
#include "data/flow.h"
#include "data/full_format.h"
#include "files.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr size_t hole_bytes = 4096;

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"path"}, {"no-progress", 0, true}, {"export-format"}};

int write_at(int fd, const char* data, size_t length, uint64_t offset) {
  while (length > 0) {
    ssize_t put = pwrite(fd, data, length, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -errno;
    data += put;
    length -= static_cast<size_t>(put);
    offset += static_cast<uint64_t>(put);
  }
  return 0;
}

int to_file(const Image& image, int fd, Progress& progress) {
  const uint64_t size = image.size();
  std::vector<Extent> extents;
  if (int result = list_extents(image, "", true, extents); result < 0) return result;
  for (const Extent& extent : extents) {
    if (!extent.exists) continue;
    int result = read_in_order(image.handle(), extent.offset, extent.length, piece_bytes, [&](uint64_t offset, const char* data, size_t length) {
      progress.update(offset + length, size);
      return for_each_nonzero(data, length, hole_bytes, [&](size_t from, size_t count) { return write_at(fd, data + from, count, offset + from); });
    });
    if (result != 0) return result;
  }
  return ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : -errno;
}

int to_stream(const Image& image, int fd, Progress& progress) {
  const uint64_t size = image.size();
  return read_in_order(image.handle(), 0, size, piece_bytes, [&](uint64_t offset, const char* data, size_t length) {
    progress.update(offset + length, size);
    return write_whole(fd, {data, length});
  });
}

}  // namespace

int run_export(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(options, argv, 2);
  const Spec spec = image_spec(words, 0, true);
  const bool is_full = has_full_format(words);
  return export_to(cluster, words, spec, "export", [&](const Pool& pool, const Image& image, const Target& target, Progress& progress) {
    if (is_full) return write_full(image, pool, spec.image, target.fd(), progress);
    return target.is_stream() ? to_stream(image, target.fd(), progress) : to_file(image, target.fd(), progress);
  });
}

}  // namespace cbd::hooks
