// What the generated dispatcher of librados needs: is a handle a real Ceph's, what does the real library call
// it.
#pragma once

#include <cstdint>

#include "ceph/library.h"
#include "ceph/pools.h"
#include "natives_librados.h"
#include "real_librados.h"

namespace cbd::ceph {

// The real librados: null where it is not installed; loaded_rados() where nobody has needed it yet.
const RadosFunctions* rados();
const RadosFunctions* loaded_rados();

// A listing of a real pool's objects is handed out with the lowest bit set, which no object of ours has.
inline bool is_list(rados_list_ctx_t list) {
  return (reinterpret_cast<uintptr_t>(list) & 1) != 0;
}
inline rados_list_ctx_t real_list(rados_list_ctx_t list) {
  return reinterpret_cast<rados_list_ctx_t>(reinterpret_cast<uintptr_t>(list) & ~uintptr_t{1});
}
inline rados_list_ctx_t wrap_list(rados_list_ctx_t real) {
  return reinterpret_cast<rados_list_ctx_t>(reinterpret_cast<uintptr_t>(real) | 1);
}

// A completion of ours that a call on a real pool is given: a real one whose end becomes the end of ours, on
// the thread and at the moment that the real library chose.
class Carried {
 public:
  explicit Carried(rados_completion_t ours);
  // Null where there is no memory for one.
  rados_completion_t handle() const { return real_; }
  // The call returned `result`. Where that is negative, no callback comes.
  void submitted(int result);

 private:
  const rados_completion_t ours_;
  rados_completion_t real_ = nullptr;
};

}  // namespace cbd::ceph
