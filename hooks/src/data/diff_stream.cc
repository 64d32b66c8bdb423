// rbd export-diff and import-diff: Ceph's "rbd diff v1" (doc/dev/rbd-diff.rst of Ceph describes it): a banner, then records of a
// tag and little-endian numbers: f from-snapshot, t to-snapshot, s size, w data, z zeroes, e end.
#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "control/unique_fd.h"
#include "data/commands.h"
#include "data/extents.h"
#include "data/flow.h"
#include "data/image.h"
#include "files.h"

namespace cbd::hooks {
namespace {

constexpr char banner[] = "rbd diff v1\n";
constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr uint64_t most_piece_bytes = uint64_t{1} << 30;

const std::vector<Option> export_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"snap"}, {"path"}, {"from-snap"}, {"whole-object", 0, true}, {"no-progress", 0, true}};
const std::vector<Option> import_options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"path"}, {"sparse-size"}, {"no-progress", 0, true}};

void put_number(std::string& into, uint64_t number, size_t bytes) {
  uint64_t little = htole64(number);
  into.append(reinterpret_cast<const char*>(&little), bytes);
}

void put_name(std::string& into, char tag, const std::string& name) {
  into += tag;
  put_number(into, name.size(), 4);
  into += name;
}

void put_range(std::string& into, char tag, uint64_t offset, uint64_t length) {
  into += tag;
  put_number(into, offset, 8);
  put_number(into, length, 8);
}

int write_diff(const Image& image, const std::string& from, const std::string& to, bool whole_objects, int fd, Progress& progress) {
  std::vector<Extent> extents;
  if (int result = list_extents(image, from, true, extents, whole_objects); result < 0) return result;
  std::string head = banner;
  if (!from.empty()) put_name(head, 'f', from);
  if (!to.empty()) put_name(head, 't', to);
  head += 's';
  const uint64_t size = image.size();
  put_number(head, size, 8);
  if (int result = write_whole(fd, head); result != 0) return result;
  const uint64_t object = image.object_size();
  for (const Extent& extent : extents) {
    // A record stays within an object, as the real rbd writes them.
    for (uint64_t at = extent.offset; at < extent.offset + extent.length;) {
      uint64_t length = std::min(extent.offset + extent.length, (at / object + 1) * object) - at;
      std::string range;
      put_range(range, extent.exists ? 'w' : 'z', at, length);
      if (int result = write_whole(fd, range); result != 0) return result;
      if (extent.exists) {
        int result = read_in_order(image.handle(), at, length, piece_bytes, [&](uint64_t, const char* data, size_t count) { return write_whole(fd, {data, count}); });
        if (result != 0) return result;
      }
      at += length;
      progress.update(at, size);
    }
  }
  return write_whole(fd, "e");
}

// Reads records one after the other.
class Records {
 public:
  explicit Records(int fd) : fd_(fd) {}

  // False at the end of the stream or on an error; `error` tells which.
  bool read(char* into, size_t length) {
    while (length > 0) {
      ssize_t got = ::read(fd_, into, length);
      if (got < 0 && errno == EINTR && !is_interrupted()) continue;
      if (got <= 0) {
        error = got == 0 ? -EBADMSG : -errno;
        return false;
      }
      into += got;
      length -= static_cast<size_t>(got);
    }
    return true;
  }

  bool number(uint64_t& value, size_t bytes) {
    uint64_t little = 0;
    if (!read(reinterpret_cast<char*>(&little), bytes)) return false;
    value = le64toh(little);
    return true;
  }

  bool name(std::string& value) {
    uint64_t length = 0;
    if (!number(length, 4)) return false;
    if (length > 4096) {
      error = -EINVAL;
      return false;
    }
    value.resize(length);
    return read(value.data(), length);
  }

  int error = 0;

 private:
  int fd_;
};

bool has_snap(const Image& image, const std::string& name) {
  std::vector<rbd_snap_info_t> snaps(16);
  int room = static_cast<int>(snaps.size());
  int count = rbd_snap_list(image.handle(), snaps.data(), &room);
  if (count == -ERANGE) {
    snaps.resize(static_cast<size_t>(room));
    count = rbd_snap_list(image.handle(), snaps.data(), &room);
  }
  bool found = false;
  for (int at = 0; at < count; ++at) found = found || name == snaps[static_cast<size_t>(at)].name;
  if (count > 0) rbd_snap_list_end(snaps.data());
  return found;
}

int write_piece(Records& records, WriteFlow& flow) {
  uint64_t offset = 0, length = 0;
  if (!records.number(offset, 8) || !records.number(length, 8)) return records.error;
  if (length > most_piece_bytes) return -EINVAL;
  while (length > 0) {
    std::vector<char> data(std::min(length, piece_bytes));
    if (!records.read(data.data(), data.size())) return records.error;
    uint64_t count = data.size();
    if (int result = flow.write(offset, std::move(data)); result != 0) return result;
    offset += count;
    length -= count;
  }
  return 0;
}

// Carries the records out. 0, -errno, and `message` where there is more to say.
int apply(Records& records, const Image& image, std::string& message) {
  std::string to;
  WriteFlow flow(image.handle(), 8);
  for (;;) {
    if (is_interrupted()) return -EINTR;
    char tag = 0;
    if (!records.read(&tag, 1)) return records.error;
    int result = 0;
    if (tag == 'e') {
      result = flow.drain();
      if (result == 0) result = rbd_flush(image.handle());
      if (result == 0 && !to.empty()) result = rbd_snap_create(image.handle(), to.c_str());
      return result;
    }
    if (tag == 'f') {
      std::string from;
      if (!records.name(from)) return records.error;
      if (!has_snap(image, from)) {
        message = "start snapshot '" + from + "' does not exist in the image, aborting\n";
        return -EINVAL;
      }
    } else if (tag == 't') {
      if (!records.name(to)) return records.error;
      if (has_snap(image, to)) {
        message = "end snapshot '" + to + "' already exists, aborting\n";
        return -EEXIST;
      }
    } else if (tag == 's') {
      uint64_t size = 0;
      if (!records.number(size, 8)) return records.error;
      if (size != image.size()) result = rbd_resize(image.handle(), size);
    } else if (tag == 'w') {
      result = write_piece(records, flow);
    } else if (tag == 'z') {
      uint64_t offset = 0, length = 0;
      if (!records.number(offset, 8) || !records.number(length, 8)) return records.error;
      result = flow.zero(offset, length);
    } else {
      message = std::string("unrecognized tag byte ") + std::to_string(static_cast<unsigned char>(tag)) + " in stream; aborting\n";
      return -EINVAL;
    }
    if (result < 0) return result;
  }
}

}  // namespace

int run_export_diff(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(export_options, argv, 2);
  Spec spec = image_spec(words, 0, true);
  std::string path = words.text("path").value_or(words.word(words.has("image") ? 0 : 1).value_or(""));
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, spec.snap, true);
  Progress progress("Exporting image", !words.has("no-progress"));
  watch_interrupts();
  UniqueFd owned;
  int fd = STDOUT_FILENO;
  if (path != "-") {
    owned = UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    fd = owned.get();
    if (fd < 0) throw failure("export-diff error", -errno);
  }
  int result = write_diff(image, words.text("from-snap").value_or(""), spec.snap, words.has("whole-object"), fd, progress);
  if (result != 0) {
    if (path != "-") unlink(path.c_str());
    progress.fail();
    throw failure("export-diff error", result);
  }
  progress.finish();
  return 0;
}

int run_import_diff(rados_t cluster, const std::vector<std::string>& argv) {
  Words words(import_options, argv, 2);
  std::string path = words.text("path").value_or(words.word(0).value_or(""));
  if (path.empty()) throw Failure{EINVAL, "rbd: path was not specified\n"};
  Spec spec = image_spec(words, words.has("path") ? 0 : 1, false);
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, "", false);
  watch_interrupts();
  UniqueFd owned;
  int fd = STDIN_FILENO;
  if (path != "-") {
    owned = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    fd = owned.get();
    if (fd < 0) {
      int error = errno;
      throw Failure{error, "rbd: error opening " + path + "\n"};
    }
  }
  Records records(fd);
  char head[sizeof(banner) - 1];
  if (!records.read(head, sizeof(head))) throw Failure{EBADMSG, "rbd: failed to decode diff banner\n" + failure("import-diff failed", -EBADMSG).text};
  if (memcmp(head, banner, sizeof(head)) != 0) {
    throw Failure{EINVAL, "rbd: invalid or unexpected diff banner\n" + failure("import-diff failed", -EINVAL).text};
  }
  Progress progress("Importing image diff", !words.has("no-progress"));
  std::string message;
  int result = apply(records, image, message);
  int closed = image.close();
  if (result == 0) result = closed;
  if (result == 0) {
    progress.finish();
    return 0;
  }
  fputs(message.c_str(), stderr);
  progress.fail();
  throw failure("import-diff failed", result);
}

}  // namespace cbd::hooks
