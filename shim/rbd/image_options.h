// rbd_image_options_t: what a caller asks of an image that is to be made.
#pragma once

#include "abi/ceph_api.h"

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace cbd::rbd {

class ImageOptions {
 public:
  static ImageOptions* from(rbd_image_options_t handle) { return static_cast<ImageOptions*>(handle); }

  // -EINVAL for an option that is unknown or of the other type, or for a number that does not parse.
  int set(int option, const std::string& value);
  int set(int option, uint64_t value);
  // The order that the older create and clone functions take: 0 means the default. -EINVAL for null; -EDOM below 0, which
  // would not be a number on the wire; what is no number of bits is for the daemon to refuse.
  int set_order(const int* order);
  // -EINVAL as above; -ENOENT where it was not set.
  int get(int option, std::string& value) const;
  int get(int option, uint64_t& value) const;
  int unset(int option);
  bool has(int option) const;
  static bool is_known(int option);
  void clear();
  bool empty() const { return numbers_.empty() && texts_.empty(); }

  std::optional<uint64_t> number(int option) const;

  // The `options` of image.create and clone (docs/protocol.md).
  nlohmann::json to_json() const;

 private:
  std::map<int, uint64_t> numbers_;
  std::map<int, std::string> texts_;
};

}  // namespace cbd::rbd
