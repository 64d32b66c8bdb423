#include "data/image.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "data/flow.h"

namespace cbd::hooks {

Pool::Pool(rados_t cluster, const std::string& name, const std::string& name_space) {
  int result = rados_ioctx_create(cluster, name.c_str(), &ioctx_);
  if (result == -ENOPKG) {
    throw Failure{ENOPKG, "rbd: error opening pool '" + name + "': (65) Package not installed: it is on a real Ceph, and the copies of Ceph's librados" +
                              " and librbd are missing here (`cbd2rbd ceph libraries` makes them)\n"};
  }
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

std::vector<Snap> Image::snaps() const {
  std::vector<rbd_snap_info_t> list(16);
  int room = static_cast<int>(list.size());
  int count = rbd_snap_list(image_, list.data(), &room);
  while (count == -ERANGE) {
    list.resize(static_cast<size_t>(room));
    count = rbd_snap_list(image_, list.data(), &room);
  }
  if (count < 0) throw failure("unable to list snapshots", count);
  std::vector<Snap> snaps;
  for (int at = 0; at < count; ++at) {
    const rbd_snap_info_t& one = list[static_cast<size_t>(at)];
    rbd_snap_namespace_type_t kind = RBD_SNAP_NAMESPACE_TYPE_USER;
    if (rbd_snap_get_namespace_type(image_, one.id, &kind) == 0 && kind != RBD_SNAP_NAMESPACE_TYPE_USER) continue;
    snaps.push_back(Snap{one.name, one.id, one.size});
  }
  if (count > 0) rbd_snap_list_end(list.data());
  return snaps;
}

bool Image::is_protected(const std::string& snap) const {
  int is_protected = 0;
  return rbd_snap_is_protected(image_, snap.c_str(), &is_protected) == 0 && is_protected != 0;
}

ImageShape Image::shape() const {
  ImageShape shape;
  rbd_image_info_t info{};
  if (rbd_stat(image_, &info, sizeof(info)) == 0) shape.order = static_cast<uint64_t>(info.order);
  rbd_get_features(image_, &shape.features);
  rbd_get_stripe_unit(image_, &shape.stripe_unit);
  rbd_get_stripe_count(image_, &shape.stripe_count);
  return shape;
}

std::vector<std::pair<std::string, std::string>> Image::metadata() const {
  constexpr uint64_t at_once = 64;
  std::vector<std::pair<std::string, std::string>> entries;
  std::vector<char> names(16384), values(65536);
  std::string after;
  for (;;) {
    size_t names_length = names.size(), values_length = values.size();
    int result = rbd_metadata_list(image_, after.c_str(), at_once, names.data(), &names_length, values.data(), &values_length);
    if (result == -ERANGE) {
      names.resize(std::max(names_length, names.size() * 2));
      values.resize(std::max(values_length, values.size() * 2));
      continue;
    }
    if (result < 0) throw failure("listing metadata failed", result);
    const size_t before = entries.size();
    const char* value = values.data();
    for (const char* name = names.data(); name < names.data() + names_length; name += strlen(name) + 1, value += strlen(value) + 1) {
      entries.emplace_back(name, value);
    }
    if (entries.size() - before < at_once) return entries;
    after = entries.back().first;
  }
}

bool has_full_format(const Words& words) {
  const std::string format = words.text("export-format").value_or("1");
  if (format != "1" && format != "2") throw Failure{1, "rbd: the argument for option '--export-format' is invalid\n"};
  return format == "2";
}

Spec image_spec(const Words& words, size_t index, bool may_have_snap) {
  Spec spec;
  // Who names the image by the option has said which: the word does not count then, as in 16.2.15.
  const bool is_named = !words.text("image").value_or("").empty();
  if (auto word = words.word(index); !is_named && word && !word->empty()) spec = parse_spec(*word);
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

int Progress::note(uint64_t done, uint64_t total, void* progress) {
  static_cast<Progress*>(progress)->update(done, total);
  return is_interrupted() ? -ECANCELED : 0;
}

void Progress::update(uint64_t done, uint64_t total) {
  has_begun_ = true;
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

void remove_half(const Pool& pool, const std::string& name) {
  int result = 0;
  try {
    Image image(pool, name, "", false);
    for (const Snap& snap : image.snaps()) {
      rbd_snap_unprotect(image.handle(), snap.name.c_str());
      rbd_snap_remove(image.handle(), snap.name.c_str());
    }
  } catch (const Failure& failure) {
    result = -failure.code;
  }
  if (result == 0) result = rbd_remove(pool.ioctx(), name.c_str());
  if (result != 0) fputs(failure("half-made image " + name + " is left behind", result).text.c_str(), stderr);
}

}  // namespace cbd::hooks
