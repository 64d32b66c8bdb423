// A daemon on local files in a folder of its own, for native tests that go through the exported C functions.
#pragma once

#include <sys/types.h>

#include <string>

namespace cbd::test {

class Served {
 public:
  // Starts it and returns when clients may connect. Ends the process with a message where that fails.
  Served();
  // Ends it and removes the folder.
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  std::string conf() const { return folder_ + "/ceph.conf"; }
  // What it logged last, as comments of TAP.
  void print_log() const;

 private:
  void start();
  void end(int signal);

  std::string folder_;
  pid_t process_ = -1;
};

}  // namespace cbd::test
