// Sleeping on a word of this process.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace cbd::block {

// Returns when woken, when the word is another already, or for no reason.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t while_it_is) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, while_it_is, nullptr, nullptr,
          0);
}

// Wakes one. The word itself may be gone already.
inline void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace cbd::block
