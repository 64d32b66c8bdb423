// Opens a real Ceph's librados or librbd beside ours, when a pool first needs it, and finds their functions.
// The files are copies under other sonames (src/install/ceph-libraries.ts makes them): under its own name the
// real librbd would take our librados for its own, and without RTLD_DEEPBIND its calls to itself would end
// with us. Nothing is ever unloaded.
#pragma once

#include <atomic>
#include <cstddef>

namespace cbd::ceph {

// Loads the copy called `file` and looks up `count` functions; a name that it lacks leaves a null pointer.
// Looks in $CBD2RBD_CEPH_LIBS, in the folder cbd2rbd-ceph beside our own library, and in
// /usr/lib/cbd2rbd/ceph. False where no folder has it or it does not load.
bool bind_library(const char* file, const char* const* names, void** functions, size_t count);

// One real library, `Functions` being a struct of nothing but function pointers in the order of the names.
// It takes no lock, so that a fork() at any moment leaves it usable in the child.
template <class Functions>
class Library {
 public:
  static constexpr size_t kCount = sizeof(Functions) / sizeof(void*);

  constexpr Library(const char* file, const char* const (&names)[kCount]) : file_(file), names_(names) {}

  // Null where it is not installed.
  const Functions* get() {
    const Functions* functions = loaded();
    return functions != nullptr ? functions : load();
  }

  // Null where nobody has needed it yet.
  const Functions* loaded() const { return functions_.load(std::memory_order_acquire); }

 private:
  const Functions* load() {
    static_assert(sizeof(void (*)()) == sizeof(void*));
    auto* const functions = new Functions{};
    if (!bind_library(file_, names_, reinterpret_cast<void**>(functions), kCount)) {
      delete functions;
      return nullptr;
    }
    const Functions* expected = nullptr;
    if (functions_.compare_exchange_strong(expected, functions, std::memory_order_acq_rel)) return functions;
    delete functions;  // another thread was faster, with the same result
    return expected;
  }

  const char* const file_;
  const char* const* const names_;
  std::atomic<const Functions*> functions_{nullptr};
};

}  // namespace cbd::ceph
