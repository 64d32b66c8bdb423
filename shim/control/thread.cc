#include "control/thread.h"

#include <limits.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>

namespace cbd::control {

namespace {

struct Start {
  std::string name;
  std::function<void()> body;
};

void* run(void* argument) {
  std::unique_ptr<Start> start(static_cast<Start*>(argument));
  pthread_setname_np(pthread_self(), start->name.c_str());
  start->body();
  return nullptr;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t stack_factor = 8;  // the sanitizers' frames are larger
#else
constexpr size_t stack_factor = 1;
#endif

}  // namespace

int Thread::start(const char* name, size_t stack, std::function<void()> body) {
  auto start = std::make_unique<Start>(Start{name, std::move(body)});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::max<size_t>(stack * stack_factor, PTHREAD_STACK_MIN));
  // The host's signals are for the host's threads: a new thread inherits this mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread_, &attributes, run, start.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) return -error;
  start.release();
  started_ = true;
  return 0;
}

void Thread::join() {
  if (!started_) return;
  if (is_self()) {
    detach();
    return;
  }
  started_ = false;
  pthread_join(thread_, nullptr);
}

void Thread::detach() {
  if (!started_) return;
  started_ = false;
  pthread_detach(thread_);
}

}  // namespace cbd::control
