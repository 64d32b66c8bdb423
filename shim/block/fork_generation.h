// How a forked child finds out that what its parent had running (threads, locks, requests) is not its own.
// Knows nothing of devices; usable by every part of the shim.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace cbd {

// A number that changes in every child of fork(), and never otherwise. Costs one load after the first call,
// which registers the fork handler (nothing is registered at load).
uint32_t fork_generation();

// A state that is made on first use, and made anew on first use in a forked child: whatever lock other
// threads held at the fork, whatever they had in flight, stays behind in the old one, which the child never
// touches (nor frees). State needs a default constructor; it must not start threads by itself.
template <class State>
class PerProcess {
 public:
  PerProcess() = default;
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;
  ~PerProcess() { delete existing_node(); }

  State& get() {
    Node* node = node_.load(std::memory_order_acquire);
    const uint32_t now = fork_generation();
    if (node && node->generation == now) return node->state;
    auto fresh = std::make_unique<Node>(now);
    while (!node || node->generation != now) {
      if (node_.compare_exchange_weak(node, fresh.get(), std::memory_order_acq_rel))
        return fresh.release()->state;
    }
    return node->state;
  }

  // The state if this process has made one, else null.
  State* existing() {
    Node* node = existing_node();
    return node ? &node->state : nullptr;
  }

 private:
  struct Node {
    explicit Node(uint32_t g) : generation(g) {}
    const uint32_t generation;
    State state;
  };
  Node* existing_node() {
    Node* node = node_.load(std::memory_order_acquire);
    return node && node->generation == fork_generation() ? node : nullptr;
  }
  std::atomic<Node*> node_{nullptr};
};

}  // namespace cbd
