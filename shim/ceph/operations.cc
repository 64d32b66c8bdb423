// Making and releasing the operations that are gathered for us and for the real librados at once.
#include <new>

#include "ceph/rados.h"

namespace cbd::ceph {

void Operation::keep_back(void** slot, End end) noexcept {
  try {
    iterators_.push_back({slot, *slot, end});
    *slot = nullptr;
  } catch (const std::bad_alloc&) {
    // The caller keeps it, as he would with the real library alone.
  }
}

void Operation::hand_out() {
  for (const Iterator& iterator : iterators_) *iterator.slot = iterator.handle;
  iterators_.clear();
}

void Operation::end_iterators() {
  for (const Iterator& iterator : iterators_) iterator.end(iterator.handle);
  iterators_.clear();
}

namespace {

using Make = void* (*)();
using Release = void (*)(void*);

// Null where neither side gathers operations, or there is no memory.
void* make(void* ours, Make make_real) {
  void* const real = make_real != nullptr ? make_real() : nullptr;
  if (ours == nullptr && real == nullptr) return nullptr;
  return new (std::nothrow) Operation(ours, real);
}

void release(void* handle, Release release_ours, Release release_real) {
  if (handle == nullptr) return;
  Operation& op = operation(handle);
  if (op.ours() != nullptr) release_ours(op.ours());
  if (op.real() != nullptr) release_real(op.real());
  op.end_iterators();
  delete &op;
}

}  // namespace

}  // namespace cbd::ceph

using namespace cbd::ceph;

extern "C" {

rados_write_op_t rados_create_write_op(void) {
  const RadosFunctions* const real = loaded_rados();
  return make(cbd_native_rados_create_write_op(), real != nullptr ? real->rados_create_write_op : nullptr);
}

rados_read_op_t rados_create_read_op(void) {
  const RadosFunctions* const real = loaded_rados();
  return make(cbd_native_rados_create_read_op(), real != nullptr ? real->rados_create_read_op : nullptr);
}

void rados_release_write_op(rados_write_op_t write_op) {
  const RadosFunctions* const real = loaded_rados();
  release(write_op, cbd_native_rados_release_write_op,
          real != nullptr ? real->rados_release_write_op : nullptr);
}

void rados_release_read_op(rados_read_op_t read_op) {
  const RadosFunctions* const real = loaded_rados();
  release(read_op, cbd_native_rados_release_read_op, real != nullptr ? real->rados_release_read_op : nullptr);
}

}  // extern "C"
