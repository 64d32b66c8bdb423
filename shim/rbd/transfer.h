// One data request of a client on its way through an image: the block request and the memory that it needs besides
// the client's own.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>

#include "rbd/buffer_pool.h"
#include "rbd/image_io.h"

namespace cbd::rbd {

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
