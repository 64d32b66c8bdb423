#include "data/shape.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace cbd::hooks {
namespace {

constexpr uint64_t most_sparse_bytes = uint64_t{4} << 20;

struct Feature {
  const char* name;
  uint64_t bit;
};
const Feature feature_bits[] = {{"layering", RBD_FEATURE_LAYERING},         {"striping", RBD_FEATURE_STRIPINGV2},
                                {"exclusive-lock", RBD_FEATURE_EXCLUSIVE_LOCK}, {"object-map", RBD_FEATURE_OBJECT_MAP},
                                {"fast-diff", RBD_FEATURE_FAST_DIFF},       {"deep-flatten", RBD_FEATURE_DEEP_FLATTEN},
                                {"journaling", RBD_FEATURE_JOURNALING}};

Failure bad_argument(const char* option) { return Failure{1, std::string("rbd: the argument for option '--") + option + "' is invalid\n"}; }

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

// 0 where none is given.
uint64_t order_of(const Words& words) {
  uint64_t order = 0;
  if (auto text = words.text("order")) {
    order = std::strtoul(text->c_str(), nullptr, 10);
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

std::vector<Option> with_shape(std::vector<Option> own) {
  own.insert(own.end(), {{"image-format"}, {"new-format", 0, true}, {"order"}, {"object-size"}, {"image-feature", 0, false, true},
                         {"image-shared", 0, true}, {"stripe-unit"}, {"stripe-count"}, {"data-pool"}, {"mirror-image-mode"},
                         {"journal-splay-width"}, {"journal-object-size"}, {"journal-pool"}});
  return own;
}

Shape::Shape(const Words& words) {
  uint64_t order = order_of(words);
  uint64_t features = features_of(words.texts("image-feature"));
  uint64_t stripe_unit = words.has("stripe-unit") ? parse_bytes("stripe-unit", *words.text("stripe-unit")) : 0;
  uint64_t stripe_count = words.has("stripe-count") ? std::strtoul(words.text("stripe-count")->c_str(), nullptr, 10) : 0;
  rbd_image_options_create(&options_);
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
  if (!words.has("sparse-size")) return 4096;
  uint64_t bytes = parse_bytes("sparse-size", *words.text("sparse-size"));
  if (bytes < 512 || bytes > most_sparse_bytes || (bytes & (bytes - 1)) != 0) throw bad_argument("sparse-size");
  return bytes;
}

}  // namespace cbd::hooks
