#include "ceph/operations.h"

#include <memory>
#include <new>

namespace cbd::ceph {

TwinIterator* Operation::add_iterator() noexcept {
  try {
    auto made = std::make_unique<TwinIterator>();
    iterators_.push_back(made.get());
    return made.release();
  } catch (const std::bad_alloc&) {
    is_whole_ = false;
    return nullptr;
  }
}

void Operation::choose_real() {
  for (TwinIterator* iterator : iterators_) iterator->is_real = true;
  iterators_.clear();
}

namespace {

using Make = void* (*)();
using End = void (*)(void*);

// Null where neither side gathers operations, or there is no memory.
void* make(void* ours, Make make_real) {
  void* const real = make_real != nullptr ? make_real() : nullptr;
  if (ours == nullptr && real == nullptr) return nullptr;
  return new (std::nothrow) Operation(ours, real);
}

void release(void* handle, End release_ours, End release_real) {
  if (handle == nullptr) return;
  Operation& op = operation(handle);
  if (op.ours() != nullptr) release_ours(op.ours());
  if (op.real() != nullptr) release_real(op.real());
  delete &op;
}

void end_iterator(void* iterator, End end_ours, End end_real) {
  if (iterator == nullptr) return;
  if (mark_of(iterator) == kTwinMark) {
    const std::unique_ptr<TwinIterator> twin(static_cast<TwinIterator*>(iterator));
    if (twin->ours != nullptr) end_ours(twin->ours);
    if (twin->real != nullptr) end_real(twin->real);
  } else {
    (is_iterator(iterator) ? end_real : end_ours)(iterator);
  }
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

void rados_omap_get_end(rados_omap_iter_t iter) {
  const RadosFunctions* const real = loaded_rados();
  end_iterator(iter, cbd_native_rados_omap_get_end, real != nullptr ? real->rados_omap_get_end : nullptr);
}

void rados_getxattrs_end(rados_xattrs_iter_t iter) {
  const RadosFunctions* const real = loaded_rados();
  end_iterator(iter, cbd_native_rados_getxattrs_end, real != nullptr ? real->rados_getxattrs_end : nullptr);
}

}  // extern "C"
