// Keeps C++ exceptions inside the library: every exported function that can throw runs its body in guarded().
#pragma once

#include <cerrno>
#include <new>
#include <utility>

namespace cbd::rbd {

// Runs `body` and returns what it returns. Memory that is not to be had becomes -ENOMEM; anything else that is
// thrown can only be an answer of the daemon that is not what the protocol says, and becomes -EIO.
template <class Body>
auto guarded(Body&& body) noexcept -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return static_cast<decltype(body())>(-ENOMEM);
  } catch (...) {
    return static_cast<decltype(body())>(-EIO);
  }
}

}  // namespace cbd::rbd
