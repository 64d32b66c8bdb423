// See served.h.
#include "rbd/served.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

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

// False at the end of what there is.
bool read_line(FILE* from, std::string& line) {
  line.clear();
  for (int byte; (byte = std::fgetc(from)) != EOF;) {
    if (byte == '\n') return true;
    line += static_cast<char>(byte);
  }
  return false;
}

}  // namespace

Served::Served(const char* backend) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) give_up("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::string script = root() / "dist/test/lib/served-main.js", node = "node", name = backend;
  char* arguments[] = {node.data(), script.data(), name.data(), nullptr};
  const int error = posix_spawnp(&process_, "node", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (error != 0) give_up("node cannot be started");
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
  const std::string ready = "ready ";
  for (std::string line; conf_.empty();) {
    if (!read_line(from_, line)) give_up("the daemon ended before it was ready");
    if (line.starts_with(ready)) conf_ = line.substr(ready.size());
  }
}

Served::~Served() {
  std::fclose(to_);
  int status = -1;
  waitpid(process_, &status, 0);
  std::fclose(from_);
  if (status != 0) give_up("the daemon, or the stand-in under it, did not end in order");
}

void Served::print_log() const {
  std::fputs("log\n", to_);
  std::fflush(to_);
  for (std::string line; read_line(from_, line) && line != ".";) std::printf("# daemon: %s\n", line.c_str());
}

}  // namespace cbd::test
