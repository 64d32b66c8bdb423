// The C functions of image features: by name, and switched on and off.
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

namespace {

struct Feature {
  const char* name;
  uint64_t bit;
};

// In the order of the names, which is the order that librbd writes them in.
constexpr Feature kFeatures[] = {
    {RBD_FEATURE_NAME_DATA_POOL, RBD_FEATURE_DATA_POOL},
    {RBD_FEATURE_NAME_DEEP_FLATTEN, RBD_FEATURE_DEEP_FLATTEN},
    {RBD_FEATURE_NAME_DIRTY_CACHE, RBD_FEATURE_DIRTY_CACHE},
    {RBD_FEATURE_NAME_EXCLUSIVE_LOCK, RBD_FEATURE_EXCLUSIVE_LOCK},
    {RBD_FEATURE_NAME_FAST_DIFF, RBD_FEATURE_FAST_DIFF},
    {RBD_FEATURE_NAME_JOURNALING, RBD_FEATURE_JOURNALING},
    {RBD_FEATURE_NAME_LAYERING, RBD_FEATURE_LAYERING},
    {RBD_FEATURE_NAME_MIGRATING, RBD_FEATURE_MIGRATING},
    {RBD_FEATURE_NAME_NON_PRIMARY, RBD_FEATURE_NON_PRIMARY},
    {RBD_FEATURE_NAME_OBJECT_MAP, RBD_FEATURE_OBJECT_MAP},
    {RBD_FEATURE_NAME_OPERATIONS, RBD_FEATURE_OPERATIONS},
    {RBD_FEATURE_NAME_STRIPINGV2, RBD_FEATURE_STRIPINGV2},
};

uint64_t bit_of(const std::string& name) {
  for (const Feature& feature : kFeatures) {
    if (name == feature.name) return feature.bit;
  }
  return 0;
}

bool is_known(uint64_t features) { return (features & ~RBD_FEATURES_ALL) == 0; }

// The bits of one name after the other, as far as they are known; -EINVAL with those before the first that is not.
int parse_names(const std::string& text, uint64_t& features) {
  features = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    size_t from = at, to = comma;
    while (from < to && isspace(static_cast<unsigned char>(text[from]))) from++;
    while (to > from && isspace(static_cast<unsigned char>(text[to - 1]))) to--;
    const uint64_t bit = bit_of(text.substr(from, to - from));
    if (bit == 0) return -EINVAL;
    features |= bit;
    at = comma + 1;
  }
  return 0;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// Names with commas between them. -EINVAL for unknown bits, -ERANGE with the size in *size.
int rbd_features_to_string(uint64_t features, char* str_features, size_t* size) {
  return guarded([&] {
    if (size == nullptr || !is_known(features)) return -EINVAL;
    std::string text;
    for (const Feature& feature : kFeatures) {
      if ((features & feature.bit) == 0) continue;
      if (!text.empty()) text += ',';
      text += feature.name;
    }
    int error = copy_text(text, str_features, size);
    if (error == 0) *size = text.size() + 1;
    return error;
  });
}

// A number, names with commas between them, or nothing for the default features. -EINVAL.
int rbd_features_from_string(const char* str_features, uint64_t* features) {
  return guarded([&] {
    if (str_features == nullptr || features == nullptr) return -EINVAL;
    const std::string text = str_features;
    *features = RBD_FEATURES_DEFAULT;
    if (text.empty()) return 0;
    char* end = nullptr;
    const unsigned long long number = strtoull(str_features, &end, 10);
    if (end == str_features || *end != '\0') return parse_names(text, *features);
    *features = number & RBD_FEATURES_ALL;
    return is_known(number) ? 0 : -EINVAL;
  });
}

// -EROFS; -EINVAL for features that cannot be changed, that are so already, or that others need.
int rbd_update_features(rbd_image_t image, uint64_t features, uint8_t enabled) {
  return guarded([&] {
    if (image == nullptr || features == 0 || !is_known(features)) return -EINVAL;
    Image& open = *Image::from(image);
    if (open.is_read_only()) return -EROFS;
    const int error = open.change("image.features", {{"features", features}, {"enabled", enabled != 0}}).error;
    // librbd finds out under the automatic lock that another feature needs this one.
    if (error == -EINVAL && enabled == 0 && (features & RBD_FEATURE_EXCLUSIVE_LOCK) != 0) open.take_free_lock();
    return error;
  });
}

}  // extern "C"
