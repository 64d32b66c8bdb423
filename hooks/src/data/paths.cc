#include "data/paths.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include <cerrno>

namespace cbd::hooks {
namespace {

constexpr int pipe_bytes = 1 << 20;

}  // namespace

Source::Source(const std::string& path) {
  if (path == "-") {
    fd_ = STDIN_FILENO;
    is_stream_ = true;
    // Fewer turns between us and whoever writes; what is no pipe refuses it.
    fcntl(fd_, F_SETPIPE_SZ, pipe_bytes);
    return;
  }
  owned_ = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  fd_ = owned_.get();
  struct stat about {};
  if (fd_ < 0 || fstat(fd_, &about) != 0) {
    error_ = -errno;
  } else if (S_ISDIR(about.st_mode)) {
    error_ = -EISDIR;
  } else if (S_ISREG(about.st_mode)) {
    size_ = static_cast<uint64_t>(about.st_size);
  } else if (S_ISBLK(about.st_mode)) {
    if (ioctl(fd_, BLKGETSIZE64, &size_) != 0) error_ = -errno;
  }
  // Anything else has no size, and is refused for that, as by 16.2.15: a stream is "-".
}

Target::Target(const std::string& path) {
  if (path == "-") {
    fd_ = STDOUT_FILENO;
    fcntl(fd_, F_SETPIPE_SZ, pipe_bytes);
    return;
  }
  owned_ = UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  fd_ = owned_.get();
  if (fd_ < 0) {
    error_ = -errno;
  } else {
    path_ = path;
  }
}

Target::~Target() {
  if (!path_.empty() && !is_finished_) unlink(path_.c_str());
}

int Target::finish() {
  const bool is_file = !path_.empty();
  if (is_file && close(owned_.release()) != 0) return -errno;
  is_finished_ = true;
  return 0;
}

}  // namespace cbd::hooks
