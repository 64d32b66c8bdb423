#include "data/full_format.h"

#include <cerrno>
#include <cstring>

#include "data/diff_carry.h"
#include "files.h"

namespace cbd::hooks {
namespace {

constexpr char image_banner[] = "rbd image v2\n";
constexpr char diffs_banner[] = "rbd image diffs v2\n";
constexpr uint64_t most_head_bytes = uint64_t{1} << 20;

void put_record(std::string& into, char tag, const std::string& content) {
  into += tag;
  put_number(into, content.size(), 8);
  into += content;
}

void put_number_record(std::string& into, char tag, uint64_t value) {
  std::string content;
  put_number(content, value, 8);
  put_record(into, tag, content);
}

// 0, -EINVAL where another stands there, or -errno.
int expect_banner(InStream& in, const char* banner) {
  std::string found(strlen(banner), '\0');
  if (int result = in.read(found.data(), found.size()); result != 0) return result;
  return found == banner ? 0 : -EINVAL;
}

// One record of the head; false at its end. Unknown ones are passed over, for they say how long they are.
int read_record(InStream& in, ImageHead& head, bool& is_end) {
  char tag = 0;
  if (int result = in.read(&tag, 1); result != 0) return result;
  is_end = tag == 'E';
  if (is_end) return 0;
  uint64_t length = 0;
  if (int result = in.number(length, 8); result != 0) return result;
  if (length > most_head_bytes) return -EINVAL;
  uint64_t* number = tag == 'O' ? &head.order : tag == 'T' ? &head.features : tag == 'U' ? &head.stripe_unit : tag == 'C' ? &head.stripe_count : nullptr;
  if (number != nullptr && length >= 8) {
    if (int result = in.number(*number, 8); result != 0) return result;
    return in.skip(length - 8);
  }
  if (tag != 'M') return in.skip(length);
  std::pair<std::string, std::string> entry;
  if (int result = in.text(entry.first); result != 0) return result;
  if (int result = in.text(entry.second); result != 0) return result;
  head.metadata.push_back(std::move(entry));
  return 0;
}

}  // namespace

int write_full(const Image& image, const Pool& pool, const std::string& name, int fd, Progress& progress) {
  std::string text = image_banner;
  const ImageShape shape = image.shape();
  put_number_record(text, 'O', shape.order);
  put_number_record(text, 'T', shape.features);
  put_number_record(text, 'U', shape.stripe_unit);
  put_number_record(text, 'C', shape.stripe_count);
  for (const auto& [key, value] : image.metadata()) {
    std::string content;
    put_text(content, key);
    put_text(content, value);
    put_record(text, 'M', content);
  }
  text += 'E';
  text += diffs_banner;
  const std::vector<Snap> snaps = image.snaps();
  put_number(text, snaps.size() + 1, 8);
  if (int result = write_whole(fd, text); result != 0) return result;
  DiffRange range;
  range.version = 2;
  Progress quiet("", false);
  for (size_t at = 0; at <= snaps.size(); ++at) {
    const bool is_head = at == snaps.size();
    range.to = is_head ? "" : snaps[at].name;
    range.is_to_protected = !is_head && image.is_protected(range.to);
    Image there(pool, name, range.to, true);
    if (int result = write_diff(there, range, fd, quiet); result != 0) return result;
    range.from = range.to;
    progress.update(at + 1, snaps.size() + 1);
  }
  return 0;
}

int read_full_head(InStream& in, ImageHead& head, std::string& message) {
  int result = expect_banner(in, image_banner);
  if (result != 0) message = result == -EINVAL ? "rbd: invalid or unexpected diff banner\nrbd: import header failed.\n" : "rbd: failed to decode diff banner\nrbd: import header failed.\n";
  for (bool is_end = false; result == 0 && !is_end;) result = read_record(in, head, is_end);
  if (result != 0) return result;
  result = expect_banner(in, diffs_banner);
  if (result != 0) message = "rbd: invalid or unexpected image diffs banner\nrbd: import header failed.\n";
  return result != 0 ? result : in.number(head.diffs, 8);
}

int read_full_diffs(InStream& in, const ImageHead& head, const Image& image, uint64_t total, Progress& progress, std::string& message) {
  for (const auto& [key, value] : head.metadata) {
    if (int result = rbd_metadata_set(image.handle(), key.c_str(), value.c_str()); result < 0) return result;
  }
  for (uint64_t at = 0; at < head.diffs; ++at) {
    const int version = DiffReader::banner(in);
    if (version < 0) return version;
    if (int result = apply_diff(in, version, image, total, progress, message); result != 0) return result;
  }
  return 0;
}

}  // namespace cbd::hooks
