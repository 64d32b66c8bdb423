#include "control/fork.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <ranges>
#include <vector>

namespace cbd::control {

namespace {

struct Registry {
  std::mutex mutex;  // guards `objects`; held across the fork itself
  std::vector<ForkAware*> objects;
};

// Never destroyed: a host may fork while its static objects are being destroyed.
Registry& registry() {
  static Registry* instance = new Registry;
  return *instance;
}

void before() {
  registry().mutex.lock();
  for (ForkAware* object : registry().objects | std::views::reverse) object->before_fork();
}

void in_parent() {
  for (ForkAware* object : registry().objects) object->after_fork_in_parent();
  registry().mutex.unlock();
}

void in_child() {
  for (ForkAware* object : registry().objects) object->after_fork_in_child();
  registry().mutex.unlock();
}

}  // namespace

void register_for_fork(ForkAware* object) {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(before, in_parent, in_child); });
  std::lock_guard lock(registry().mutex);
  registry().objects.push_back(object);
}

void unregister_for_fork(ForkAware* object) {
  std::lock_guard lock(registry().mutex);
  std::erase(registry().objects, object);
}

}  // namespace cbd::control
