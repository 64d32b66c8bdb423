// One fork handler that counts.
#include "block/fork_generation.h"

#include <pthread.h>

namespace cbd {
namespace {

std::atomic<uint32_t> generation{1};
std::atomic<bool> registered{false};

}  // namespace

uint32_t fork_generation() {
  // Two threads that register at once make the handler run twice, which does no harm; a lock here could be
  // held at a fork.
  if (!registered.load(std::memory_order_acquire)) {
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
    registered.store(true, std::memory_order_release);
  }
  return generation.load(std::memory_order_relaxed);
}

}  // namespace cbd
