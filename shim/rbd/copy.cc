// The C functions that copy an image.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/copy.h"
#include "rbd/create.h"
#include "rbd/data_copy.h"
#include "rbd/guard.h"
#include "rbd/image.h"
#include "rbd/operation.h"
#include "rbd/progress.h"

namespace cbd::rbd {

namespace {

constexpr uint64_t kDefaultGrain = 64 * 1024;

// 0 means the default. -EINVAL for what is no power of two, under 4 KiB or larger than an object.
int check_sparse_size(const ImageState& state, size_t sparse_size) {
  if (sparse_size == 0) return 0;
  const bool fits = sparse_size >= 4096 && sparse_size <= (size_t{1} << state.order);
  return fits && std::has_single_bit(sparse_size) ? 0 : -EINVAL;
}

// Options of the source, where the caller has none of his own.
ImageOptions options_like(const ImageState& source, const ImageOptions* given) {
  ImageOptions options = given != nullptr ? *given : ImageOptions();
  auto otherwise = [&](int option, uint64_t value) {
    if (!options.has(option)) options.set(option, value);
  };
  otherwise(RBD_IMAGE_OPTION_FEATURES, source.features & ~(RBD_FEATURES_IMPLICIT_ENABLE & ~RBD_FEATURE_FAST_DIFF));
  otherwise(RBD_IMAGE_OPTION_ORDER, static_cast<uint64_t>(source.order));
  if (source.features & RBD_FEATURE_STRIPINGV2) {
    otherwise(RBD_IMAGE_OPTION_STRIPE_UNIT, source.stripe_unit);
    otherwise(RBD_IMAGE_OPTION_STRIPE_COUNT, source.stripe_count);
  }
  return options;
}

int copy_into(Image& source, Image& target, CopyOptions options) {
  if (target.write_error() != 0) return target.write_error();
  options.length = source.io().size();
  if (target.io().size() < options.length) return -EINVAL;
  int error = copy_metadata(source, target);
  if (error != 0) return error;
  target.note_write();
  error = copy_data(source.io(), target.io(), options);
  if (error != 0) return error;
  IoRequest flush;
  flush.op = block::Op::flush;
  return target.io().run(flush);
}

int copy_to_new(rbd_image_t handle, rados_ioctx_t io, const char* name, const ImageOptions* given, CopyOptions options,
                size_t sparse_size) {
  if (handle == nullptr || io == nullptr || name == nullptr) return -EINVAL;
  Image& source = *Image::from(handle);
  auto state = source.state();
  int error = check_sparse_size(*state, sparse_size);
  if (error != 0) return error;
  if (sparse_size != 0) options.grain = sparse_size;
  error = create_image(*ioctx(io), name, source.io().size(), options_like(*state, given), nullptr);
  if (error != 0) return error;
  OpenTarget opening;
  opening.name = name;
  Image* target = Image::open(*ioctx(io), opening, error);
  if (target == nullptr) return error;
  error = copy_into(source, *target, std::move(options));
  target->close();
  return error;
}

CopyOptions reporting_to(librbd_progress_fn_t callback, void* argument) {
  CopyOptions options;
  options.grain = kDefaultGrain;
  options.progress = progress(callback, argument);
  return options;
}

}  // namespace

int copy_metadata(Image& source, Image& target) {
  Reply entries = source.call("image.metadata.list", {{"start", ""}, {"max", 0}});
  if (entries.error != 0) return entries.error;
  for (const Json& entry : entries.result->at("entries")) {
    Reply reply = target.change("image.metadata.set", {{"key", entry.at("name")}, {"value", entry.at("value")}});
    if (reply.error != 0) return reply.error;
  }
  return 0;
}

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_copy(rbd_image_t image, rados_ioctx_t dest_io_ctx, const char* destname) {
  return rbd_copy_with_progress4(image, dest_io_ctx, destname, nullptr, nullptr, nullptr, 0);
}

int rbd_copy2(rbd_image_t src, rbd_image_t dest) { return rbd_copy_with_progress2(src, dest, nullptr, nullptr); }

int rbd_copy3(rbd_image_t src, rados_ioctx_t dest_io_ctx, const char* destname, rbd_image_options_t dest_opts) {
  return rbd_copy_with_progress4(src, dest_io_ctx, destname, dest_opts, nullptr, nullptr, 0);
}

int rbd_copy4(rbd_image_t src, rados_ioctx_t dest_io_ctx, const char* destname, rbd_image_options_t dest_opts,
              size_t sparse_size) {
  return rbd_copy_with_progress4(src, dest_io_ctx, destname, dest_opts, nullptr, nullptr, sparse_size);
}

int rbd_copy_with_progress(rbd_image_t image, rados_ioctx_t dest_p, const char* destname, librbd_progress_fn_t cb,
                           void* cbdata) {
  return rbd_copy_with_progress4(image, dest_p, destname, nullptr, cb, cbdata, 0);
}

// Into an image that is there: -EINVAL where it is smaller, -EROFS.
int rbd_copy_with_progress2(rbd_image_t src, rbd_image_t dest, librbd_progress_fn_t cb, void* cbdata) {
  return guarded([&] {
    if (src == nullptr || dest == nullptr) return -EINVAL;
    CopyOptions options = reporting_to(cb, cbdata);
    options.is_target_empty = false;
    return copy_into(*Image::from(src), *Image::from(dest), std::move(options));
  });
}

int rbd_copy_with_progress3(rbd_image_t image, rados_ioctx_t dest_p, const char* destname,
                            rbd_image_options_t dest_opts, librbd_progress_fn_t cb, void* cbdata) {
  return rbd_copy_with_progress4(image, dest_p, destname, dest_opts, cb, cbdata, 0);
}

// Makes `destname` like the image (what it holds now, without snapshots), with what `dest_opts` says otherwise.
// -EEXIST, -EINVAL for a sparse size that is no power of two between 4 KiB and an object, -ECANCELED.
int rbd_copy_with_progress4(rbd_image_t image, rados_ioctx_t dest_p, const char* destname,
                            rbd_image_options_t dest_opts, librbd_progress_fn_t cb, void* cbdata, size_t sparse_size) {
  return guarded([&] {
    return copy_to_new(image, dest_p, destname, ImageOptions::from(dest_opts), reporting_to(cb, cbdata), sparse_size);
  });
}

}  // extern "C"
