#include "files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace cbd::hooks {

int read_whole(const std::string& path, std::string& out) {
  int fd = path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  char buffer[65536];
  int result = 0;
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got > 0) {
      out.append(buffer, static_cast<size_t>(got));
    } else if (got == 0) {
      break;
    } else if (errno != EINTR) {
      result = -errno;
      break;
    }
  }
  if (fd != STDIN_FILENO) close(fd);
  return result;
}

int write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t put = write(fd, text.data(), text.size());
    if (put >= 0) {
      text.remove_prefix(static_cast<size_t>(put));
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return 0;
}

int print_answer(const char* program, std::string_view text, int code) {
  const int result = write_whole(STDOUT_FILENO, text);
  return result == 0 ? code : complain_of_output(program, result, code);
}

int complain_of_output(const char* program, int result, int code) {
  if (result == -EPIPE) return code;
  fprintf(stderr, "%s: error writing to standard output: (%d) %s\n", program, -result, strerror(-result));
  return 1;
}

int write_file(const std::string& path, std::string_view text) {
  if (path == "-") return write_whole(STDOUT_FILENO, text);
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return -errno;
  int result = write_whole(fd, text);
  if (close(fd) != 0 && result == 0) result = -errno;
  return result;
}

}  // namespace cbd::hooks
