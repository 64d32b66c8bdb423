// `rbd`: commands that move data run here, over librbd and with the caller's rights; the others are answered by the daemon.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "data/commands.h"
#include "data/words.h"
#include "files.h"
#include "session.h"

namespace {

using namespace cbd::hooks;

bool wants_help(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") return true;
  }
  return false;
}

int run_here(DataCommand command, rados_t cluster, const std::vector<std::string>& rest) {
  try {
    return command(cluster, rest);
  } catch (const Failure& failure) {
    fputs(failure.text.c_str(), stderr);
    return failure.code;
  }
}

int run(Arguments& arguments) {
  std::vector<std::string> rest;
  // Differences are merged without asking anybody.
  if (DataCommand command = find_data_command(arguments.rest, rest); command == run_merge_diff && !wants_help(rest)) {
    return run_here(command, nullptr, rest);
  }
  Session session;
  if (int code = session.open("rbd", arguments); code != 0) return code;
  if (DataCommand command = find_data_command(arguments.rest, rest); command != nullptr && !wants_help(rest)) {
    // Buffers live until their requests are done: librbd need not copy them.
    rados_conf_set(session.cluster(), "rbd_disable_zero_copy_writes", "false");
    return run_here(command, session.cluster(), rest);
  }
  Outcome outcome;
  session.run("rbd", arguments.rest, "", outcome);
  write_whole(STDERR_FILENO, outcome.err);
  return write_whole(STDOUT_FILENO, outcome.out) == 0 ? outcome.code : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  std::string error;
  if (split(getenv("CEPH_ARGS"), argc, argv, false, arguments, error)) return run(arguments);
  fprintf(stderr, "rbd: %s\n", error.c_str());
  return 1;
}
