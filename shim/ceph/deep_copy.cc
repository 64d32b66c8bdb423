// Copies an image with its snapshots between a real Ceph and us: each moment of it is opened beside the caller's handle, what
// it changed is written to the copy, and a snapshot made there, from the oldest on.
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "ceph/copy_parts.h"
#include "rbd/image.h"

namespace cbd::ceph {

namespace {

struct CloseImage {
  void operator()(void* image) const { rbd_close(image); }
};
using Opened = std::unique_ptr<void, CloseImage>;

struct Snapshot {
  std::string name;
  bool is_protected = false;
};

// Opens the image of `handle`, as it was at `snapshot`, beside it.
int open_beside(rbd_image_t handle, const std::string& snapshot, Opened& view) {
  char id[256];
  int r = rbd_get_id(handle, id, sizeof id);
  if (r < 0) return r;
  rbd_image_t opened = nullptr;
  if (!is_image(handle)) {
    rados::IoCtx io = rbd::Image::from(handle)->at();
    r = rbd_open_by_id_read_only(&io, id, &opened, snapshot.c_str());
  } else if (void* const io = image_of(handle)->pool->ioctx(); io == nullptr) {
    r = -ENOTCONN;
  } else {
    r = rbd()->rbd_open_by_id_read_only(io, id, &opened, snapshot.c_str());
    if (r >= 0) r = wrap_image(opened, image_of(handle)->pool, &opened);
  }
  if (r >= 0) view.reset(opened);
  return r;
}

// Whether the moment that `handle` shows is not older than its snapshot `name`: of a newer one no difference can be had.
bool has_seen(rbd_image_t handle, const char* name) {
  const auto ignored = [](uint64_t, size_t, int, void*) { return 0; };
  return rbd_diff_iterate2(handle, name, 0, 0, 1, 0, ignored, nullptr) != -EINVAL;
}

// The users' snapshots up to the moment that `handle` shows, the oldest first.
int list_snapshots(rbd_image_t handle, std::vector<Snapshot>& out) {
  std::vector<rbd_snap_info_t> infos(16);
  int room = static_cast<int>(infos.size());
  int count = rbd_snap_list(handle, infos.data(), &room);
  while (count == -ERANGE) {
    infos.resize(static_cast<size_t>(room));
    count = rbd_snap_list(handle, infos.data(), &room);
  }
  if (count < 0) return count;
  for (int at = 0; at < count; at++) {
    const rbd_snap_info_t& info = infos[static_cast<size_t>(at)];
    rbd_snap_namespace_type_t kind = RBD_SNAP_NAMESPACE_TYPE_USER;
    rbd_snap_get_namespace_type(handle, info.id, &kind);
    if (kind != RBD_SNAP_NAMESPACE_TYPE_USER || !has_seen(handle, info.name)) continue;
    int is_protected = 0;
    rbd_snap_is_protected(handle, info.name, &is_protected);
    out.push_back({info.name, is_protected != 0});
  }
  if (count > 0) rbd_snap_list_end(infos.data());
  return 0;
}

int resize_to(rbd_image_t image, uint64_t size) {
  uint64_t now = 0;
  const int r = rbd_get_size(image, &now);
  if (r < 0 || now == size) return r;
  // The real library calls the progress function without asking whether there is one.
  const auto ignored = [](uint64_t, uint64_t, void*) { return 0; };
  return rbd_resize2(image, size, true, ignored, nullptr);
}

class DeepCopy {
 public:
  DeepCopy(rbd_image_t from, std::vector<Snapshot> snapshots, const Progress& progress)
      : from_(from), snapshots_(std::move(snapshots)), progress_(progress) {
    progress_.parts = snapshots_.size() + 1;
  }

  int run(rbd_image_t to) {
    for (size_t at = 0; at <= snapshots_.size(); at++) {
      progress_.before = at;
      const int r = at < snapshots_.size() ? copy_snapshot(at, to) : copy_moment(from_, at, to);
      if (r < 0) return r;
    }
    return copy_metadata(from_, to);
  }

 private:
  int copy_snapshot(size_t at, rbd_image_t to) {
    const Snapshot& snapshot = snapshots_[at];
    Opened view;
    int r = open_beside(from_, snapshot.name, view);
    if (r >= 0) r = copy_moment(view.get(), at, to);
    if (r >= 0) r = rbd_snap_create(to, snapshot.name.c_str());
    if (r >= 0 && snapshot.is_protected) r = rbd_snap_protect(to, snapshot.name.c_str());
    return r;
  }

  int copy_moment(rbd_image_t view, size_t at, rbd_image_t to) {
    uint64_t size = 0;
    int r = rbd_get_size(view, &size);
    if (r >= 0) r = resize_to(to, size);
    return r < 0 ? r : copy_changes(view, at > 0 ? snapshots_[at - 1].name.c_str() : nullptr, to, progress_);
  }

  const rbd_image_t from_;
  const std::vector<Snapshot> snapshots_;
  Progress progress_;
};

// What was made stays where the filling fails, as the real library has it.
int deep_copy_image(rbd_image_t from, rados_ioctx_t to, const char* name, rbd_image_options_t options,
                    const Progress& progress) {
  if (options == nullptr) return -EINVAL;
  std::vector<Snapshot> snapshots;
  int r = list_snapshots(from, snapshots);
  if (r >= 0) r = create_like(from, 0, to, name, options);
  if (r < 0) return r;
  rbd_image_t made = nullptr;
  r = rbd_open(to, name, &made, nullptr);
  if (r < 0) return r;
  r = DeepCopy(from, std::move(snapshots), progress).run(made);
  const int closed = rbd_close(made);
  return r < 0 ? r : closed;
}

}  // namespace

namespace across {

int rbd_deep_copy(rbd_image_t image, rados_ioctx_t to, const char* name, rbd_image_options_t options) {
  return deep_copy_image(image, to, name, options, {});
}

int rbd_deep_copy_with_progress(rbd_image_t image, rados_ioctx_t to, const char* name,
                                rbd_image_options_t options, librbd_progress_fn_t progress, void* argument) {
  return deep_copy_image(image, to, name, options, {progress, argument});
}

}  // namespace across

}  // namespace cbd::ceph
