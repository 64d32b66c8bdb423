// `ceph` and `rbd`: hands the command line to the daemon, where the answer is made, and prints what comes back. Files are read and
// written here, with the caller's rights.
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "files.h"
#include "session.h"

namespace {

using cbd::hooks::Arguments;
using cbd::hooks::Outcome;
using cbd::hooks::Session;

const char* program_name(const char* argv0) {
  const char* slash = strrchr(argv0, '/');
  const char* name = slash != nullptr ? slash + 1 : argv0;
  return strcmp(name, "rbd") == 0 ? "rbd" : "ceph";
}

int run(const char* program, Arguments& arguments) {
  std::string input;
  if (arguments.input) {
    if (int error = cbd::hooks::read_whole(*arguments.input, input); error < 0) {
      fprintf(stderr, "Can't open input file %s: [Errno %d] %s: '%s'\n", arguments.input->c_str(), -error, strerror(-error),
              arguments.input->c_str());
      return 1;
    }
  }
  Session session;
  if (int code = session.open(program, arguments); code != 0) return code;
  Outcome outcome;
  session.run(program, arguments.rest, input, outcome);
  cbd::hooks::write_whole(STDERR_FILENO, outcome.err);
  int written = arguments.output ? cbd::hooks::write_file(*arguments.output, outcome.out)
                                 : cbd::hooks::write_whole(STDOUT_FILENO, outcome.out);
  if (written == 0) return outcome.code;
  if (arguments.output) {
    fprintf(stderr, "Can't open output file %s: [Errno %d] %s: '%s'\n", arguments.output->c_str(), -written, strerror(-written),
            arguments.output->c_str());
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* program = program_name(argv[0]);
  Arguments arguments;
  std::string error;
  if (!cbd::hooks::split(getenv("CEPH_ARGS"), argc, argv, strcmp(program, "ceph") == 0, arguments, error)) {
    fprintf(stderr, "%s: %s\n", program, error.c_str());
    return strcmp(program, "ceph") == 0 ? 2 : 1;
  }
  return run(program, arguments);
}
