// librados' functions whose way between us and a real Ceph is particular.
#include <atomic>
#include <cerrno>
#include <new>
#include <utility>

#include "ceph/clusters.h"
#include "rados/completion.h"

namespace cbd::ceph {

namespace {

constinit Library<RadosFunctions> library{"ceprados.so.2", kRadosNames};

// Runs what may run out of memory.
template <class Body>
int guarded(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (...) {
    return -EIO;
  }
}

// Completes what our own rados_ioctx_create began.
int finish_create(rados_t cluster, rados_ioctx_t made, rados_ioctx_t* out) {
  const int r = guarded([&] { return connect_pool(cluster, made); });
  if (r < 0) {
    cbd_native_rados_ioctx_destroy(made);
    return r;
  }
  *out = made;
  return 0;
}

// The real completion has ended: so does ours.
void carried_end(rados_completion_t real, void* argument) {
  auto* const ours = rados::Completion::from(argument);
  ours->set_carrier(nullptr);
  ours->set_result(ceph::rados()->rados_aio_get_return_value(real));
  ours->set_version(ceph::rados()->rados_aio_get_version(real));
  ours->run();
  ceph::rados()->rados_aio_release(real);
}

}  // namespace

namespace {

// An rados_aio_watch_flush under way on several sides; the last one ends the caller's.
struct Flush {
  rados::Completion* ours;
  std::atomic<size_t> left;

  void end_one() {
    if (left.fetch_sub(1) != 1) return;
    ours->finish(0);
    delete this;
  }
};

void end_our_flush(rados_completion_t, void* flush) { static_cast<Flush*>(flush)->end_one(); }

void end_real_flush(rados_completion_t real, void* flush) {
  static_cast<Flush*>(flush)->end_one();
  ceph::rados()->rados_aio_release(real);
}

int flush_watches(rados_t cluster, rados_completion_t completion, const RealClusters& clusters) {
  auto* const flush = new Flush{rados::Completion::from(completion), clusters.size() + 1};
  flush->ours->start();
  rados_completion_t own = nullptr;
  cbd_native_rados_aio_create_completion2(flush, end_our_flush, &own);
  if (cbd_native_rados_aio_watch_flush(cluster, own) < 0) flush->end_one();
  cbd_native_rados_aio_release(own);
  for (const auto& real : clusters) {
    rados_completion_t carrier = nullptr;
    const bool is_made = ceph::rados()->rados_aio_create_completion2(flush, end_real_flush, &carrier) >= 0;
    if (is_made && ceph::rados()->rados_aio_watch_flush(real.get(), carrier) >= 0) continue;
    if (is_made) ceph::rados()->rados_aio_release(carrier);
    flush->end_one();
  }
  return 0;
}

// `ours`, then the same call on every real cluster that `cluster` has: 0 or the first error.
int everywhere(rados_t cluster, int (*ours)(rados_t), int (*RadosFunctions::*real)(rados_t)) {
  return guarded([&] {
    int r = ours(cluster);
    for (const auto& connected : real_clusters(cluster)) {
      const int there = (ceph::rados()->*real)(connected.get());
      if (r >= 0) r = there;
    }
    return r;
  });
}

}  // namespace

Carried::Carried(rados_completion_t ours) : ours_(ours) {
  if (ceph::rados()->rados_aio_create_completion2(ours, carried_end, &real_) < 0) {
    real_ = nullptr;
    return;
  }
  rados::Completion::from(ours)->start();
  rados::Completion::from(ours)->set_carrier(real_);
}

void Carried::submitted(int result) {
  if (result >= 0) return;
  rados::Completion::from(ours_)->set_carrier(nullptr);
  ceph::rados()->rados_aio_release(real_);
  rados::Completion::from(ours_)->release();
}

const RadosFunctions* rados() {
  return library.get();
}
const RadosFunctions* loaded_rados() {
  return library.loaded();
}

}  // namespace cbd::ceph

using namespace cbd::ceph;

extern "C" {

int rados_ioctx_create(rados_t cluster, const char* pool_name, rados_ioctx_t* ioctx) {
  rados_ioctx_t made = nullptr;
  const int r = cbd_native_rados_ioctx_create(cluster, pool_name, &made);
  return r < 0 ? r : finish_create(cluster, made, ioctx);
}

int rados_ioctx_create2(rados_t cluster, int64_t pool_id, rados_ioctx_t* ioctx) {
  rados_ioctx_t made = nullptr;
  const int r = cbd_native_rados_ioctx_create2(cluster, pool_id, &made);
  return r < 0 ? r : finish_create(cluster, made, ioctx);
}

void rados_ioctx_set_namespace(rados_ioctx_t io, const char* nspace) {
  cbd_native_rados_ioctx_set_namespace(io, nspace);
  if (!is_pool(io)) return;
  guarded([&] {
    static_cast<cbd::rados::IoCtx*>(io)->ceph->set_namespace(nspace);
    return 0;
  });
}

int rados_conf_set(rados_t cluster, const char* option, const char* value) {
  const int r = cbd_native_rados_conf_set(cluster, option, value);
  if (r < 0) return r;
  return guarded([&] {
    remember_option(cluster, option, value);
    return r;
  });
}

int rados_wait_for_latest_osdmap(rados_t cluster) {
  return everywhere(cluster, cbd_native_rados_wait_for_latest_osdmap, &RadosFunctions::rados_wait_for_latest_osdmap);
}

int rados_watch_flush(rados_t cluster) {
  return everywhere(cluster, cbd_native_rados_watch_flush, &RadosFunctions::rados_watch_flush);
}

int rados_aio_watch_flush(rados_t cluster, rados_completion_t completion) {
  return guarded([&] {
    const RealClusters clusters = real_clusters(cluster);
    return clusters.empty() ? cbd_native_rados_aio_watch_flush(cluster, completion) : flush_watches(cluster, completion, clusters);
  });
}

// 0 for what has ended, as the real library has it.
int rados_aio_cancel(rados_ioctx_t io, rados_completion_t completion) {
  if (!is_pool(io)) return cbd_native_rados_aio_cancel(io, completion);
  void* const pool = real_pool(io);
  if (pool == nullptr) return -ENOTCONN;
  return cbd::rados::Completion::from(completion)->with_carrier([&](rados_completion_t real) { return rados()->rados_aio_cancel(pool, real); });
}

void rados_shutdown(rados_t cluster) {
  forget_cluster(cluster);
  cbd_native_rados_shutdown(cluster);
}

}  // extern "C"
