#include "data/full_format.h"

#include <cerrno>
#include <cstring>

#include "data/diff_carry.h"
#include "files.h"

namespace cbd::hooks {
namespace {

constexpr char image_banner[] = "rbd image v2\n";
constexpr char diffs_banner[] = "rbd image diffs v2\n";
constexpr uint64_t most_value_bytes = uint64_t{4} << 20;

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

// A record says how long it is, and must be just that long.
int fits(bool does_fit, char tag, std::string& message) {
  if (!does_fit) message += std::string("rbd: the record '") + tag + "' in the image properties zone is not as long as it says\n";
  return does_fit ? 0 : -EINVAL;
}

int read_metadata(InStream& in, uint64_t length, ImageHead& head, std::string& message) {
  std::pair<std::string, std::string> entry;
  if (int result = decoded(in.text(entry.first), message, "metadata key"); result != 0) return result;
  if (int result = decoded(in.text(entry.second, most_value_bytes), message, "metadata value"); result != 0) return result;
  if (int result = fits(length == 2 * sizeof(uint32_t) + entry.first.size() + entry.second.size(), 'M', message); result != 0) return result;
  head.metadata.push_back(std::move(entry));
  return 0;
}

// One record of the head; `is_end` at its end. Unknown ones are passed over, for they say how long they are.
int read_record(InStream& in, ImageHead& head, bool& is_end, std::string& message) {
  char tag = 0;
  if (int result = decoded(in.read(&tag, 1), message, "tag"); result != 0) return result;
  is_end = tag == 'E';
  if (is_end) return 0;
  uint64_t length = 0;
  if (int result = decoded(in.number(length, 8), message, "tag length"); result != 0) return result;
  if (tag == 'M') return read_metadata(in, length, head, message);
  std::optional<uint64_t>* number = tag == 'O' ? &head.order : tag == 'T' ? &head.features : tag == 'U' ? &head.stripe_unit : tag == 'C' ? &head.stripe_count : nullptr;
  if (number != nullptr) {
    if (int result = fits(length == 8, tag, message); result != 0) return result;
    return decoded(in.number(number->emplace(), 8), message, "image option");
  }
  message += std::string("rbd: invalid tag in image properties zone: ") + tag + "Skip it.\n";
  return decoded(in.pass_over(length), message, "tag");
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
  int result = read_banner(in, image_banner);
  if (result != 0) message = banner_message(result);
  for (bool is_end = false; result == 0 && !is_end;) result = read_record(in, head, is_end, message);
  if (result != 0) {
    message += "rbd: import header failed.\n";
    return result;
  }
  result = read_banner(in, diffs_banner);
  if (result != 0) message += banner_message(result);
  if (result == 0) result = decoded(in.number(head.diffs, 8), message, "diff count");
  if (result != 0) message += "rbd: failed to import image\n";
  return result;
}

int read_full_diffs(InStream& in, const ImageHead& head, const Image& image, uint64_t total, Progress& progress, std::string& message) {
  for (const auto& [key, value] : head.metadata) {
    if (int result = rbd_metadata_set(image.handle(), key.c_str(), value.c_str()); result < 0) {
      message += failure("failed to set image-meta " + key, result).text;
      return result;
    }
  }
  for (uint64_t at = 0; at < head.diffs; ++at) {
    int result = read_banner(in, diff_banner_v2);
    if (result != 0) message += banner_message(result);
    if (result == 0) result = apply_diff(in, 2, image, total, progress, message);
    if (result == 0) continue;
    message += failure("import-diff failed", result == -EBADMSG ? short_stream : result).text + "rbd: failed to import image\n";
    return result;
  }
  return 0;
}

}  // namespace cbd::hooks
