// A connection to the daemon through our librados, and command lines answered over it.
#pragma once

#include <rados/librados.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace cbd::hooks {

// What the daemon made of a command line.
struct Outcome {
  std::string out;
  std::string err;
  int code = 0;
};

class Session {
 public:
  Session() = default;
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Reads the configuration and connects. 0, or the exit code after it wrote the reason to standard error as Ceph's own
  // program does. Takes the configuration's options out of `arguments.rest`.
  int open(const char* program, Arguments& arguments);

  // Has the daemon answer a command line. 0 or -errno where it could not be asked.
  int run(const char* program, const std::vector<std::string>& words, const std::string& input, Outcome& outcome);

  rados_t cluster() const { return cluster_; }

 private:
  int configure(const char* program, Arguments& arguments);
  bool is_anybody_there(std::string& socket_path) const;

  rados_t cluster_ = nullptr;
};

}  // namespace cbd::hooks
