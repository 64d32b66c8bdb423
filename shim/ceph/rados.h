// What the generated dispatcher of librados needs: is a handle a real Ceph's, what does the real library call
// it.
#pragma once

#include <cstdint>
#include <vector>

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

// Iterators: ours begin with a mark (rados/object_iterators.h) whose upper half is "cbd-"; the real ones
// begin with a pointer, or with what a standard container begins with, neither of which has such an upper
// half.
inline bool is_iterator(void* iterator) {
  constexpr uint64_t kOurMark = 0x6362642d;
  return iterator != nullptr && loaded_rados() != nullptr &&
         *static_cast<const uint64_t*>(iterator) >> 32 != kOurMark;
}
inline void* real_iterator(void* iterator) {
  return iterator;
}

// A rados_write_op_t or rados_read_op_t. It is gathered before anybody knows which pool it will run on, so it
// is gathered twice once the real library is loaded: a pool on a real Ceph has been opened by then.
class Operation {
 public:
  using End = void (*)(void* iterator);

  Operation(void* ours, void* real) : ours_(ours), real_(real) {}

  // Null where we refuse to gather one.
  void* ours() const { return ours_; }
  // Null where the real library was not loaded when this was made.
  void* real() const { return real_; }

  // A step of real() has put an iterator into *slot. The caller gets it by hand_out(), where the operation is
  // about to run there; else it is ended with the operation.
  void keep_back(void** slot, End end) noexcept;
  void hand_out();
  void end_iterators();

 private:
  struct Iterator {
    void** slot;
    void* handle;
    End end;
  };

  void* const ours_;
  void* const real_;
  std::vector<Iterator> iterators_;
};

inline Operation& operation(void* handle) {
  return *static_cast<Operation*>(handle);
}
inline void* ours_of(void* handle) {
  return handle != nullptr ? operation(handle).ours() : nullptr;
}
inline void* real_of(void* handle) {
  return handle != nullptr ? operation(handle).real() : nullptr;
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
