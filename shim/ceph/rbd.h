// What the dispatcher of librbd, generated and by hand, needs: is a handle a real Ceph's, what does the real
// library call it, and the carrying over of what is made before anybody knows for whom: completions and image
// options.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "ceph/library.h"
#include "ceph/pools.h"
#include "natives_librbd.h"
#include "real_librbd.h"

namespace cbd::ceph {

// The real librbd: null where it is not installed; loaded_rbd() where nobody has needed it yet.
const RbdFunctions* rbd();
const RbdFunctions* loaded_rbd();

// What an rbd_image_t of a real Ceph points at, with the lowest bit set, which no image of ours has.
struct Image {
  rbd_image_t handle;           // the real library's
  std::shared_ptr<Pool> pool;   // keeps the cluster connected for as long as the image is open
  unsigned generation;          // of the process that opened it
  std::atomic<bool> announces;  // rbd_set_image_notification was called: finished completions are polled for
};

inline bool is_image(rbd_image_t image) {
  return (reinterpret_cast<uintptr_t>(image) & 1) != 0;
}
inline Image* image_of(rbd_image_t image) {
  return reinterpret_cast<Image*>(reinterpret_cast<uintptr_t>(image) & ~uintptr_t{1});
}
// Null in a child of the process that opened the image: the threads behind it are the parent's, and a call
// would wait for ever.
inline rbd_image_t real_image(rbd_image_t image) {
  const Image* const opened = image_of(image);
  return opened->generation == opened->pool->generation() ? opened->handle : nullptr;
}

// Hands the real image `opened` out as one of `pool`, or of the pool behind a rados_ioctx_t of ours, as *image. Returns 0;
// -ENOMEM, having closed it.
int wrap_image(rbd_image_t opened, const std::shared_ptr<Pool>& pool, rbd_image_t* image);
int wrap_image(rbd_image_t opened, rados_ioctx_t pool, rbd_image_t* image);

// A completion of ours that a call on a real image is given: a real one whose end becomes the end of ours, on
// the thread and at the moment that the real library chose. A null completion of ours stays null.
class Carried {
 public:
  // `image` is the one that the call is for; null where it is for none.
  explicit Carried(rbd_completion_t ours, rbd_image_t image = nullptr);
  // Null where there is no memory for one.
  rbd_completion_t handle() const { return real_; }
  // The call returned `result`. Where that is negative, no callback comes.
  void submitted(ssize_t result);

 private:
  const rbd_completion_t ours_;
  rbd_completion_t real_ = nullptr;
};

// The real library's form of image options of ours; null for null. What the call writes into them (the order that it chose and
// more) is in ours when this ends.
class Options {
 public:
  explicit Options(rbd_image_options_t ours);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  rbd_image_options_t handle() const { return real_; }
  // 0, or why the options could not be carried over.
  int error() const { return error_; }

 private:
  void hand_back();

  const rbd_image_options_t ours_;
  rbd_image_options_t real_ = nullptr;
  int error_ = 0;
};

// Copies between a real Ceph and us: what the function of that name does, with one of its two handles on
// either side.
namespace across {
int rbd_copy(rbd_image_t image, rados_ioctx_t to, const char* name);
int rbd_copy2(rbd_image_t image, rbd_image_t to);
int rbd_copy3(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options);
int rbd_copy4(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options,
              size_t sparse_size);
int rbd_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                           librbd_progress_fn_t progress, void* argument);
int rbd_copy_with_progress2(rbd_image_t image, rbd_image_t to, librbd_progress_fn_t progress, void* argument);
int rbd_copy_with_progress3(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument);
int rbd_copy_with_progress4(rbd_image_t image, rados_ioctx_t to, const char* name,
                            rbd_image_options_t options, librbd_progress_fn_t progress, void* argument,
                            size_t sparse_size);
int rbd_deep_copy(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options);
int rbd_deep_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                                rbd_image_options_t options, librbd_progress_fn_t progress, void* argument);
}  // namespace across

}  // namespace cbd::ceph
