// The C functions that show what of an image holds data.
#include <algorithm>
#include <cerrno>

#include "rbd/data_requests.h"
#include "rbd/diff.h"
#include "rbd/guard.h"

namespace cbd::rbd {

namespace {

using block::Extent;

// How much of an image is looked at in one go: bounds the memory that a walk over a large image takes.
constexpr uint64_t kWindow = uint64_t{1} << 30;

using Show = int (*)(uint64_t, size_t, int, void*);

struct Walk {
  uint64_t offset, length, object;
  bool whole_object;
  Show show;
  void* arg;
};

// Shows the part of object by object that holds data: all of an object that holds any, or its extents.
int show_extents(const Walk& walk, const std::vector<Extent>& extents) {
  uint64_t shown_to = 0;
  for (const Extent& extent : extents) {
    if (extent.kind != Extent::Kind::data) continue;
    const uint64_t end = extent.offset + extent.length;
    for (uint64_t at = std::max(extent.offset, shown_to); at < end;) {
      const uint64_t object_end = (at / walk.object + 1) * walk.object;
      uint64_t from = at, to = std::min(end, object_end);
      if (walk.whole_object) {
        from = std::max(at / walk.object * walk.object, walk.offset);
        to = std::min(object_end, walk.offset + walk.length);
      }
      int result = walk.show(from, to - from, 1, walk.arg);
      if (result < 0) return result;
      at = shown_to = to;
    }
  }
  return 0;
}

int diff(rbd_image_t handle, const char* from_snap, Walk walk) {
  return guarded([&] {
    if (handle == nullptr || walk.show == nullptr) return -EINVAL;
    Image& image = *Image::from(handle);
    if (from_snap != nullptr) return -ENOENT;
    if (int error = clip(image, walk.offset, walk.length)) return error;
    walk.object = uint64_t{1} << image.state()->order;
    return for_each_window(image, walk.offset, walk.length, std::max(kWindow, walk.object),
                           [&](const std::vector<Extent>& extents) { return show_extents(walk, extents); });
  });
}

}  // namespace

int for_each_window(Image& image, uint64_t offset, uint64_t length, uint64_t window,
                    const std::function<int(const std::vector<Extent>&)>& look) {
  std::vector<Extent> extents;
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t end = std::min(offset + length, (at / window + 1) * window);
    extents.clear();
    int error = image.io().extents(at, end - at, extents);
    if (error == 0) error = look(extents);
    if (error != 0) return error;
    at = end;
  }
  return 0;
}

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_diff_iterate(rbd_image_t image, const char* fromsnapname, uint64_t ofs, uint64_t len, Show cb, void* arg) {
  return diff(image, fromsnapname, {ofs, len, 0, false, cb, arg});
}

// Shows each extent that holds data, in order, object by object; a negative result of `cb` ends it and is returned.
// -EINVAL where the range begins at or past the end, -ENOENT for a snapshot that is not there.
int rbd_diff_iterate2(rbd_image_t image, const char* fromsnapname, uint64_t ofs, uint64_t len, uint8_t,
                      uint8_t whole_object, Show cb, void* arg) {
  return diff(image, fromsnapname, {ofs, len, 0, whole_object != 0, cb, arg});
}

}  // extern "C"
