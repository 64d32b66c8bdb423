// See image_options.h; and the C functions of rbd_image_options_t (errnos as 16.2.15 gives them).
#include "rbd/image_options.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"

namespace cbd::rbd {

namespace {

constexpr int kLastOption = RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE;

bool is_text(int option) {
  return option == RBD_IMAGE_OPTION_JOURNAL_POOL || option == RBD_IMAGE_OPTION_DATA_POOL;
}

}  // namespace

bool ImageOptions::is_known(int option) { return option >= 0 && option <= kLastOption; }

// Text is for the options that are text; librbd parses no numbers.
int ImageOptions::set(int option, const std::string& value) {
  if (!is_known(option) || !is_text(option)) return -EINVAL;
  texts_[option] = value;
  return 0;
}

int ImageOptions::set(int option, uint64_t value) {
  if (!is_known(option) || is_text(option)) return -EINVAL;
  numbers_[option] = value;
  return 0;
}

int ImageOptions::set_order(const int* order) {
  if (order == nullptr) return -EINVAL;
  if (*order < 0) return -EDOM;
  return *order == 0 ? 0 : set(RBD_IMAGE_OPTION_ORDER, static_cast<uint64_t>(*order));
}

int ImageOptions::get(int option, std::string& value) const {
  if (!is_known(option) || !is_text(option)) return -EINVAL;
  auto found = texts_.find(option);
  if (found == texts_.end()) return -ENOENT;
  value = found->second;
  return 0;
}

int ImageOptions::get(int option, uint64_t& value) const {
  if (!is_known(option) || is_text(option)) return -EINVAL;
  auto found = numbers_.find(option);
  if (found == numbers_.end()) return -ENOENT;
  value = found->second;
  return 0;
}

int ImageOptions::unset(int option) {
  if (!is_known(option)) return -EINVAL;
  return numbers_.erase(option) + texts_.erase(option) > 0 ? 0 : -ENOENT;
}

bool ImageOptions::has(int option) const { return numbers_.count(option) + texts_.count(option) > 0; }

void ImageOptions::clear() {
  numbers_.clear();
  texts_.clear();
}

std::optional<uint64_t> ImageOptions::number(int option) const {
  auto found = numbers_.find(option);
  if (found == numbers_.end()) return std::nullopt;
  return found->second;
}

nlohmann::json ImageOptions::to_json() const {
  static const std::map<int, const char*> names = {
      {RBD_IMAGE_OPTION_FORMAT, "format"},
      {RBD_IMAGE_OPTION_FEATURES, "features"},
      {RBD_IMAGE_OPTION_ORDER, "order"},
      {RBD_IMAGE_OPTION_STRIPE_UNIT, "stripeUnit"},
      {RBD_IMAGE_OPTION_STRIPE_COUNT, "stripeCount"},
      {RBD_IMAGE_OPTION_JOURNAL_ORDER, "journalOrder"},
      {RBD_IMAGE_OPTION_JOURNAL_SPLAY_WIDTH, "journalSplayWidth"},
      {RBD_IMAGE_OPTION_JOURNAL_POOL, "journalPool"},
      {RBD_IMAGE_OPTION_FEATURES_SET, "featuresSet"},
      {RBD_IMAGE_OPTION_FEATURES_CLEAR, "featuresClear"},
      {RBD_IMAGE_OPTION_DATA_POOL, "dataPool"},
      {RBD_IMAGE_OPTION_FLATTEN, "flatten"},
      {RBD_IMAGE_OPTION_CLONE_FORMAT, "cloneFormat"},
      {RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE, "mirrorImageMode"},
  };
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [option, value] : numbers_) json[names.at(option)] = value;
  for (const auto& [option, value] : texts_) json[names.at(option)] = value;
  return json;
}

}  // namespace cbd::rbd

using cbd::rbd::guarded;
using cbd::rbd::ImageOptions;

extern "C" {

void rbd_image_options_create(rbd_image_options_t* opts) {
  *opts = nullptr;
  guarded([&] {
    *opts = new ImageOptions();
    return 0;
  });
}

void rbd_image_options_destroy(rbd_image_options_t opts) { delete ImageOptions::from(opts); }

int rbd_image_options_set_string(rbd_image_options_t opts, int optname, const char* optval) {
  return guarded([&] {
    if (opts == nullptr || optval == nullptr) return -EINVAL;
    return ImageOptions::from(opts)->set(optname, std::string(optval));
  });
}

int rbd_image_options_set_uint64(rbd_image_options_t opts, int optname, uint64_t optval) {
  return guarded([&] {
    if (opts == nullptr) return -EINVAL;
    return ImageOptions::from(opts)->set(optname, optval);
  });
}

// -E2BIG where `maxlen` has no room for the text and its NUL.
int rbd_image_options_get_string(rbd_image_options_t opts, int optname, char* optval, size_t maxlen) {
  return guarded([&] {
    if (opts == nullptr || optval == nullptr) return -EINVAL;
    std::string value;
    int error = ImageOptions::from(opts)->get(optname, value);
    if (error != 0) return error;
    if (value.size() >= maxlen) return -E2BIG;
    memcpy(optval, value.c_str(), value.size() + 1);
    return 0;
  });
}

int rbd_image_options_get_uint64(rbd_image_options_t opts, int optname, uint64_t* optval) {
  if (opts == nullptr || optval == nullptr) return -EINVAL;
  return ImageOptions::from(opts)->get(optname, *optval);
}

int rbd_image_options_is_set(rbd_image_options_t opts, int optname, bool* is_set) {
  if (opts == nullptr || !ImageOptions::is_known(optname)) return -EINVAL;
  *is_set = ImageOptions::from(opts)->has(optname);
  return 0;
}

int rbd_image_options_unset(rbd_image_options_t opts, int optname) {
  if (opts == nullptr) return -EINVAL;
  return ImageOptions::from(opts)->unset(optname);
}

void rbd_image_options_clear(rbd_image_options_t opts) {
  if (opts != nullptr) ImageOptions::from(opts)->clear();
}

// 1 where nothing is set.
int rbd_image_options_is_empty(rbd_image_options_t opts) {
  return opts == nullptr || ImageOptions::from(opts)->empty() ? 1 : 0;
}

}  // extern "C"
