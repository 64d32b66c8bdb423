// `ceph`: hands the command line to the daemon, where the answer is made, and prints what comes back. Files are read and written
// here, with the caller's rights.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "arguments.h"
#include "files.h"
#include "help.h"
#include "line_words.h"
#include "session.h"

namespace {

using namespace cbd::hooks;

int complain(const char* what, const std::string& path, int error) {
  fprintf(stderr, "Can't open %s file %s: [Errno %d] %s: '%s'\n", what, path.c_str(), -error, strerror(-error), path.c_str());
  return 1;
}

// What -i names; 0, or the exit code.
int read_input(const Arguments& arguments, std::string& input) {
  if (!arguments.input) return 0;
  const int error = read_whole(*arguments.input, input);
  return error < 0 ? complain("input", *arguments.input, error) : 0;
}

// One command; `behind` follows an answer on standard output.
int answer(Session& session, const Arguments& arguments, const std::string& input, const char* behind) {
  Outcome outcome;
  session.run("ceph", arguments.rest, input, outcome);
  write_whole(STDERR_FILENO, outcome.err);
  if (!arguments.output) return print_answer("ceph", outcome.out.empty() ? "" : outcome.out + behind, outcome.code);
  const int written = write_file(*arguments.output, outcome.out);
  return written == 0 ? outcome.code : complain("output", *arguments.output, written);
}

// A line is a command line of its own, behind the options that the program was called with. Wrong ones are complained about.
void answer_line(Session& session, const Arguments& called, const std::string& line) {
  const std::optional<std::vector<std::string>> words = split_line(line);
  if (!words) {
    fprintf(stderr, "ceph: %s: there is no closing quotation\n", line.c_str());
    return;
  }
  Arguments own;
  std::string error, input;
  if (!split(*words, true, own, error)) {
    fprintf(stderr, "ceph: %s\n", error.c_str());
    return;
  }
  if (read_input(own, input) != 0) return;
  own.rest.insert(own.rest.begin(), own.kept.begin(), own.kept.end());
  own.rest.insert(own.rest.begin(), called.rest.begin(), called.rest.end());
  answer(session, own, input, "\n");
}

// Without words `ceph` reads commands from standard input, as Ceph's does, to its end or to "quit".
int converse(Session& session, const Arguments& called) {
  const bool is_terminal = isatty(STDIN_FILENO) == 1;
  std::string line;
  for (;;) {
    if (is_terminal) write_whole(STDOUT_FILENO, "ceph> ");
    if (!std::getline(std::cin, line)) break;
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    line = line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
    if (line == "quit" || line == "exit" || line == "q" || line == "Q") return 0;
    answer_line(session, called, line);
  }
  if (is_terminal) write_whole(STDOUT_FILENO, "\n");
  return 0;
}

int run(Arguments& arguments) {
  if (const auto code = answer_ceph_help(arguments.rest)) return *code;
  std::string input;
  if (int code = read_input(arguments, input); code != 0) return code;
  Session session;
  const size_t options = arguments.kept.size();
  if (int code = session.open("ceph", arguments); code != 0) return code;
  return arguments.rest.size() == options ? converse(session, arguments) : answer(session, arguments, input, "");
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  Arguments arguments;
  std::string error;
  if (split(words_of(getenv("CEPH_ARGS"), argc, argv), true, arguments, error)) return answer_version(arguments) ? 0 : run(arguments);
  fprintf(stderr, "ceph: %s\n", error.c_str());
  return 2;
}
