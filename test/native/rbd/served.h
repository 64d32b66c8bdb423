// A daemon in a folder of its own whose pool "rbd" is on a backend, for native tests that go through the exported C functions.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>

namespace cbd::test {

class Served {
 public:
  // Starts it, on "local" files or on a "curvebs" stand-in of its own, and returns when clients may connect. Ends the process with a
  // message where that fails.
  explicit Served(const char* backend);
  // Ends it and removes the folder. Ends the process with a message where the stand-in died of what it was sent.
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  const std::string& conf() const { return conf_; }
  // What it logged last, as comments of TAP.
  void print_log() const;

 private:
  std::string conf_;
  FILE* to_ = nullptr;    // the standard input of test/lib/served-main.ts
  FILE* from_ = nullptr;  // and its output
  pid_t process_ = -1;
};

}  // namespace cbd::test
