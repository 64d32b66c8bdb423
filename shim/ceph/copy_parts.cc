#include "ceph/copy_parts.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

namespace cbd::ceph {

namespace {

constexpr uint64_t kPiece = 4 << 20;  // bytes read and written at a time

struct Copy {
  rbd_image_t from;
  rbd_image_t to;
  uint64_t size;
  const char* base;  // null where the target reads as zeroes
  const Progress& progress;
  std::unique_ptr<char[]> buffer;
  uint64_t done = 0;

  int passed(uint64_t offset) {
    done = offset;
    return progress.report(done, size) ? 0 : -ECANCELED;
  }
};

bool is_zero(const char* bytes, size_t length) {
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

int copy_range(Copy& copy, uint64_t offset, uint64_t length) {
  for (uint64_t end = offset + length; offset < end;) {
    const size_t piece = std::min(kPiece, end - offset);
    const ssize_t got = rbd_read(copy.from, offset, piece, copy.buffer.get());
    if (got < 0) return static_cast<int>(got);
    if (got == 0) return -EIO;
    ssize_t put = 0;
    if (!is_zero(copy.buffer.get(), got)) {
      put = rbd_write(copy.to, offset, got, copy.buffer.get());
    } else if (copy.base != nullptr) {
      put = rbd_write_zeroes(copy.to, offset, got, 0, 0);
    }
    if (put < 0) return static_cast<int>(put);
    offset += got;
    if (const int r = copy.passed(offset); r < 0) return r;
  }
  return 0;
}

// One call to a real Ceph takes less than 2 GiB.
int zero_range(Copy& copy, uint64_t offset, uint64_t length) {
  constexpr uint64_t kMost = 1 << 30;
  for (uint64_t end = offset + length; offset < end;) {
    const uint64_t piece = std::min(kMost, end - offset);
    const ssize_t r = rbd_write_zeroes(copy.to, offset, piece, 0, 0);
    if (r < 0) return static_cast<int>(r);
    offset += piece;
  }
  return copy.passed(offset);
}

int on_extent(uint64_t offset, size_t length, int exists, void* argument) {
  auto& copy = *static_cast<Copy*>(argument);
  if (offset >= copy.size) return 0;
  length = std::min<uint64_t>(length, copy.size - offset);
  if (exists != 0) return copy_range(copy, offset, length);
  return copy.base != nullptr ? zero_range(copy, offset, length) : 0;
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
      if (option == RBD_IMAGE_OPTION_FLATTEN) continue;  // not of a create: what crosses has no parent anyway
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

}  // namespace

int copy_changes(rbd_image_t from, const char* base, rbd_image_t to, const Progress& progress) {
  uint64_t size = 0;
  int r = rbd_get_size(from, &size);
  if (r < 0) return r;
  Copy copy{from, to, size, base, progress, std::unique_ptr<char[]>(new (std::nothrow) char[kPiece])};
  if (copy.buffer == nullptr) return -ENOMEM;
  if (size > 0) r = rbd_diff_iterate2(from, base, 0, size, 1, 0, on_extent, &copy);
  if (r < 0) return r;
  if (copy.done < size && !progress.report(size, size)) return -ECANCELED;
  return rbd_flush(to);
}

int copy_data(rbd_image_t from, rbd_image_t to, const Progress& progress) {
  return copy_changes(from, nullptr, to, progress);
}

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

int create_like(rbd_image_t from, uint64_t size, rados_ioctx_t to, const char* name, rbd_image_options_t given) {
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
  return rbd_create4(to, name, size, options.handle());
}

}  // namespace cbd::ceph
