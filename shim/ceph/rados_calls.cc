// librados' functions whose way between us and a real Ceph is particular.
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
  ours->set_result(ceph::rados()->rados_aio_get_return_value(real));
  ours->set_version(ceph::rados()->rados_aio_get_version(real));
  ours->run();
  ceph::rados()->rados_aio_release(real);
}

}  // namespace

Carried::Carried(rados_completion_t ours) : ours_(ours) {
  if (ceph::rados()->rados_aio_create_completion2(ours, carried_end, &real_) < 0) {
    real_ = nullptr;
    return;
  }
  rados::Completion::from(ours)->start();
}

void Carried::submitted(int result) {
  if (result >= 0) return;
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

void rados_shutdown(rados_t cluster) {
  forget_cluster(cluster);
  cbd_native_rados_shutdown(cluster);
}

}  // extern "C"
