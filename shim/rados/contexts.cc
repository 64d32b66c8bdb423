#include "rados/contexts.h"

#include <map>
#include <mutex>

#include "control/fork.h"

namespace cbd::rados {

namespace {

struct Contexts final : control::ForkAware {
  Contexts() { control::register_for_fork(this); }
  void before_fork() override { mutex.lock(); }
  void after_fork_in_parent() override { mutex.unlock(); }
  void after_fork_in_child() override { mutex.unlock(); }

  std::mutex mutex;  // guards `known`
  std::map<const void*, std::weak_ptr<Config>> known;
};

Contexts& contexts() {
  static Contexts* instance = new Contexts;
  return *instance;
}

}  // namespace

void remember_context(const std::shared_ptr<Config>& config) {
  std::lock_guard lock(contexts().mutex);
  std::erase_if(contexts().known, [](auto& entry) { return entry.second.expired(); });
  contexts().known[config.get()] = config;
}

std::shared_ptr<Config> find_context(const void* context) {
  std::lock_guard lock(contexts().mutex);
  auto found = contexts().known.find(context);
  return found != contexts().known.end() ? found->second.lock() : nullptr;
}

}  // namespace cbd::rados
