// librados operations (rados_write_op_t, rados_read_op_t) and iterators for both sides. An operation is
// gathered before anybody knows which pool it will run on, so it is gathered twice once the real library is
// loaded: a pool on a real Ceph has been opened by then. A client takes the iterators of a read operation
// before it runs (python3-rados reads their variables at once and never again), so he gets one that stands
// for both sides'.
#pragma once

#include <cstdint>
#include <vector>

#include "ceph/rados.h"

namespace cbd::ceph {

// All iterators of ours begin with a mark (rados/object_iterators.h) whose upper half is this, "cbd-". The
// real ones begin with a pointer, or with what a standard container begins with, neither of which has such an
// upper half.
inline constexpr uint64_t kMarkOfOurs = 0x6362642d;
inline constexpr uint64_t kTwinMark = kMarkOfOurs << 32 | 0x7477696e;  // "cbd-twin"

// What a client holds as an iterator of a read operation. `ours` and `real` are the two sides' own, null
// until the side has one.
struct TwinIterator {
  uint64_t mark = kTwinMark;
  bool is_real = false;  // the operation ran, or is running, on a real Ceph
  void* ours = nullptr;
  void* real = nullptr;
};

inline uint64_t mark_of(void* iterator) {
  return *static_cast<const uint64_t*>(iterator);
}

// The iterator behind `iterator`: of the side that it was filled by, null where that has none.
inline void* resolve_iterator(void* iterator) {
  if (iterator == nullptr || mark_of(iterator) != kTwinMark) return iterator;
  const auto& twin = *static_cast<const TwinIterator*>(iterator);
  return twin.is_real ? twin.real : twin.ours;
}

// Whether a resolved iterator is the real library's.
inline bool is_iterator(void* iterator) {
  return loaded_rados() != nullptr && mark_of(iterator) >> 32 != kMarkOfOurs;
}
inline void* real_iterator(void* iterator) {
  return iterator;
}

class Operation {
 public:
  Operation(void* ours, void* real) : ours_(ours), real_(real) {}

  // Null where we refuse to gather one.
  void* ours() const { return ours_; }
  // Null where the real library was not loaded when this was made.
  void* real() const { return real_; }
  // False where a step was lost for want of memory: it must not run.
  bool is_whole() const { return is_whole_; }

  // A new iterator, for the client to end; null where there is no memory.
  TwinIterator* add_iterator() noexcept;
  // The operation is about to run on a real Ceph.
  void choose_real();

 private:
  void* const ours_;
  void* const real_;
  bool is_whole_ = true;
  std::vector<TwinIterator*> iterators_;  // the client's, valid until it has run
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
inline bool is_whole(void* handle) {
  return handle == nullptr || operation(handle).is_whole();
}

// The iterator of a step of `handle`, which may be null, put into the client's *slot. Null where the step
// cannot be gathered.
inline TwinIterator* operation_iterator(void* handle, void** slot) {
  TwinIterator* const twin = handle != nullptr ? operation(handle).add_iterator() : nullptr;
  *slot = twin;
  return twin;
}

}  // namespace cbd::ceph
