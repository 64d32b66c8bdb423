// See model_family.h.
#include "rbd/model_family.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "rbd/model_diff.h"
#include "tap.h"

namespace cbd::test {

namespace {

constexpr size_t kMostImages = 5;
constexpr size_t kMostSnaps = 6;
constexpr uint64_t kBlock = 4096;

}  // namespace

Clients::Clients(const std::string& conf, const std::string& pool, bool discards) : discards(discards) {
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(rados_create(&cluster[i], nullptr), 0);
    CHECK_EQ(rados_conf_read_file(cluster[i], conf.c_str()), 0);
    // One client goes through the page cache, the other around it.
    CHECK_EQ(rados_conf_set(cluster[i], "rbd_discard_granularity_bytes", std::to_string(kDiscardUnit).c_str()), 0);
    CHECK_EQ(rados_conf_set(cluster[i], "rbd_cache", i == 0 ? "true" : "false"), 0);
    if (!CHECK_EQ(rados_connect(cluster[i]), 0)) std::exit(1);
    if (!CHECK_EQ(rados_ioctx_create(cluster[i], pool.c_str(), &io[i]), 0)) std::exit(1);
  }
}

Clients::~Clients() {
  for (int i = 0; i < 2; i++) {
    rados_ioctx_destroy(io[i]);
    rados_shutdown(cluster[i]);
  }
}

Family::Family(Clients& clients, uint32_t seed, std::string prefix) : clients_(clients), random_(seed), prefix_(std::move(prefix)) {}

Family::~Family() {
  for (auto& image : images_) close(*image);
}

bool Family::step(uint64_t operations) {
  if (images_.empty()) return create();
  const size_t index = random_() % images_.size();
  ModelImage& image = *images_[index];
  const size_t choice = random_() % 40;
  if (choice < 22) return io_round(image, operations);
  changes_++;
  switch (choice) {
    case 22:
    case 23:
    case 24: return take_snapshot(image);
    case 25:
    case 26: return remove_snapshot(image);
    case 27:
    case 28: return roll_back(image);
    case 29:
    case 30: return clone(image);
    case 31: return flatten(image);
    case 32:
    case 33: return resize(image);
    case 34: return reopen(image);
    case 35: return toggle_protection(image) && rename_snapshot(image);
    case 36: return compare_diff(image) && compare_diff(image);
    case 37: return images_.size() < kMostImages ? random_() % 4 == 0 ? create() : deep_copy(image) : remove(index);
    case 38: return remove(index);
    default: {
      ModelSnap* snap = any_snap(image);
      return snap == nullptr || verify(image, *snap);
    }
  }
}

bool Family::create() {
  auto image = std::make_unique<ModelImage>();
  image->name = fresh_name();
  image->bytes.assign(300000 + random_() % 1200000, 0);
  int order = 13 + static_cast<int>(random_() % 10);
  if (!CHECK_EQ(rbd_create2(clients_.io[0], image->name.c_str(), image->bytes.size(), RBD_FEATURE_LAYERING, &order), 0)) return false;
  images_.push_back(std::move(image));
  return open(*images_.back());
}

bool Family::open(ModelImage& image) {
  for (int i = 0; i < 2; i++) {
    if (!CHECK_EQ(rbd_open(clients_.io[i], image.name.c_str(), &image.open[i], nullptr), 0)) return false;
  }
  return true;
}

void Family::close(ModelImage& image) {
  for (rbd_image_t& handle : image.open) {
    if (handle != nullptr) rbd_close(handle);
    handle = nullptr;
  }
}

// Reads and writes by three threads, of one client or of both, and sometimes a change of the image meanwhile.
bool Family::io_round(ModelImage& image, uint64_t operations) {
  Round round;
  round.operations = operations;
  round.seed = static_cast<uint32_t>(random_());
  const bool is_of_both = random_() % 4 == 0;
  for (size_t t = 0; t < 3; t++) round.handles.push_back(is_of_both ? image.open[t % 2] : image.open[round.seed % 2]);
  if (is_of_both) {
    round.grain = kBlock;
    round.operations = std::min<uint64_t>(operations, 30);  // the head moves to and fro
  }
  round.discards = clients_.discards;
  const size_t beside = random_() % 12;
  const Bytes before = image.bytes;
  Bytes touched;
  ModelSnap floating;
  std::atomic<bool> good{true};
  std::thread other;
  if (beside < 4) other = std::thread([&] { good = change_beside(image, beside, floating); });
  const bool all_read = run_round(round, image.bytes, touched);
  if (other.joinable()) other.join();
  if (!all_read || !good) return false;
  if (floating.name.empty()) return true;
  // The snapshot was taken somewhere in the middle: what the round did not touch it shows as it was; the rest stays as it is.
  rbd_image_t at = nullptr;
  if (!CHECK_EQ(rbd_open_read_only(clients_.io[1], image.name.c_str(), &at, floating.name.c_str()), 0)) return false;
  floating.bytes.resize(before.size());
  const ssize_t got = rbd_read(at, 0, before.size(), reinterpret_cast<char*>(floating.bytes.data()));
  rbd_close(at);
  if (!CHECK_EQ(got, static_cast<ssize_t>(before.size()))) return false;
  for (size_t i = 0; i < before.size(); i++) {
    if (touched[i] == 0 && floating.bytes[i] != before[i]) return CHECK(floating.bytes[i] == before[i]);
  }
  image.snaps.push_back(std::move(floating));
  return true;
}

// What changes an image's layers and nothing that its writers see.
bool Family::change_beside(ModelImage& image, size_t what, ModelSnap& floating) {
  rbd_image_t handle = image.open[what % 2];
  if (what < 2 && image.snaps.size() < kMostSnaps) {
    floating.name = fresh_name();
    return CHECK_EQ(rbd_snap_create(handle, floating.name.c_str()), 0);
  }
  if (what == 2 && !image.parent.empty()) {
    image.parent.clear();
    return CHECK_EQ(rbd_flatten(handle), 0);
  }
  return CHECK_EQ(rbd_flush(handle), 0);
}

bool Family::take_snapshot(ModelImage& image) {
  if (image.snaps.size() >= kMostSnaps) return remove_snapshot(image);
  ModelSnap snap{fresh_name(), image.bytes, false};
  if (!CHECK_EQ(rbd_snap_create(any_handle(image), snap.name.c_str()), 0)) return false;
  if (!CHECK_EQ(rbd_snap_create(any_handle(image), snap.name.c_str()), -EEXIST)) return false;
  image.snaps.push_back(std::move(snap));
  return true;
}

// A last look at it, and it goes: to the trash where clones of format 2 show it.
bool Family::remove_snapshot(ModelImage& image) {
  ModelSnap* snap = any_snap(image);
  if (snap == nullptr) return true;
  if (!verify(image, *snap)) return false;
  const int expected = snap->is_protected || children(image, snap->name, 1) > 0 ? -EBUSY : 0;
  if (!CHECK_EQ(rbd_snap_remove(any_handle(image), snap->name.c_str()), expected)) return false;
  if (expected != 0) return true;
  for (auto& other : images_) {
    if (other->parent == image.name && other->parent_snap == snap->name) other->parent_snap.clear();
  }
  image.snaps.erase(image.snaps.begin() + (snap - image.snaps.data()));
  return true;
}

bool Family::toggle_protection(ModelImage& image) {
  ModelSnap* snap = any_snap(image);
  if (snap == nullptr) return true;
  rbd_image_t handle = any_handle(image);
  if (!snap->is_protected) {
    snap->is_protected = true;
    return CHECK_EQ(rbd_snap_protect(handle, snap->name.c_str()), 0);
  }
  const int expected = children(image, snap->name, 1) > 0 ? -EBUSY : 0;
  snap->is_protected = expected != 0;
  return CHECK_EQ(rbd_snap_unprotect(handle, snap->name.c_str()), expected);
}

bool Family::rename_snapshot(ModelImage& image) {
  ModelSnap* snap = any_snap(image);
  if (snap == nullptr) return true;
  const std::string to = fresh_name();
  if (!CHECK_EQ(rbd_snap_rename(any_handle(image), snap->name.c_str(), to.c_str()), 0)) return false;
  for (auto& other : images_) {
    if (other->parent == image.name && other->parent_snap == snap->name) other->parent_snap = to;
  }
  snap->name = to;
  return true;
}

bool Family::roll_back(ModelImage& image) {
  ModelSnap* snap = any_snap(image);
  if (snap == nullptr) return true;
  if (!CHECK_EQ(rbd_snap_rollback(any_handle(image), snap->name.c_str()), 0)) return false;
  image.bytes = snap->bytes;
  return reads_as(any_handle(image), image.bytes, "an image that was rolled back");
}

bool Family::clone(ModelImage& image) {
  ModelSnap* snap = any_snap(image);
  if (snap == nullptr || images_.size() >= kMostImages) return true;
  auto child = std::make_unique<ModelImage>();
  child->name = fresh_name();
  child->bytes = snap->bytes;
  child->parent = image.name;
  child->parent_snap = snap->name;
  child->was_cloned = true;
  child->format = snap->is_protected && random_() % 2 ? 1 : 2;
  rbd_image_options_t options;
  rbd_image_options_create(&options);
  rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_CLONE_FORMAT, static_cast<uint64_t>(child->format));
  rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FEATURES, RBD_FEATURE_LAYERING);
  const int error = rbd_clone3(clients_.io[0], image.name.c_str(), snap->name.c_str(), clients_.io[1], child->name.c_str(), options);
  rbd_image_options_destroy(options);
  if (!CHECK_EQ(error, 0)) return false;
  images_.push_back(std::move(child));
  return open(*images_.back()) && reads_as(images_.back()->open[0], images_.back()->bytes, "a fresh clone");
}

bool Family::flatten(ModelImage& image) {
  const int expected = image.parent.empty() ? -EINVAL : 0;
  image.parent.clear();
  return CHECK_EQ(rbd_flatten(any_handle(image)), expected) && reads_as(any_handle(image), image.bytes, "a flattened image");
}

bool Family::resize(ModelImage& image) {
  const uint64_t size = 200000 + random_() % 1400000;
  if (!CHECK_EQ(rbd_resize(any_handle(image), size), 0)) return false;
  image.bytes.resize(size, 0);
  return true;
}

bool Family::reopen(ModelImage& image) {
  close(image);
  return open(image) && reads_as(any_handle(image), image.bytes, "an image that was opened again");
}

bool Family::deep_copy(ModelImage& image) {
  auto copy = std::make_unique<ModelImage>();
  copy->name = fresh_name();
  copy->bytes = image.bytes;
  copy->snaps = image.snaps;
  rbd_image_options_t options;
  rbd_image_options_create(&options);
  rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FLATTEN, 1);
  const int error = rbd_deep_copy(image.open[0], clients_.io[1], copy->name.c_str(), options);
  rbd_image_options_destroy(options);
  if (!CHECK_EQ(error, 0)) return false;
  images_.push_back(std::move(copy));
  ModelImage& made = *images_.back();
  if (!open(made) || !reads_as(made.open[0], made.bytes, "a deep copy")) return false;
  return std::all_of(made.snaps.begin(), made.snaps.end(), [&](const ModelSnap& snap) { return verify(made, snap); });
}

// With its snapshots, where nothing hangs on them.
bool Family::remove(size_t index) {
  ModelImage& image = *images_[index];
  if (images_.size() < 2 || has_children(image)) return true;
  for (ModelSnap& snap : image.snaps) {
    if (!verify(image, snap)) return false;
    if (snap.is_protected && !CHECK_EQ(rbd_snap_unprotect(image.open[0], snap.name.c_str()), 0)) return false;
    if (!CHECK_EQ(rbd_snap_remove(image.open[1], snap.name.c_str()), 0)) return false;
  }
  image.snaps.clear();
  close(image);
  if (!CHECK_EQ(rbd_remove(clients_.io[0], image.name.c_str()), 0)) return false;
  images_.erase(images_.begin() + static_cast<long>(index));
  return true;
}

// What is said of the image, or of one of its snapshots, since an older snapshot or since nothing.
bool Family::compare_diff(ModelImage& image) {
  // The newer one: the image itself where it is past the last.
  const size_t newer = random_() % (image.snaps.size() + 1);
  const size_t older = random_() % (newer + 1);  // `newer` itself: since nothing
  DiffCase diff;
  diff.after = newer == image.snaps.size() ? &image.bytes : &image.snaps[newer].bytes;
  diff.has_parent = image.was_cloned;
  if (older < newer) {
    diff.from = image.snaps[older].name;
    diff.before = &image.snaps[older].bytes;
  }
  if (newer == image.snaps.size()) {
    diff.handle = any_handle(image);
    return diffs_hold(diff, random_);
  }
  if (!CHECK_EQ(rbd_open_read_only(clients_.io[random_() % 2], image.name.c_str(), &diff.handle, image.snaps[newer].name.c_str()), 0)) return false;
  const bool good = diffs_hold(diff, random_);
  rbd_close(diff.handle);
  return good;
}

bool Family::verify(ModelImage& image, const ModelSnap& snap) {
  rbd_image_t at = nullptr;
  if (!CHECK_EQ(rbd_open_read_only(clients_.io[random_() % 2], image.name.c_str(), &at, snap.name.c_str()), 0)) return false;
  const bool good = reads_as(at, snap.bytes, "a snapshot");
  rbd_close(at);
  verified_++;
  return good;
}

bool Family::verify_all() {
  for (auto& image : images_) {
    if (!reads_as(any_handle(*image), image->bytes, "an image at the end")) return false;
    for (const ModelSnap& snap : image->snaps) {
      if (!verify(*image, snap)) return false;
    }
  }
  return true;
}

bool Family::remove_all() {
  // Clones before what they were cloned from.
  while (!images_.empty()) {
    const auto last = std::find_if(images_.begin(), images_.end(), [&](const auto& image) { return !has_children(*image); });
    if (last == images_.end()) return CHECK(last != images_.end());
    ModelImage& image = **last;
    for (ModelSnap& snap : image.snaps) {
      if (snap.is_protected && !CHECK_EQ(rbd_snap_unprotect(image.open[0], snap.name.c_str()), 0)) return false;
      if (!CHECK_EQ(rbd_snap_remove(image.open[0], snap.name.c_str()), 0)) return false;
    }
    close(image);
    if (!CHECK_EQ(rbd_remove(clients_.io[0], image.name.c_str()), 0)) return false;
    images_.erase(last);
  }
  return true;
}

size_t Family::children(const ModelImage& image, const std::string& snap, int format) const {
  return static_cast<size_t>(std::count_if(images_.begin(), images_.end(), [&](const auto& other) {
    return other->parent == image.name && other->parent_snap == snap && other->format == format;
  }));
}

bool Family::has_children(const ModelImage& image) const {
  return std::any_of(images_.begin(), images_.end(), [&](const auto& other) { return other->parent == image.name; });
}

ModelSnap* Family::any_snap(ModelImage& image) {
  return image.snaps.empty() ? nullptr : &image.snaps[random_() % image.snaps.size()];
}

}  // namespace cbd::test
