// The C functions that copy an image with its snapshots: what each moment of it changed is written to the copy, and a
// snapshot made there, from the oldest on.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "rbd/copy.h"
#include "rbd/create.h"
#include "rbd/data_copy.h"
#include "rbd/diff.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

using block::Extent;

struct Close {
  void operator()(Image* image) const { image->close(); }
};
using OpenedImage = std::unique_ptr<Image, Close>;

// The source as it was at one of its snapshots, or as the caller's handle shows it.
struct Moment {
  Image* image = nullptr;
  OpenedImage opened;  // null where it is the caller's handle

  int open(Image& source, const SnapState& snap) {
    OpenTarget target;
    target.id = source.state()->id;
    target.snap_id = snap.id;
    target.read_only = true;
    int error = 0;
    opened.reset(Image::open(source.at(), target, error));
    image = opened.get();
    return error;
  }
};

class DeepCopy {
 public:
  // `source` is what to copy, `snaps` its snapshots up to there, the oldest first.
  DeepCopy(Image& source, std::vector<SnapState> snaps, librbd_progress_fn_t callback, void* argument)
      : source_(source), snaps_(std::move(snaps)), callback_(callback), argument_(argument), objects_(count_objects()) {}

  int run(const rados::IoCtx& to, const char* name, const ImageOptions& options, bool flattens) {
    Moment before, now;
    for (size_t i = 0; i <= snaps_.size(); i++) {
      if (i == snaps_.size()) {
        now.opened.reset();
        now.image = &source_;
      } else if (int error = now.open(source_, snaps_[i])) {
        return error;
      }
      int error = i == 0 ? begin(*now.image, to, name, options, flattens) : 0;
      if (error == 0) error = copy_moment(before.image, *now.image, i);
      if (error == 0 && i < snaps_.size()) error = take_snapshot(snaps_[i]);
      if (error != 0) return error;
      before = std::move(now);
    }
    IoRequest flush;
    flush.op = block::Op::flush;
    int error = target_->io().run(flush);
    return error != 0 ? error : copy_metadata(source_, *target_);
  }

 private:
  // Makes the copy, empty or as a clone of what the source was cloned from, and opens it.
  int begin(Image& oldest, const rados::IoCtx& to, const char* name, const ImageOptions& options, bool flattens) {
    auto state = oldest.state();
    int error;
    if (state->parent && !flattens) {
      is_clone_ = true;
      error = clone_parent(*state->parent, to, name, options);
    } else {
      error = create_image(to, name, state->size, options, nullptr);
    }
    if (error != 0) return error;
    OpenTarget opening;
    opening.name = name;
    target_.reset(Image::open(to, opening, error));
    if (target_ == nullptr) return error;
    if (target_->write_error() != 0) return target_->write_error();
    target_->note_write();
    return 0;
  }

  int clone_parent(const ParentState& parent, const rados::IoCtx& to, const char* name, const ImageOptions& options) {
    Json params = {{"at", {{"pool", parent.pool}, {"namespace", parent.name_space}}},
                   {"imageId", parent.id},
                   {"snapId", parent.snap_id},
                   {"to", at_json(to)},
                   {"name", name},
                   {"options", options.to_json()},
                   {"op", new_operation_id()}};
    return to.client->call("clone", std::move(params)).error;
  }

  int copy_moment(Image* before, Image& now, size_t index) {
    if (int error = fit(*now.state())) return error;
    CopyOptions options;
    options.length = now.io().size();
    options.progress = report(index);
    std::unique_ptr<OlderChain> inherited;
    block::Chain* older = nullptr;
    if (before != nullptr) {
      older = &before->io().chain();
    } else if (is_clone_) {
      inherited = std::make_unique<OlderChain>(now);
      if (int error = inherited->open_inherited(now)) return error;
      older = &inherited->chain;
    }
    options.is_target_empty = older == nullptr;
    options.extents = [&now, older](uint64_t offset, uint64_t length, std::vector<Extent>& out) {
      return changes_since(now, older, offset, length, out);
    };
    return copy_data(now.io(), target_->io(), options);
  }

  // Gives the copy the moment's size. A parent shows no more than the smallest size that its clone has had.
  int fit(const ImageState& now) {
    auto state = target_->state();
    const uint64_t overlap = now.parent ? now.parent->overlap : 0;
    if (state->parent && overlap < state->parent->overlap) {
      if (int error = resize(overlap)) return error;
    }
    return resize(now.size);
  }

  int resize(uint64_t size) {
    if (size == target_->state()->size) return 0;
    return target_->change("image.resize", {{"size", size}, {"allowShrink", true}}).error;
  }

  int take_snapshot(const SnapState& snap) {
    int error = target_->change("snap.create", {{"name", snap.name}}).error;
    if (error == 0 && snap.is_protected) error = target_->change("snap.protect", {{"name", snap.name}}).error;
    return error;
  }

  // In objects, as the real library counts; every moment is an equal part of the whole.
  std::function<int(uint64_t, uint64_t)> report(size_t index) {
    if (callback_ == nullptr) return {};
    return [this, index](uint64_t done, uint64_t total) {
      const double parts = static_cast<double>(index) + static_cast<double>(done) / static_cast<double>(total);
      const double part = parts / static_cast<double>(snaps_.size() + 1);
      callback_(static_cast<uint64_t>(part * static_cast<double>(objects_)), objects_, argument_);
      return 0;
    };
  }

  uint64_t count_objects() const {
    uint64_t most = source_.io().size();
    for (const SnapState& snap : snaps_) most = std::max(most, snap.size);
    const int order = source_.state()->order;
    return (most + (uint64_t{1} << order) - 1) >> order;
  }

  Image& source_;
  const std::vector<SnapState> snaps_;
  const librbd_progress_fn_t callback_;
  void* const argument_;
  const uint64_t objects_;
  OpenedImage target_;
  bool is_clone_ = false;
};

// Fills in what the caller did not say; true where the copy is to have no parent.
bool complete(ImageOptions& options, const ImageState& source) {
  auto otherwise = [&](int option, uint64_t value) {
    if (!options.has(option)) options.set(option, value);
  };
  otherwise(RBD_IMAGE_OPTION_FORMAT, 2);
  otherwise(RBD_IMAGE_OPTION_STRIPE_UNIT, source.stripe_unit);
  otherwise(RBD_IMAGE_OPTION_STRIPE_COUNT, source.stripe_count);
  otherwise(RBD_IMAGE_OPTION_ORDER, static_cast<uint64_t>(source.order));
  otherwise(RBD_IMAGE_OPTION_FEATURES, source.features);
  const bool flattens = options.number(RBD_IMAGE_OPTION_FLATTEN).value_or(0) != 0;
  options.unset(RBD_IMAGE_OPTION_FLATTEN);
  return flattens;
}

int deep_copy(rbd_image_t handle, rados_ioctx_t io, const char* name, ImageOptions* options,
              librbd_progress_fn_t callback, void* argument) {
  if (handle == nullptr || io == nullptr || name == nullptr || options == nullptr) return -EINVAL;
  Image& source = *Image::from(handle);
  auto state = source.state();
  if (options->number(RBD_IMAGE_OPTION_FORMAT).value_or(2) == 1) return -EINVAL;
  const bool flattens = complete(*options, *state);
  std::vector<SnapState> snaps;
  for (const SnapState& snap : state->snaps) {
    if (!snap.is_trash && (!state->snap_id || snap.id <= *state->snap_id)) snaps.push_back(snap);
  }
  return DeepCopy(source, std::move(snaps), callback, argument).run(*ioctx(io), name, *options, flattens);
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_deep_copy(rbd_image_t src, rados_ioctx_t dest_io_ctx, const char* destname, rbd_image_options_t dest_opts) {
  return rbd_deep_copy_with_progress(src, dest_io_ctx, destname, dest_opts, nullptr, nullptr);
}

// Makes `destname` like the image, with its snapshots of users (up to the one that the handle is at) and what `dest_opts` says otherwise;
// that gets what was chosen, as 16.2.15 has it. A clone's copy is a clone of the same snapshot unless RBD_IMAGE_OPTION_FLATTEN is
// set. What was made stays where it fails later. What `cb` returns does not matter (nor does it there). -EEXIST, -EINVAL (format 1; a
// parent that is not protected), what a create or a clone gives.
int rbd_deep_copy_with_progress(rbd_image_t image, rados_ioctx_t dest_io_ctx, const char* destname,
                                rbd_image_options_t dest_opts, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    return deep_copy(image, dest_io_ctx, destname, ImageOptions::from(dest_opts), cb, cbdata);
  });
}

}  // extern "C"
