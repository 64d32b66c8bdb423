// Pools and images of a data command, through librbd; closed when they go out of scope.
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#include <string>

#include "data/words.h"

namespace cbd::hooks {

class Pool {
 public:
  // Throws Failure as rbd words it.
  Pool(rados_t cluster, const std::string& name, const std::string& name_space);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  rados_ioctx_t ioctx() const { return ioctx_; }

 private:
  rados_ioctx_t ioctx_ = nullptr;
};

class Image {
 public:
  // `snap` may be "". Throws Failure as rbd words it.
  Image(const Pool& pool, const std::string& name, const std::string& snap, bool read_only);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  rbd_image_t handle() const { return image_; }
  uint64_t size() const;
  uint64_t object_size() const;
  // Ends it; 0 or -errno of what was still to be written.
  int close();

 private:
  rbd_image_t image_ = nullptr;
};

// Where the image of a command is: the word at `index`, then --pool, --namespace, --image, --snap.
Spec image_spec(const Words& words, size_t index, bool may_have_snap);

// Shows "\rImporting image: 25% complete..." on standard error.
class Progress {
 public:
  Progress(std::string what, bool is_shown) : what_(std::move(what)), is_shown_(is_shown) {}
  void update(uint64_t done, uint64_t total);
  void finish();
  void fail();

 private:
  std::string what_;
  bool is_shown_;
  int percent_ = 0;
};

}  // namespace cbd::hooks
