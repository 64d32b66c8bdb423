// Memory for the copies of writes, kept for the next one: fresh pages cost the kernel more than the copy itself.
// Knows nothing of what the memory is for.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "block/fork_generation.h"

namespace cbd::rbd {

class BufferPool {
 public:
  // Gives memory back to where it came from.
  struct Return {
    BufferPool* pool = nullptr;  // null: to malloc
    uint64_t size = 0;
    void operator()(char* memory) const {
      if (pool == nullptr || !pool->keep(memory, size)) free(memory);
    }
  };
  using Memory = std::unique_ptr<char, Return>;

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  // All of it must have come back.
  ~BufferPool() {
    if (Shelves* shelves = shelves_.existing()) {
      for (auto& shelf : shelves->by_class) {
        for (char* memory : shelf) free(memory);
      }
    }
  }

  // At least `length` bytes, aligned so that any driver takes them as they are. Throws bad_alloc.
  Memory take(uint64_t length) {
    if (length < kSmallest || length > kLargest) return allocate(length, nullptr);
    const uint64_t size = std::bit_ceil(length);
    {
      Shelves& shelves = shelves_.get();
      std::lock_guard<std::mutex> guard(shelves.lock);
      auto& shelf = shelves.by_class[class_of(size)];
      if (!shelf.empty()) {
        char* memory = shelf.back();
        shelf.pop_back();
        shelves.bytes -= size;
        return Memory(memory, Return{this, size});
      }
    }
    return allocate(size, this);
  }

 private:
  static constexpr uint64_t kSmallest = 4 * 1024, kLargest = 4 * 1024 * 1024;
  static constexpr uint64_t kKept = 32 * 1024 * 1024;  // bytes at most
  static constexpr int kClasses = 11;                  // 4 KiB to 4 MiB

  struct Shelves {
    std::mutex lock;  // guards the rest
    std::vector<char*> by_class[kClasses];
    uint64_t bytes = 0;
  };

  static int class_of(uint64_t size) { return std::countr_zero(size) - std::countr_zero(kSmallest); }

  static Memory allocate(uint64_t size, BufferPool* pool) {
    void* memory = nullptr;
    // Less than a block is never handed to a driver directly.
    if (posix_memalign(&memory, size < 4096 ? 64 : 4096, size) != 0) throw std::bad_alloc();
    return Memory(static_cast<char*>(memory), Return{pool, size});
  }

  bool keep(char* memory, uint64_t size) noexcept {
    try {
      Shelves& shelves = shelves_.get();
      std::lock_guard<std::mutex> guard(shelves.lock);
      if (shelves.bytes + size > kKept) return false;
      shelves.by_class[class_of(size)].push_back(memory);
      shelves.bytes += size;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  PerProcess<Shelves> shelves_;
};

using Memory = BufferPool::Memory;

}  // namespace cbd::rbd
