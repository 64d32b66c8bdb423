// Pools and images of a data command, through librbd; closed when they go out of scope.
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#include <string>
#include <utility>
#include <vector>

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

struct Snap {
  std::string name;
  uint64_t id = 0;
  uint64_t size = 0;
};

struct ImageShape {
  uint64_t order = 0, features = 0, stripe_unit = 0, stripe_count = 0;
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
  // In the order of their ids. Throws Failure.
  std::vector<Snap> snaps() const;
  bool is_protected(const std::string& snap) const;
  ImageShape shape() const;
  // All of it. Throws Failure.
  std::vector<std::pair<std::string, std::string>> metadata() const;
  // Ends it; 0 or -errno of what was still to be written.
  int close();

 private:
  rbd_image_t image_ = nullptr;
};

// True for --export-format 2; throws Failure (code 1) for another than 1 and 2.
bool has_full_format(const Words& words);

// Where the image of a command is: the word at `index`, then --pool, --namespace, --image, --snap.
Spec image_spec(const Words& words, size_t index, bool may_have_snap);

// Shows "\rImporting image: 25% complete..." on standard error.
class Progress {
 public:
  Progress(std::string what, bool is_shown) : what_(std::move(what)), is_shown_(is_shown) {}
  void update(uint64_t done, uint64_t total);
  void finish();
  void fail();
  // Something was reported.
  bool has_begun() const { return has_begun_; }
  // For librbd's calls: `progress` is a Progress; -ECANCELED once the user wants no more.
  static int note(uint64_t done, uint64_t total, void* progress);

 private:
  std::string what_;
  bool is_shown_;
  int percent_ = 0;
  bool has_begun_ = false;
};

// A half-made image goes away, with the snapshots that it may have already; says so where it cannot be removed.
void remove_half(const Pool& pool, const std::string& name);

}  // namespace cbd::hooks
