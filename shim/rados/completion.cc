#include "rados/completion.h"

#include <errno.h>

namespace cbd::rados {

void Completion::release() {
  {
    std::lock_guard lock(mutex_);
    if (--references_ > 0) return;
  }
  delete this;
}

void Completion::start() {
  std::lock_guard lock(mutex_);
  references_++;
}

void Completion::set_result(int64_t result) {
  std::lock_guard lock(mutex_);
  result_ = result;
}

void Completion::set_version(uint64_t version) {
  std::lock_guard lock(mutex_);
  version_ = version;
}

void Completion::run() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  // A callback may release the completion; the operation's own reference keeps it until here.
  if (complete_ != nullptr) complete_(this, argument_);
  if (safe_ != nullptr) safe_(this, argument_);
  {
    std::lock_guard lock(mutex_);
    called_back_ = true;
    changed_.notify_all();
  }
  release();
}

void Completion::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_; });
}

void Completion::wait_with_callback() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return called_back_; });
}

bool Completion::is_complete() {
  std::lock_guard lock(mutex_);
  return done_;
}

bool Completion::is_called_back() {
  std::lock_guard lock(mutex_);
  return called_back_;
}

int64_t Completion::result() {
  std::lock_guard lock(mutex_);
  return result_;
}

uint64_t Completion::version() {
  std::lock_guard lock(mutex_);
  return version_;
}

}  // namespace cbd::rados

using cbd::rados::Completion;

extern "C" {

int rados_aio_create_completion(void* argument, rados_callback_t complete, rados_callback_t safe, rados_completion_t* completion) {
  *completion = new Completion(argument, complete, safe);
  return 0;
}

int rados_aio_create_completion2(void* argument, rados_callback_t complete, rados_completion_t* completion) {
  *completion = new Completion(argument, complete, nullptr);
  return 0;
}

int rados_aio_wait_for_complete(rados_completion_t completion) {
  Completion::from(completion)->wait();
  return 0;
}

// What is complete is safe: the daemon answers when it is on disk.
int rados_aio_wait_for_safe(rados_completion_t completion) {
  Completion::from(completion)->wait();
  return 0;
}

int rados_aio_wait_for_complete_and_cb(rados_completion_t completion) {
  Completion::from(completion)->wait_with_callback();
  return 0;
}

int rados_aio_wait_for_safe_and_cb(rados_completion_t completion) {
  Completion::from(completion)->wait_with_callback();
  return 0;
}

int rados_aio_is_complete(rados_completion_t completion) { return Completion::from(completion)->is_complete(); }

int rados_aio_is_safe(rados_completion_t completion) { return Completion::from(completion)->is_complete(); }

int rados_aio_is_complete_and_cb(rados_completion_t completion) { return Completion::from(completion)->is_called_back(); }

int rados_aio_is_safe_and_cb(rados_completion_t completion) { return Completion::from(completion)->is_called_back(); }

int rados_aio_get_return_value(rados_completion_t completion) {
  return static_cast<int>(Completion::from(completion)->result());
}

uint64_t rados_aio_get_version(rados_completion_t completion) { return Completion::from(completion)->version(); }

void rados_aio_release(rados_completion_t completion) { Completion::from(completion)->release(); }

}  // extern "C"
