// Makes state that lives in several threads survive fork(): whoever registers has his locks taken before the fork and
// can put himself back to "not connected yet" in the child. Each library has its own list.
#pragma once

namespace cbd::control {

class ForkAware {
 public:
  // Take your locks. Runs in the forking thread; nothing may be waited for but locks that are held for moments only.
  virtual void before_fork() = 0;
  // Release them.
  virtual void after_fork_in_parent() = 0;
  // Release them and forget threads, sockets and whoever waited: none of them is in this process.
  virtual void after_fork_in_child() = 0;

 protected:
  ~ForkAware() = default;
};

// Objects registered later are asked first before a fork, so that a user of something is locked before what he uses.
void register_for_fork(ForkAware* object);
void unregister_for_fork(ForkAware* object);

}  // namespace cbd::control
