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

int run(Arguments& arguments) {
  Session session;
  if (int code = session.open("rbd", arguments); code != 0) return code;
  std::vector<std::string> rest;
  DataCommand command = find_data_command(arguments.rest, rest);
  if (command != nullptr && !wants_help(rest)) {
    try {
      return command(session.cluster(), rest);
    } catch (const Failure& failure) {
      fputs(failure.text.c_str(), stderr);
      return failure.code;
    }
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
