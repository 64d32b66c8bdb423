// Copies an image between a real Ceph and us, by reading through one handle and writing through the other. It
// uses nothing but the exported functions, and so does not know which side is which.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "ceph/rbd.h"

namespace cbd::ceph {

namespace {

constexpr uint64_t kPiece = 4 << 20;  // bytes read and written at a time

struct Progress {
  librbd_progress_fn_t function;  // may be null
  void* argument;
};

struct Copy {
  rbd_image_t from;
  rbd_image_t to;
  uint64_t size;
  Progress progress;
  std::unique_ptr<char[]> buffer;
  uint64_t done = 0;
};

bool is_zero(const char* bytes, size_t length) {
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

// Returns 0, -ECANCELED where the caller's progress function stops it, or the first error.
int copy_range(Copy& copy, uint64_t offset, uint64_t length) {
  for (uint64_t end = offset + length; offset < end;) {
    const size_t piece = std::min(kPiece, end - offset);
    const ssize_t got = rbd_read(copy.from, offset, piece, copy.buffer.get());
    if (got < 0) return static_cast<int>(got);
    if (got == 0) return -EIO;
    if (!is_zero(copy.buffer.get(), got)) {
      const ssize_t put = rbd_write(copy.to, offset, got, copy.buffer.get());
      if (put < 0) return static_cast<int>(put);
    }
    offset += got;
    copy.done = offset;
    if (copy.progress.function != nullptr &&
        copy.progress.function(offset, copy.size, copy.progress.argument) < 0) {
      return -ECANCELED;
    }
  }
  return 0;
}

int on_extent(uint64_t offset, size_t length, int exists, void* argument) {
  auto& copy = *static_cast<Copy*>(argument);
  if (exists == 0 || offset >= copy.size) return 0;
  return copy_range(copy, offset, std::min<uint64_t>(length, copy.size - offset));
}

// Copies what `from` holds into `to`, which reads as zeroes so far and is at least as long.
int copy_data(rbd_image_t from, rbd_image_t to, const Progress& progress) {
  uint64_t size = 0;
  int r = rbd_get_size(from, &size);
  if (r < 0) return r;
  Copy copy{from, to, size, progress, std::unique_ptr<char[]>(new (std::nothrow) char[kPiece])};
  if (copy.buffer == nullptr) return -ENOMEM;
  if (size > 0) r = rbd_diff_iterate2(from, nullptr, 0, size, 1, 0, on_extent, &copy);
  if (r < 0) return r;
  if (progress.function != nullptr && copy.done < size &&
      progress.function(size, size, progress.argument) < 0) {
    return -ECANCELED;
  }
  return rbd_flush(to);
}

// Copies the user's metadata; the conf_ entries go with it, as the real library has it.
int copy_metadata(rbd_image_t from, rbd_image_t to) {
  char last[4096] = "";
  for (;;) {
    size_t keys_length = 64 << 10;
    size_t values_length = 1 << 20;
    const auto keys = std::unique_ptr<char[]>(new (std::nothrow) char[keys_length]);
    const auto values = std::unique_ptr<char[]>(new (std::nothrow) char[values_length]);
    if (keys == nullptr || values == nullptr) return -ENOMEM;
    int r = rbd_metadata_list(from, last, 64, keys.get(), &keys_length, values.get(), &values_length);
    if (r < 0) return r;
    if (keys_length == 0) return 0;
    const char* value = values.get();
    for (const char* key = keys.get(); key < keys.get() + keys_length; key += strlen(key) + 1) {
      r = rbd_metadata_set(to, key, value);
      if (r < 0) return r;
      value += strlen(value) + 1;
      snprintf(last, sizeof last, "%s", key);
    }
  }
}

// The caller's options, with the source's order and features where he names none.
class TargetOptions {
 public:
  explicit TargetOptions(rbd_image_options_t given) { rbd_image_options_create(&options_), copy_from(given); }
  ~TargetOptions() { rbd_image_options_destroy(options_); }
  TargetOptions(const TargetOptions&) = delete;
  TargetOptions& operator=(const TargetOptions&) = delete;

  void default_to(int option, uint64_t value) {
    bool is_set = false;
    rbd_image_options_is_set(options_, option, &is_set);
    if (!is_set) rbd_image_options_set_uint64(options_, option, value);
  }
  rbd_image_options_t handle() const { return options_; }

 private:
  void copy_from(rbd_image_options_t given) {
    if (given == nullptr) return;
    for (int option = 0; option <= RBD_IMAGE_OPTION_MIRROR_IMAGE_MODE; option++) {
      uint64_t number = 0;
      char text[256];
      if (rbd_image_options_get_uint64(given, option, &number) == 0) {
        rbd_image_options_set_uint64(options_, option, number);
      } else if (rbd_image_options_get_string(given, option, text, sizeof text) == 0) {
        rbd_image_options_set_string(options_, option, text);
      }
    }
  }

  rbd_image_options_t options_ = nullptr;
};

// Makes `name` in `to` as long as `from` and fills it. What was made goes again where the filling fails.
int copy_image(rbd_image_t from, rados_ioctx_t to, const char* name, rbd_image_options_t given,
               const Progress& progress) {
  rbd_image_info_t info;
  int r = rbd_stat(from, &info, sizeof info);
  if (r < 0) return r;
  uint64_t features = 0;
  r = rbd_get_features(from, &features);
  if (r < 0) return r;
  TargetOptions options(given);
  options.default_to(RBD_IMAGE_OPTION_ORDER, info.order);
  // What a copy cannot take along: journals and data pools belong to their cluster.
  options.default_to(RBD_IMAGE_OPTION_FEATURES,
                     features & (RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |
                                 RBD_FEATURE_FAST_DIFF | RBD_FEATURE_DEEP_FLATTEN));
  r = rbd_create4(to, name, info.size, options.handle());
  if (r < 0) return r;
  rbd_image_t made = nullptr;
  r = rbd_open(to, name, &made, nullptr);
  if (r >= 0) {
    r = copy_metadata(from, made);
    if (r >= 0) r = copy_data(from, made, progress);
    const int closed = rbd_close(made);
    if (r >= 0) r = closed;
  }
  if (r < 0) rbd_remove(to, name);
  return r;
}

// A deep copy brings the snapshots along, which cannot be had by copying data: an image that has some is
// refused.
int deep_copy_image(rbd_image_t from, rados_ioctx_t to, const char* name, rbd_image_options_t given,
                    const Progress& progress) {
  int count = 1;
  rbd_snap_info_t first[1];
  const int snapshots = rbd_snap_list(from, first, &count);
  if (snapshots > 0) rbd_snap_list_end(first);
  if (snapshots > 0 || snapshots == -ERANGE) return -EOPNOTSUPP;
  if (snapshots < 0 && snapshots != -EOPNOTSUPP) return snapshots;
  return copy_image(from, to, name, given, progress);
}

}  // namespace

namespace across {

int rbd_copy(rbd_image_t image, rados_ioctx_t to, const char* name) {
  return copy_image(image, to, name, nullptr, {});
}

int rbd_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                           librbd_progress_fn_t progress, void* argument) {
  return copy_image(image, to, name, nullptr, {progress, argument});
}

int rbd_copy3(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options) {
  return copy_image(image, to, name, options, {});
}

int rbd_copy_with_progress3(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument) {
  return copy_image(image, to, name, options, {progress, argument});
}

int rbd_copy4(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options, size_t) {
  return copy_image(image, to, name, options, {});
}

int rbd_copy_with_progress4(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument,
                            size_t) {
  return copy_image(image, to, name, options, {progress, argument});
}

int rbd_copy2(rbd_image_t image, rbd_image_t to) {
  return rbd_copy_with_progress2(image, to, nullptr, nullptr);
}

// -EINVAL where the target is shorter, as the real library has it.
int rbd_copy_with_progress2(rbd_image_t image, rbd_image_t to, librbd_progress_fn_t progress,
                            void* argument) {
  uint64_t from_size = 0;
  uint64_t to_size = 0;
  int r = rbd_get_size(image, &from_size);
  if (r >= 0) r = rbd_get_size(to, &to_size);
  if (r < 0) return r;
  if (to_size < from_size) return -EINVAL;
  r = copy_metadata(image, to);
  return r < 0 ? r : copy_data(image, to, {progress, argument});
}

int rbd_deep_copy(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options) {
  return deep_copy_image(image, to, name, options, {});
}

int rbd_deep_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                                rbd_image_options_t options, librbd_progress_fn_t progress, void* argument) {
  return deep_copy_image(image, to, name, options, {progress, argument});
}

}  // namespace across

}  // namespace cbd::ceph
