// `ceph`: hands the command line to the daemon, where the answer is made, and prints what comes back. Files are read and written
// here, with the caller's rights.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "files.h"
#include "help.h"
#include "session.h"

namespace {

using namespace cbd::hooks;

int complain(const char* what, const std::string& path, int error) {
  fprintf(stderr, "Can't open %s file %s: [Errno %d] %s: '%s'\n", what, path.c_str(), -error, strerror(-error), path.c_str());
  return 1;
}

int run(Arguments& arguments) {
  if (const auto code = answer_ceph_help(arguments.rest)) return *code;
  std::string input;
  if (arguments.input) {
    if (int error = read_whole(*arguments.input, input); error < 0) return complain("input", *arguments.input, error);
  }
  Session session;
  if (int code = session.open("ceph", arguments); code != 0) return code;
  Outcome outcome;
  session.run("ceph", arguments.rest, input, outcome);
  write_whole(STDERR_FILENO, outcome.err);
  if (!arguments.output) return print_answer("ceph", outcome.out, outcome.code);
  const int written = write_file(*arguments.output, outcome.out);
  return written == 0 ? outcome.code : complain("output", *arguments.output, written);
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  Arguments arguments;
  std::string error;
  if (split(getenv("CEPH_ARGS"), argc, argv, true, arguments, error)) return answer_version(arguments) ? 0 : run(arguments);
  fprintf(stderr, "ceph: %s\n", error.c_str());
  return 2;
}
