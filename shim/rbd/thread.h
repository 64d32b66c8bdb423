// Starting a thread inside somebody else's process: it takes no signal that the host expects on its own threads.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <functional>
#include <new>
#include <system_error>
#include <thread>

namespace cbd::rbd {

// Starts `body` on `thread`, with all signals blocked and `name` (a literal of at most 15 bytes) as its name. Returns 0 or -EAGAIN.
inline int start_thread(std::thread& thread, const char* name, std::function<void()> body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    thread = std::thread([name, body = std::move(body)] {
      pthread_setname_np(pthread_self(), name);
      body();
    });
  } catch (const std::system_error&) {
    error = -EAGAIN;
  } catch (const std::bad_alloc&) {
    error = -EAGAIN;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace cbd::rbd
