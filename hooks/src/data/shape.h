// The options that shape a new image (--object-size, --image-feature, ...), as librbd takes them.
#pragma once

#include <rbd/librbd.h>

#include <vector>

#include "data/words.h"

namespace cbd::hooks {

// `own` and the options of a new image, as a command takes them.
std::vector<Option> with_shape(std::vector<Option> own);
// The options of the image's format besides, which only some commands take.
std::vector<Option> with_format(std::vector<Option> own);

class Shape {
 public:
  // Throws Failure (code 1) for a value that Ceph's rbd would not take.
  explicit Shape(const Words& words);
  ~Shape() { rbd_image_options_destroy(options_); }
  Shape(const Shape&) = delete;
  Shape& operator=(const Shape&) = delete;
  rbd_image_options_t get() const { return options_; }
  bool has(int option) const;
  void set(int option, uint64_t value) { rbd_image_options_set_uint64(options_, option, value); }

 private:
  rbd_image_options_t options_ = nullptr;
};

// --sparse-size: how long runs of zeroes are that take no space; 0 for none. Any size is taken, and brought to whole blocks of 4 KiB and
// 4 MiB at most; 4096 where none is given. Throws Failure (code 1).
uint64_t sparse_size(const Words& words);

}  // namespace cbd::hooks
