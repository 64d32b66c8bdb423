// The part of a command line that concerns the connection, and the rest. Knows nothing of what the words mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cbd::hooks {

struct Arguments {
  std::string cluster;                       // --cluster; "" is the default
  std::string name = "client.admin";         // -n, --name, --id, --user
  std::optional<std::string> conf;           // -c, --conf
  std::optional<std::string> input;          // ceph's -i, --in-file
  std::optional<std::string> output;         // ceph's -o, --out-file
  std::optional<std::string> connect_timeout;  // seconds
  std::vector<std::string> kept;             // options of `ceph` that librados would take for its own (-f)
  std::vector<std::string> rest;             // in order; options of the configuration are still in it
};

// The words of CEPH_ARGS (blanks part them; may be null), then those of argv.
std::vector<std::string> words_of(const char* ceph_args, int argc, char** argv);

// Parts words into what is the connection's and what is not. `is_ceph`: the program is `ceph`, whose -i and -o are files; for `rbd` they are
// not options of the connection. False, with `error` set, where an option lacks its value.
bool split(const std::vector<std::string>& words, bool is_ceph, Arguments& out, std::string& error);

// Prints the version where that is all that is asked for (--version, -v); false otherwise.
bool answer_version(const Arguments& arguments);

}  // namespace cbd::hooks
