// The C functions that open and close images.
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>

#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"
#include "rbd/thread.h"

namespace cbd::rbd {

namespace {

enum class By { name, id };
enum class Mode { read_write, read_only };

// Fills `target`; -EINVAL where there is nothing to open.
int read_target(rados_ioctx_t io, By by, const char* key, const char* snap, Mode mode, OpenTarget& target) {
  if (io == nullptr || key == nullptr) return -EINVAL;
  (by == By::name ? target.name : target.id) = key;
  if (*key == '\0') return -ENOENT;
  if (snap != nullptr) target.snap = snap;
  target.read_only = mode == Mode::read_only;
  return 0;
}

int open(rados_ioctx_t io, By by, const char* key, rbd_image_t* image, const char* snap, Mode mode) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    OpenTarget target;
    int error = read_target(io, by, key, snap, mode, target);
    if (error != 0) return error;
    Image* opened = Image::open(*ioctx(io), target, error);
    if (opened != nullptr) *image = opened;
    return error;
  });
}

// Runs `work` on a thread of its own and gives its result through the completion.
int run_apart(rbd_completion_t c, std::function<int()> work) {
  return guarded([&] {
    if (c == nullptr) return -EINVAL;
    Completion* completion = Completion::from(c);
    completion->start(nullptr, false);
    std::thread worker;
    int error = start_thread(worker, "rbd-open", [completion, work = std::move(work)] {
      completion->set_result(guarded(work));
      completion->run();
    });
    if (error != 0) {
      completion->release();
      return error;
    }
    worker.detach();
    return 0;
  });
}

int aio_open(rados_ioctx_t io, By by, const char* key, rbd_image_t* image, const char* snap, Mode mode,
             rbd_completion_t c) {
  return guarded([&] {
    if (image == nullptr) return -EINVAL;
    OpenTarget target;
    int invalid = read_target(io, by, key, snap, mode, target);
    if (invalid == -EINVAL) return invalid;
    // The ioctx may be destroyed before the image is open.
    return run_apart(c, [at = *ioctx(io), target, image, invalid] {
      if (invalid != 0) return invalid;
      int error = 0;
      Image* opened = Image::open(at, target, error);
      if (opened != nullptr) *image = opened;
      return error;
    });
  });
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// A snapshot name of NULL or "" means the image itself. -ENOENT where image or snapshot are not there.
int rbd_open(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name) {
  return open(io, By::name, name, image, snap_name, Mode::read_write);
}

int rbd_open_by_id(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name) {
  return open(io, By::id, id, image, snap_name, Mode::read_write);
}

int rbd_open_read_only(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name) {
  return open(io, By::name, name, image, snap_name, Mode::read_only);
}

int rbd_open_by_id_read_only(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name) {
  return open(io, By::id, id, image, snap_name, Mode::read_only);
}

// 0 when it has begun; *image is set before the completion ends in 0.
int rbd_aio_open(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name, rbd_completion_t c) {
  return aio_open(io, By::name, name, image, snap_name, Mode::read_write, c);
}

int rbd_aio_open_by_id(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name,
                       rbd_completion_t c) {
  return aio_open(io, By::id, id, image, snap_name, Mode::read_write, c);
}

int rbd_aio_open_read_only(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name,
                           rbd_completion_t c) {
  return aio_open(io, By::name, name, image, snap_name, Mode::read_only, c);
}

int rbd_aio_open_by_id_read_only(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name,
                                 rbd_completion_t c) {
  return aio_open(io, By::id, id, image, snap_name, Mode::read_only, c);
}

// Returns when every callback of the image has returned; what was written is flushed.
int rbd_close(rbd_image_t image) {
  return guarded([&] { return image == nullptr ? -EINVAL : Image::from(image)->close(); });
}

int rbd_aio_close(rbd_image_t image, rbd_completion_t c) {
  if (image == nullptr) return -EINVAL;
  return run_apart(c, [image] { return Image::from(image)->close(); });
}

}  // extern "C"
