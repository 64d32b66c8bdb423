// See served.h.
#include "rbd/served.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>

extern char** environ;

namespace cbd::test {

namespace {

[[noreturn]] void give_up(const char* what) {
  std::printf("Bail out! %s\n", what);
  std::exit(2);
}

// Where dist/ is: above the build folder that this program is in.
std::filesystem::path root() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path();
}

// True where a line that begins with "ready" comes before the end.
bool reads_ready(int fd) {
  std::string line;
  char byte;
  while (read(fd, &byte, 1) == 1) {
    if (byte != '\n') {
      line += byte;
    } else if (line.rfind("ready", 0) == 0) {
      return true;
    } else {
      line.clear();
    }
  }
  return false;
}

}  // namespace

Served::Served() {
  const char* parent = std::getenv("TMPDIR");
  folder_ = std::string(parent != nullptr ? parent : "/tmp") + "/cbd-native-XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) give_up("no temporary folder");
  start();
}

Served::~Served() {
  end(SIGTERM);
  std::filesystem::remove_all(folder_);
}

void Served::print_log() const {
  std::ifstream log(folder_ + "/log");
  std::deque<std::string> last;
  for (std::string line; std::getline(log, line);) {
    last.push_back(line);
    if (last.size() > 40) last.pop_front();
  }
  for (const std::string& line : last) std::printf("# daemon: %s\n", line.c_str());
}

void Served::start() {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) give_up("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  const std::string log = folder_ + "/log";
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  std::string script = root() / "dist/src/cli/cbd2rbd.js", node = "node", dir = "--dir", serve = "serve";
  char* arguments[] = {node.data(), script.data(), dir.data(), folder_.data(), serve.data(), nullptr};
  const int error = posix_spawnp(&process_, "node", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (error != 0) give_up("node cannot be started");
  const bool is_ready = reads_ready(out[0]);
  close(out[0]);
  if (!is_ready) give_up("the daemon ended before it was ready");
}

void Served::end(int signal) {
  kill(process_, signal);
  waitpid(process_, nullptr, 0);
}

}  // namespace cbd::test
