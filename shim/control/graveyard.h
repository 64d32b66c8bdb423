// Where a forked child leaves what its parent's threads were using. It can neither be used nor destroyed there: a lock in it
// may be held, and a condition waited on, by threads that the child does not have.
#pragma once

#include <memory>
#include <vector>

namespace cbd::control {

inline void bury(std::shared_ptr<void> object) {
  static auto* graves = new std::vector<std::shared_ptr<void>>;
  graves->push_back(std::move(object));
}

}  // namespace cbd::control
