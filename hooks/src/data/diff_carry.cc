#include "data/diff_carry.h"

#include <algorithm>
#include <cerrno>

#include "data/extents.h"
#include "data/flow.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{4} << 20;
constexpr int depth = 8;

bool has_snap(const Image& image, const std::string& name) {
  const std::vector<Snap> snaps = image.snaps();
  return std::any_of(snaps.begin(), snaps.end(), [&](const Snap& snap) { return snap.name == name; });
}

// The data of one record. Runs of zeroes become holes.
int write_piece(InStream& in, const DiffRecord& record, const Buffers& buffers, WriteFlow& flow, std::string& message) {
  for (uint64_t at = 0; at < record.length;) {
    Buffers::Buffer data = buffers.take();
    const size_t count = static_cast<size_t>(std::min(record.length - at, piece_bytes));
    if (int result = in.read(data.get(), count); result != 0) {
      message += "rbd: failed to decode write data\n";
      return result;
    }
    const uint64_t offset = record.offset + at;
    const int result = is_zero(data.get(), count) ? flow.zero(offset, count) : flow.write(offset, std::move(data), 0, count);
    if (result != 0) return result;
    at += count;
  }
  return 0;
}

}  // namespace

int write_diff(const Image& image, const DiffRange& range, int fd, Progress& progress) {
  std::vector<Extent> extents;
  if (int result = list_extents(image, range.from, true, extents, range.whole_objects); result < 0) return result;
  const uint64_t size = image.size();
  DiffWriter writer(fd, range.version);
  if (int result = writer.head(range.from, range.to, range.is_to_protected, size); result != 0) return result;
  // A record stays within an object, as the real rbd writes them.
  for (const Extent& piece : split_at(extents, image.object_size())) {
    int result = writer.range(piece.exists, piece.offset, piece.length);
    if (result == 0 && piece.exists) {
      result = read_in_order(image.handle(), piece.offset, piece.length, piece_bytes, [&](uint64_t, const char* data, size_t count) { return writer.data({data, count}); });
    }
    if (result != 0) return result;
    progress.update(piece.offset + piece.length, size);
  }
  return writer.end();
}

int apply_diff(InStream& in, int version, const Image& image, uint64_t total, Progress& progress, std::string& message) {
  std::string to;
  bool is_protected = false;
  const Buffers buffers(piece_bytes);
  WriteFlow flow(image.handle(), depth);
  DiffReader reader(in, version);
  for (;;) {
    if (is_interrupted()) return -EINTR;
    DiffRecord record;
    int result = reader.next(record, message);
    if (result != 0) return result;
    switch (record.tag) {
      case 'e':
        result = flow.drain();
        if (result == 0) result = rbd_flush(image.handle());
        if (result == 0 && !to.empty()) result = rbd_snap_create(image.handle(), to.c_str());
        if (result == 0 && is_protected) result = rbd_snap_protect(image.handle(), to.c_str());
        return result;
      case 'f':
        if (has_snap(image, record.name)) break;
        message = "start snapshot '" + record.name + "' does not exist in the image, aborting\n";
        return -EINVAL;
      case 't':
        to = record.name;
        if (!has_snap(image, to)) break;
        message = "end snapshot '" + to + "' already exists, aborting\n";
        return -EEXIST;
      case 'p': is_protected = record.flag; break;
      case 's':
        if (record.size == image.size()) break;
        result = flow.drain();
        if (result == 0) result = rbd_resize(image.handle(), record.size);
        break;
      case 'w': result = write_piece(in, record, buffers, flow, message); break;
      default: result = flow.zero(record.offset, record.length); break;
    }
    if (result < 0) return result;
    progress.update(in.position(), total);
  }
}

}  // namespace cbd::hooks
