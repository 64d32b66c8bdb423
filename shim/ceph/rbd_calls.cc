// librbd's functions whose way between us and a real Ceph is particular: opening and closing, polling, pool
// numbers.
#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <thread>

#include "ceph/rbd.h"
#include "rbd/completion.h"
#include "rbd/pool_stats.h"
#include "rbd/thread.h"

namespace cbd::ceph {

int wrap_image(rbd_image_t opened, rados_ioctx_t pool, rbd_image_t* image) {
  return wrap_image(opened, static_cast<rados::IoCtx*>(pool)->ceph, image);
}

int wrap_image(rbd_image_t opened, const std::shared_ptr<Pool>& pool, rbd_image_t* image) {
  auto* const made = new (std::nothrow) Image{opened, pool, pool->generation(), false};
  if (made == nullptr) {
    rbd()->rbd_close(opened);
    return -ENOMEM;
  }
  *image = reinterpret_cast<rbd_image_t>(reinterpret_cast<uintptr_t>(made) | 1);
  return 0;
}

namespace {

// An rbd_aio_open under way on the real library.
struct Opening {
  rbd::Completion* ours;
  rados::IoCtx pool;  // a copy: the caller may destroy his before the image is open
  rbd_image_t opened = nullptr;
  rbd_image_t* image;
};

// Runs `work` on a thread of its own; here, where there can be none. What ends the last use of a pool may shut its connection down,
// and that waits for the very threads that the real library calls us back on.
void elsewhere(std::function<void()> work) {
  std::thread thread;
  if (rbd::start_thread(thread, "cbd-ceph", work) == 0) thread.detach();
  else work();
}

void end_open(rbd_completion_t real, void* argument) {
  auto opening = std::unique_ptr<Opening>(static_cast<Opening*>(argument));
  ssize_t result = rbd()->rbd_aio_get_return_value(real);
  rbd()->rbd_aio_release(real);
  if (result >= 0) {
    const int wrapped = wrap_image(opening->opened, &opening->pool, opening->image);
    if (wrapped < 0) result = wrapped;
  }
  elsewhere([opening = opening.release(), result] {
    rbd::Completion* const ours = opening->ours;
    delete opening;
    ours->set_result(result);
    ours->run();
  });
}

// `Member` is the real function among rbd_aio_open and its kin, which take the same arguments.
template <auto Member>
int aio_open(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snapshot,
             rbd_completion_t c) noexcept {
  const RbdFunctions* const real = rbd();
  if (real == nullptr || real->*Member == nullptr) return -EOPNOTSUPP;
  void* const pool = real_pool(io);
  if (pool == nullptr) return -ENOTCONN;
  std::unique_ptr<Opening> opening(
      new (std::nothrow) Opening{rbd::Completion::from(c), *static_cast<rados::IoCtx*>(io), nullptr, image});
  rbd_completion_t carrier = nullptr;
  if (opening == nullptr || real->rbd_aio_create_completion(opening.get(), end_open, &carrier) < 0)
    return -ENOMEM;
  Opening* const started = opening.release();
  started->ours->start(nullptr, false);
  const int r = (real->*Member)(pool, name, &started->opened, snapshot, carrier);
  if (r < 0) {
    real->rbd_aio_release(carrier);
    started->ours->release();
    delete started;
  }
  return r;
}

// An rbd_aio_close under way on the real library.
struct Closing {
  rbd::Completion* ours;
  Image* image;
};

void end_close(rbd_completion_t real, void* argument) {
  const ssize_t result = rbd()->rbd_aio_get_return_value(real);
  rbd()->rbd_aio_release(real);
  elsewhere([closing = static_cast<Closing*>(argument), result] {
    rbd::Completion* const ours = closing->ours;
    delete closing->image;
    delete closing;
    ours->set_result(result);
    ours->run();
  });
}

}  // namespace

}  // namespace cbd::ceph

using namespace cbd::ceph;

extern "C" {

int rbd_aio_open(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name,
                 rbd_completion_t c) {
  if (!is_pool(io)) return cbd_native_rbd_aio_open(io, name, image, snap_name, c);
  return aio_open<&RbdFunctions::rbd_aio_open>(io, name, image, snap_name, c);
}

int rbd_aio_open_by_id(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name,
                       rbd_completion_t c) {
  if (!is_pool(io)) return cbd_native_rbd_aio_open_by_id(io, id, image, snap_name, c);
  return aio_open<&RbdFunctions::rbd_aio_open_by_id>(io, id, image, snap_name, c);
}

int rbd_aio_open_read_only(rados_ioctx_t io, const char* name, rbd_image_t* image, const char* snap_name,
                           rbd_completion_t c) {
  if (!is_pool(io)) return cbd_native_rbd_aio_open_read_only(io, name, image, snap_name, c);
  return aio_open<&RbdFunctions::rbd_aio_open_read_only>(io, name, image, snap_name, c);
}

int rbd_aio_open_by_id_read_only(rados_ioctx_t io, const char* id, rbd_image_t* image, const char* snap_name,
                                 rbd_completion_t c) {
  if (!is_pool(io)) return cbd_native_rbd_aio_open_by_id_read_only(io, id, image, snap_name, c);
  return aio_open<&RbdFunctions::rbd_aio_open_by_id_read_only>(io, id, image, snap_name, c);
}

// In a child of fork(), an image that its parent opened is forgotten and left alone: its threads are the
// parent's.
int rbd_close(rbd_image_t image) {
  if (!is_image(image)) return cbd_native_rbd_close(image);
  const std::unique_ptr<Image> closed(image_of(image));
  return closed->generation == closed->pool->generation() ? rbd()->rbd_close(closed->handle) : 0;
}

int rbd_aio_close(rbd_image_t image, rbd_completion_t c) {
  if (!is_image(image)) return cbd_native_rbd_aio_close(image, c);
  if (real_image(image) == nullptr) return -ENOTCONN;
  auto closing =
      std::unique_ptr<Closing>(new (std::nothrow) Closing{cbd::rbd::Completion::from(c), image_of(image)});
  rbd_completion_t carrier = nullptr;
  if (closing == nullptr || rbd()->rbd_aio_create_completion(closing.get(), end_close, &carrier) < 0)
    return -ENOMEM;
  Closing* const started = closing.release();
  started->ours->start(nullptr, false);
  const int r = rbd()->rbd_aio_close(started->image->handle, carrier);
  if (r < 0) {
    rbd()->rbd_aio_release(carrier);
    started->ours->release();
    delete started;
  }
  return r;
}

int rbd_set_image_notification(rbd_image_t image, int fd, int type) {
  if (!is_image(image)) return cbd_native_rbd_set_image_notification(image, fd, type);
  const rbd_image_t real = real_image(image);
  if (real == nullptr) return -ENOTCONN;
  const int r = rbd()->rbd_set_image_notification(real, fd, type);
  if (r >= 0) image_of(image)->announces = true;
  return r;
}

// The real library hands out its completions; each carries ours as its argument.
int rbd_poll_io_events(rbd_image_t image, rbd_completion_t* comps, int numcomp) {
  if (!is_image(image)) return cbd_native_rbd_poll_io_events(image, comps, numcomp);
  const rbd_image_t real = real_image(image);
  if (real == nullptr) return -ENOTCONN;
  const int found = rbd()->rbd_poll_io_events(real, comps, numcomp);
  for (int i = 0; i < found; i++) comps[i] = rbd()->rbd_aio_get_arg(comps[i]);
  return found;
}

int rbd_pool_stats_get(rados_ioctx_t io, rbd_pool_stats_t stats) {
  if (!is_pool(io)) return cbd_native_rbd_pool_stats_get(io, stats);
  if (stats == nullptr) return -EINVAL;
  const RbdFunctions* const real = rbd();
  if (real == nullptr) return -EOPNOTSUPP;
  void* const pool = real_pool(io);
  if (pool == nullptr) return -ENOTCONN;
  rbd_pool_stats_t wanted = nullptr;
  real->rbd_pool_stats_create(&wanted);
  int r = 0;
  for (const auto& [option, value] : *static_cast<cbd::rbd::PoolStats*>(stats)) {
    r = real->rbd_pool_stats_option_add_uint64(wanted, option, value);
    if (r < 0) break;
  }
  if (r >= 0) r = real->rbd_pool_stats_get(pool, wanted);
  real->rbd_pool_stats_destroy(wanted);
  return r;
}

}  // extern "C"
