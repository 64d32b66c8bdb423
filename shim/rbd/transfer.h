// One data request of a client on its way through an image: the block request and the memory that it needs besides
// the client's own.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "rbd/image_io.h"

namespace cbd::rbd {

// Memory for data, aligned so that any driver takes it as it is.
struct FreeMemory {
  void operator()(char* memory) const { free(memory); }
};
using Memory = std::unique_ptr<char, FreeMemory>;

// Throws bad_alloc.
inline Memory allocate_memory(uint64_t length) {
  void* memory = nullptr;
  // Less than a block is never handed to a driver directly.
  if (posix_memalign(&memory, length < 4096 ? 64 : 4096, length) != 0) throw std::bad_alloc();
  return Memory(static_cast<char*>(memory));
}

struct Transfer {
  IoRequest request;
  ssize_t result = 0;                // what the caller gets where the request ends in 0
  uint64_t* mismatch = nullptr;      // compare_and_write: where the caller wants the offset, or null
  iovec vector[2] = {};              // for lists of one
  std::unique_ptr<iovec[]> vectors;  // for longer ones
  Memory data;                       // what is written, where the client's memory cannot be used

  // Takes the result of the request and gives the caller's.
  ssize_t finish(int error) const {
    if (error == -EILSEQ && mismatch != nullptr) *mismatch = request.mismatch_offset;
    return error < 0 ? error : result;
  }
};

}  // namespace cbd::rbd
