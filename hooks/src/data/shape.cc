#include "data/shape.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace cbd::hooks {
namespace {

constexpr uint64_t least_sparse_bytes = 4096, most_sparse_bytes = uint64_t{4} << 20;
// What Ceph's rbd takes for the objects of a journal.
constexpr uint64_t least_journal_bytes = uint64_t{1} << 12, most_journal_bytes = uint64_t{1} << 26;

struct Feature {
  const char* name;
  uint64_t bit;
};
const Feature feature_bits[] = {{"layering", RBD_FEATURE_LAYERING},         {"striping", RBD_FEATURE_STRIPINGV2},
                                {"exclusive-lock", RBD_FEATURE_EXCLUSIVE_LOCK}, {"object-map", RBD_FEATURE_OBJECT_MAP},
                                {"fast-diff", RBD_FEATURE_FAST_DIFF},       {"deep-flatten", RBD_FEATURE_DEEP_FLATTEN},
                                {"journaling", RBD_FEATURE_JOURNALING}};

uint64_t features_of(const std::vector<std::string>& lists) {
  uint64_t bits = 0;
  for (std::string list : lists) {
    list += ',';
    for (size_t from = 0, comma; (comma = list.find(',', from)) != std::string::npos; from = comma + 1) {
      std::string name = list.substr(from, comma - from);
      auto at = std::find_if(std::begin(feature_bits), std::end(feature_bits), [&](const Feature& one) { return name == one.name; });
      if (at == std::end(feature_bits)) throw bad_argument("image-feature");
      bits |= at->bit;
    }
  }
  return bits;
}

// The former format may be asked for; librbd refuses it.
uint64_t format_of(const Words& words) {
  if (words.has("new-format")) fputs("rbd: --new-format is deprecated, use --image-format 2\n", stderr);
  const std::string format = words.text("image-format").value_or("2");
  if (format == "1" || format == "+1") {
    fputs("rbd: image format 1 is deprecated\n", stderr);
    return 1;
  }
  if (format != "2" && format != "+2") throw bad_argument("image-format");
  return 2;
}

// How a journal would be, which no image has here: it must only be as Ceph's rbd takes it.
void check_journal(const Words& words) {
  if (auto width = words.text("journal-splay-width")) parse_count("journal-splay-width", *width);
  if (auto size = words.text("journal-object-size")) {
    const uint64_t bytes = parse_bytes("journal-object-size", *size);
    if (bytes < least_journal_bytes || bytes > most_journal_bytes) throw bad_argument("journal-object-size");
  }
}

// None where the new image is not to be mirrored. There is nowhere to: librbd refuses it.
std::optional<uint64_t> mirror_mode_of(const Words& words) {
  const auto mode = words.text("mirror-image-mode");
  if (!mode) return std::nullopt;
  if (*mode != "journal" && *mode != "snapshot") throw bad_argument("mirror-image-mode");
  return *mode == "journal" ? RBD_MIRROR_IMAGE_MODE_JOURNAL : RBD_MIRROR_IMAGE_MODE_SNAPSHOT;
}

// 0 where none is given.
uint64_t order_of(const Words& words) {
  uint64_t order = 0;
  if (auto text = words.text("order")) {
    const size_t digits = text->find_first_not_of("0123456789", text->find('+') == 0 ? 1 : 0);
    if (digits != std::string::npos || text->empty()) throw bad_argument("order");
    order = parse_count("order", *text);
    if (order < 12 || order > 25) throw bad_argument("order");
    fputs("rbd: --order is deprecated, use --object-size\n", stderr);
  } else if (auto size = words.text("object-size")) {
    uint64_t bytes = parse_bytes("object-size", *size);
    if (bytes == 0) throw bad_argument("object-size");
    while ((uint64_t{1} << order) < bytes) ++order;
  }
  return order;
}

}  // namespace

std::vector<Option> with_format(std::vector<Option> own) {
  own.insert(own.end(), {{"image-format"}, {"new-format", 0, true}});
  return own;
}

std::vector<Option> with_shape(std::vector<Option> own) {
  own.insert(own.end(), {{"order"}, {"object-size"}, {"image-feature", 0, false, true},
                         {"image-shared", 0, true}, {"stripe-unit"}, {"stripe-count"}, {"data-pool"}, {"mirror-image-mode"},
                         {"journal-splay-width"}, {"journal-object-size"}, {"journal-pool"}});
  return own;
}

Shape::Shape(const Words& words) {
  const uint64_t order = order_of(words);
  const uint64_t format = format_of(words);
  const uint64_t features = features_of(words.texts("image-feature"));
  uint64_t stripe_unit = words.has("stripe-unit") ? parse_bytes("stripe-unit", *words.text("stripe-unit")) : 0;
  uint64_t stripe_count = words.has("stripe-count") ? parse_count("stripe-count", *words.text("stripe-count")) : 0;
  check_journal(words);
  const auto mirror_mode = mirror_mode_of(words);
  rbd_image_options_create(&options_);
  if (format != 2) set(RBD_IMAGE_OPTION_FORMAT, format);
  if (mirror_mode) set(RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE, *mirror_mode);
  if (order != 0) set(RBD_IMAGE_OPTION_ORDER, order);
  if (words.has("image-feature")) set(RBD_IMAGE_OPTION_FEATURES, features);
  if (words.has("image-shared")) {
    set(RBD_IMAGE_OPTION_FEATURES_CLEAR,
        RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP | RBD_FEATURE_FAST_DIFF | RBD_FEATURE_JOURNALING);
  }
  if (stripe_unit != 0) set(RBD_IMAGE_OPTION_STRIPE_UNIT, stripe_unit);
  if (stripe_count != 0) set(RBD_IMAGE_OPTION_STRIPE_COUNT, stripe_count);
  if (auto pool = words.text("data-pool")) rbd_image_options_set_string(options_, RBD_IMAGE_OPTION_DATA_POOL, pool->c_str());
}

bool Shape::has(int option) const {
  bool is_set = false;
  return rbd_image_options_is_set(options_, option, &is_set) == 0 && is_set;
}

uint64_t sparse_size(const Words& words) {
  if (!words.has("sparse-size")) return least_sparse_bytes;
  const uint64_t bytes = parse_bytes("sparse-size", *words.text("sparse-size"));
  return bytes == 0 ? 0 : std::clamp(bytes / least_sparse_bytes * least_sparse_bytes, least_sparse_bytes, most_sparse_bytes);
}

}  // namespace cbd::hooks
