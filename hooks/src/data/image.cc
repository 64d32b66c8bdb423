#include "data/image.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cbd::hooks {

Pool::Pool(rados_t cluster, const std::string& name, const std::string& name_space) {
  int result = rados_ioctx_create(cluster, name.c_str(), &ioctx_);
  if (result < 0) throw failure("error opening pool '" + name + "'", result);
  rados_ioctx_set_namespace(ioctx_, name_space.c_str());
  bool exists = true;
  if (!name_space.empty() && rbd_namespace_exists(ioctx_, name_space.c_str(), &exists) == 0 && !exists) {
    rados_ioctx_destroy(ioctx_);
    throw Failure{ENOENT, "rbd: namespace '" + name_space + "' does not exist.\n"};
  }
}

Pool::~Pool() { rados_ioctx_destroy(ioctx_); }

Image::Image(const Pool& pool, const std::string& name, const std::string& snap, bool read_only) {
  auto open = [&](const char* at) {
    return read_only ? rbd_open_read_only(pool.ioctx(), name.c_str(), &image_, at) : rbd_open(pool.ioctx(), name.c_str(), &image_, at);
  };
  int result = open(snap.empty() ? nullptr : snap.c_str());
  if (result == 0) return;
  // A missing snapshot and a missing image give the same error; they are worded differently.
  if (!snap.empty() && open(nullptr) == 0) {
    rbd_close(image_);
    throw Failure{-result, "error setting snapshot context" + failure("", result).text.substr(5)};
  }
  throw failure("error opening image " + name, result);
}

Image::~Image() { close(); }

int Image::close() {
  if (image_ == nullptr) return 0;
  rbd_image_t image = image_;
  image_ = nullptr;
  return rbd_close(image);
}

uint64_t Image::size() const {
  uint64_t size = 0;
  rbd_get_size(image_, &size);
  return size;
}

uint64_t Image::object_size() const {
  rbd_image_info_t info{};
  return rbd_stat(image_, &info, sizeof(info)) == 0 && info.obj_size != 0 ? info.obj_size : uint64_t{4} << 20;
}

Spec image_spec(const Words& words, size_t index, bool may_have_snap) {
  Spec spec;
  if (auto word = words.word(index); word && !word->empty()) spec = parse_spec(*word);
  auto take = [&](std::string& into, const char* option) {
    if (into.empty()) into = words.text(option).value_or("");
  };
  take(spec.pool, "pool");
  take(spec.name_space, "namespace");
  take(spec.image, "image");
  take(spec.snap, "snap");
  if (spec.pool.empty()) spec.pool = "rbd";
  if (spec.image.empty()) throw Failure{EINVAL, "rbd: image name was not specified\n"};
  if (!spec.snap.empty() && !may_have_snap) {
    throw Failure{EINVAL, "rbd: snapshot name specified for a command that doesn't use it\n"};
  }
  return spec;
}

void Progress::update(uint64_t done, uint64_t total) {
  if (!is_shown_ || total == 0) return;
  int percent = static_cast<int>(static_cast<double>(done) * 100 / static_cast<double>(total));
  if (percent <= percent_ || percent > 100) return;
  percent_ = percent;
  fprintf(stderr, "\r%s: %d%% complete...", what_.c_str(), percent);
  fflush(stderr);
}

void Progress::finish() {
  if (is_shown_) fprintf(stderr, "\r%s: 100%% complete...done.\n", what_.c_str());
}

void Progress::fail() {
  if (is_shown_) fprintf(stderr, "\r%s: %d%% complete...failed.\n", what_.c_str(), percent_);
}

}  // namespace cbd::hooks
