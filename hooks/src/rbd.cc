// `rbd`: commands that move data run here, over librbd and with the caller's rights; the others are answered by the daemon.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include "arguments.h"
#include "data/commands.h"
#include "data/flow.h"
#include "data/words.h"
#include "files.h"
#include "help.h"
#include "real_rbd.h"
#include "session.h"

namespace {

using namespace cbd::hooks;

bool begins_with(const std::vector<std::string>& words, std::initializer_list<const char*> start) {
  size_t at = 0;
  for (const char* word : start) {
    if (at >= words.size() || words[at++] != word) return false;
  }
  return true;
}

// How often `perf image iostat` looks: --iterations, 0 for until it is ended. Takes the option out of the words.
uint64_t take_iterations(std::vector<std::string>& words) {
  for (size_t at = 0; at < words.size(); ++at) {
    const bool is_joined = words[at].rfind("--iterations=", 0) == 0;
    if (!is_joined && (words[at] != "--iterations" || at + 1 >= words.size())) continue;
    const std::string text = is_joined ? words[at].substr(words[at].find('=') + 1) : words[at + 1];
    char* end = nullptr;
    const uint64_t count = strtoull(text.c_str(), &end, 10);
    // What is no number above 0 is left in, for the daemon to refuse.
    if (count == 0 || *end != '\0') return 1;
    words.erase(words.begin() + static_cast<long>(at), words.begin() + static_cast<long>(at) + (is_joined ? 1 : 2));
    return count;
  }
  return 0;
}

int watch_io(Session& session, std::vector<std::string> words) {
  const bool is_top = words[2] == "iotop";
  const uint64_t times = is_top ? 0 : take_iterations(words);
  for (uint64_t time = 0; times == 0 || time < times; ++time) {
    Outcome outcome;
    session.run("rbd", words, "", outcome);
    if (time == 0) write_whole(STDERR_FILENO, outcome.err);
    if (is_top && isatty(STDOUT_FILENO)) write_whole(STDOUT_FILENO, "\033[2J\033[H");
    if (write_whole(STDOUT_FILENO, outcome.out) != 0) return 1;
    if (outcome.code != 0) return outcome.code;
  }
  return 0;
}

int run_here(DataCommand command, rados_t cluster, const std::vector<std::string>& rest) {
  try {
    const int code = command(cluster, rest);
    if (fflush(stdout) != 0) return complain_of_output("rbd", -errno, code);
    // Of a write that failed before then nothing more is known.
    return ferror(stdout) == 0 ? code : complain_of_output("rbd", -EIO, code);
  } catch (const Failure& failure) {
    fputs(failure.text.c_str(), stderr);
    return failure.code;
  }
}

// A program that was interrupted, and has cleaned up, ends by the signal, so that a script that called it ends, too.
int end_as_interrupted(int code) {
  if (code == 0 || !is_interrupted()) return code;
  fflush(nullptr);
  signal(interrupted_by(), SIG_DFL);
  raise(interrupted_by());
  return code;
}

int run(Arguments& arguments) {
  if (const auto code = answer_rbd_help(arguments.rest)) return *code;
  std::vector<std::string> rest;
  // Differences are merged without asking anybody.
  if (DataCommand command = find_data_command(arguments.rest, rest); command == run_merge_diff) return run_here(command, nullptr, rest);
  Session session;
  if (int code = session.open("rbd", arguments); code != 0) return code;
  if (DataCommand command = find_data_command(arguments.rest, rest); command != nullptr) {
    // Buffers live until their requests are done: librbd need not copy them.
    rados_conf_set(session.cluster(), "rbd_disable_zero_copy_writes", "false");
    // Large writes in parallel reach the disk at once, around the page cache: it would only hold them back until the flush at the end.
    if (command == run_import) rados_conf_set(session.cluster(), "rbd_cache", "false");
    return run_here(command, session.cluster(), rest);
  }
  const bool is_watching = begins_with(arguments.rest, {"perf", "image", "iostat"}) || begins_with(arguments.rest, {"perf", "image", "iotop"});
  if (is_watching) return watch_io(session, arguments.rest);
  Outcome outcome;
  session.run("rbd", arguments.rest, "", outcome);
  if (outcome.code == elsewhere_code) return run_real_rbd(outcome.out);
  write_whole(STDERR_FILENO, outcome.err);
  return print_answer("rbd", outcome.out, outcome.code);
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away is an error like any other: half-made files and images are removed.
  signal(SIGPIPE, SIG_IGN);
  Arguments arguments;
  std::string error;
  if (split(words_of(getenv("CEPH_ARGS"), argc, argv), false, arguments, error)) return answer_version(arguments) ? 0 : end_as_interrupted(run(arguments));
  fprintf(stderr, "rbd: %s\n", error.c_str());
  return 1;
}
