#include "control/wire.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace cbd::control {

namespace {

constexpr size_t max_line = size_t{1} << 30;
constexpr size_t read_size = 64 << 10;
constexpr int max_fds_a_message = 253;  // the kernel's SCM_MAX_FD

// Until `fd` has `events`, or `wake` (-1: none) was written to.
int wait_for(int fd, short events, int wake, const Deadline& deadline) {
  pollfd p[2] = {{fd, events, 0}, {wake, POLLIN, 0}};
  for (;;) {
    int n = ::poll(p, 2, deadline.poll_ms());
    if (n > 0 && p[1].revents != 0) {
      eventfd_t count;
      eventfd_read(wake, &count);
      return -EINTR;
    }
    if (n > 0) return 0;
    if (n == 0 && deadline.passed()) return -ETIMEDOUT;
    if (n < 0 && errno != EINTR) return -errno;
  }
}

}  // namespace

int Wire::open(const std::string& path, std::shared_ptr<Wire>& wire) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return path.empty() ? -ENOENT : -ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return -errno;
  while (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    // EAGAIN: the daemon's backlog is full; as good as nobody listening for the moment.
    if (errno != EINTR) return errno == EAGAIN ? -ECONNREFUSED : -errno;
  }
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return -errno;
  wire.reset(new Wire(std::move(fd), std::move(wake)));
  return 0;
}

int Wire::send(std::string_view line, const Deadline& deadline) {
  {
    std::unique_lock lock(mutex_);
    if (!deadline.wait(turn_, lock, [&] { return !sending_; })) return -ETIMEDOUT;
    sending_ = true;
  }
  int error = send_whole(line, deadline);
  end_turn();
  return error;
}

void Wire::try_send(std::string_view line) {
  {
    std::lock_guard lock(mutex_);
    if (sending_) return;
    sending_ = true;
  }
  ssize_t n = ::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  // Begun is begun. (The kernel takes lines of this size whole or not at all.)
  if (n > 0 && send_whole(line.substr(static_cast<size_t>(n)), Deadline::never()) != 0) shut();
  end_turn();
}

void Wire::end_turn() {
  std::lock_guard lock(mutex_);
  sending_ = false;
  turn_.notify_one();
}

int Wire::send_whole(std::string_view line, const Deadline& deadline) {
  while (!line.empty()) {
    ssize_t n = ::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      line.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      int error = wait_for(fd_.get(), POLLOUT, -1, deadline);
      if (error != 0) return error;
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return 0;
}

int Wire::fill(const Deadline& deadline) {
  char bytes[read_size];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds_a_message)];
  iovec iov{bytes, sizeof bytes};
  msghdr message{};
  ssize_t n;
  for (;;) {
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n >= 0) break;
    if (errno == EAGAIN) {
      is_waiting_.store(buffer_.empty());
      int error = wait_for(fd_.get(), POLLIN, wake_.get(), deadline);
      is_waiting_.store(false);
      if (error != 0) return error;
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds_.emplace_back(fd);
    }
  }
  // Descriptors that this process had no room for: the next reply would be without its own.
  if (message.msg_flags & MSG_CTRUNC) return -EMFILE;
  if (n == 0) return -EPIPE;
  buffer_.append(bytes, static_cast<size_t>(n));
  return 0;
}

int Wire::receive(std::string& line, const Deadline& deadline) {
  for (;;) {
    size_t end = buffer_.find('\n', scanned_);
    if (end != std::string::npos) {
      // The blank bytes that carried descriptors stand before the line.
      size_t begin = std::min(buffer_.find_first_not_of(" \0\n", 0, 3), end);
      line.assign(buffer_, begin, end - begin);
      buffer_.erase(0, end + 1);
      scanned_ = 0;
      if (line.empty()) continue;
      return 0;
    }
    scanned_ = buffer_.size();
    if (buffer_.size() > max_line) return -EMSGSIZE;
    int error = fill(deadline);
    if (error != 0) return error;
  }
}

std::vector<UniqueFd> Wire::take_fds(size_t count) {
  std::vector<UniqueFd> taken;
  while (taken.size() < count && !fds_.empty()) {
    taken.push_back(std::move(fds_.front()));
    fds_.pop_front();
  }
  return taken;
}

bool Wire::is_idle() const {
  // Looked at again afterwards: what was taken out of the socket before the look is dealt with only if the receiver waits again.
  return is_waiting_.load() && !has_unread() && is_waiting_.load();
}

bool Wire::is_dealt_with() const { return buffer_.empty() && !has_unread(); }

bool Wire::has_unread() const {
  pollfd unread = {fd_.get(), POLLIN, 0};
  return ::poll(&unread, 1, 0) != 0;
}

void Wire::wake() { eventfd_write(wake_.get(), 1); }

void Wire::close_in_child() {
  fd_.reset();
  wake_.reset();
}

void Wire::shut() { ::shutdown(fd_.get(), SHUT_RDWR); }

}  // namespace cbd::control
