// rados_completion_t: the end of an asynchronous call, for the one who waits and the one who is called back.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "abi/ceph_api.h"

namespace cbd::rados {

class Completion {
 public:
  Completion(void* argument, rados_callback_t complete, rados_callback_t safe)
      : argument_(argument), complete_(complete), safe_(safe) {}
  static Completion* from(rados_completion_t handle) { return static_cast<Completion*>(handle); }

  // The user's own reference and that of the call under way.
  void release();

  // An operation begins: it keeps the object until run().
  void start();
  // The operation's return value, before run().
  void set_result(int64_t result);
  void set_version(uint64_t version);
  // Ends the operation: wakes who waits, runs the callbacks, gives the operation's reference back.
  void run();
  // The three in one.
  void finish(int64_t result) {
    set_result(result);
    run();
  }

  // The real library's completion that will end this one; null when it is about to go.
  void set_carrier(rados_completion_t real) {
    std::lock_guard lock(mutex_);
    carrier_ = real;
  }
  // What `use` makes of the carrier, which stays meanwhile; 0 where there is none.
  template <class Use>
  int with_carrier(Use use) {
    std::lock_guard lock(mutex_);
    return carrier_ == nullptr ? 0 : use(carrier_);
  }

  void wait();               // until complete
  void wait_with_callback(); // until the callbacks have returned as well
  bool is_complete();
  bool is_called_back();
  int64_t result();
  uint64_t version();

 private:
  ~Completion() = default;

  void* const argument_;
  const rados_callback_t complete_, safe_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  unsigned references_ = 1;
  bool done_ = false;
  bool called_back_ = false;
  int64_t result_ = 0;
  uint64_t version_ = 0;
  rados_completion_t carrier_ = nullptr;
};

}  // namespace cbd::rados
