// A few images, their snapshots and clones, as they are in a pool and as they must be: what the model test changes at random.
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rbd/model_io.h"

namespace cbd::test {

// Two clients of one pool: two sessions of the daemon.
struct Clients {
  rados_t cluster[2] = {};
  rados_ioctx_t io[2] = {};

  // Whether what is discarded reads as zeroes; else nothing is. (On CurveBS it is so of layers, not of plain volumes: docs/curvebs.md.)
  const bool discards;

  Clients(const std::string& conf, const std::string& pool, bool discards);
  ~Clients();
};

struct ModelSnap {
  std::string name;
  Bytes bytes;
  bool is_protected = false;
};

struct ModelImage {
  std::string name;
  Bytes bytes;
  std::vector<ModelSnap> snaps;
  std::string parent, parent_snap;  // of a clone that was not flattened
  bool was_cloned = false;
  int format = 0;
  rbd_image_t open[2] = {};  // by each client
};

// Each of these returns false where the library did otherwise than the model says, which is printed.
class Family {
 public:
  Family(Clients& clients, uint32_t seed, std::string prefix);
  ~Family();

  // One random step, of about `operations` reads and writes or one change of the images.
  bool step(uint64_t operations);
  // Every image and every snapshot, read to the end.
  bool verify_all();
  // What a clean end needs: every image removed again.
  bool remove_all();

  uint64_t snapshots_verified() const { return verified_; }
  uint64_t changes() const { return changes_; }

 private:
  bool create();
  bool io_round(ModelImage& image, uint64_t operations);
  bool change_beside(ModelImage& image, size_t what, ModelSnap& floating);
  bool take_snapshot(ModelImage& image);
  bool remove_snapshot(ModelImage& image);
  bool toggle_protection(ModelImage& image);
  bool roll_back(ModelImage& image);
  bool clone(ModelImage& image);
  bool flatten(ModelImage& image);
  bool resize(ModelImage& image);
  bool reopen(ModelImage& image);
  bool rename_snapshot(ModelImage& image);
  bool deep_copy(ModelImage& image);
  bool remove(size_t index);
  bool compare_diff(ModelImage& image);
  bool verify(ModelImage& image, const ModelSnap& snap);

  bool open(ModelImage& image);
  void close(ModelImage& image);
  size_t children(const ModelImage& image, const std::string& snap, int format) const;
  bool has_children(const ModelImage& image) const;
  ModelSnap* any_snap(ModelImage& image);
  rbd_image_t any_handle(ModelImage& image) { return image.open[random_() % 2]; }
  std::string fresh_name() { return prefix_ + std::to_string(++names_); }

  Clients& clients_;
  std::mt19937 random_;
  const std::string prefix_;
  uint64_t names_ = 0, verified_ = 0, changes_ = 0;
  std::vector<std::unique_ptr<ModelImage>> images_;
};

}  // namespace cbd::test
