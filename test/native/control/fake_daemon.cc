#include "fake_daemon.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace fake {

Connection::~Connection() { ::close(fd_); }

void Connection::send(const Json& message) { send_text(message.dump() + "\n"); }

void Connection::send_text(const std::string& text) {
  std::lock_guard lock(sending_);
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = ::send(fd_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

void Connection::send_fds(const std::vector<int>& fds) {
  std::lock_guard lock(sending_);
  char blank = ' ';
  iovec iov{&blank, 1};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  ::sendmsg(fd_, &message, MSG_NOSIGNAL);
}

void Connection::drop() { ::shutdown(fd_, SHUT_RDWR); }

bool Connection::receive(std::string& line) {
  for (;;) {
    size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return true;
    }
    char bytes[4096];
    ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(n));
  }
}

Daemon::Daemon(Handler handler) : handler_(std::move(handler)) {
  char name[] = "/tmp/cbd-native-XXXXXX";
  folder_ = mkdtemp(name);
  path_ = folder_ + "/s";
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path_.c_str());
  ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::listen(listener_, 16);
  acceptor_ = std::thread([this] { accept_all(); });
}

Daemon::~Daemon() {
  ending_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard lock(mutex_);
    for (auto& connection : connections_) connection->drop();
  }
  for (auto& thread : threads_) thread.join();
  ::close(listener_);
  ::unlink(path_.c_str());
  ::rmdir(folder_.c_str());
}

void Daemon::accept_all() {
  while (!ending_) {
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    auto connection = std::make_shared<Connection>(fd);
    std::lock_guard lock(mutex_);
    connections_.push_back(connection);
    threads_.emplace_back([this, connection] { serve(connection); });
  }
}

void Daemon::serve(std::shared_ptr<Connection> connection) {
  std::string line;
  while (connection->receive(line)) {
    Json request = Json::parse(line);
    if (!request.contains("method")) {
      handler_(connection, request);
    } else if (request["method"] == "session.hello") {
      {
        std::lock_guard lock(mutex_);
        hellos_.push_back(request["params"]);
      }
      connection->answer(request, {{"fsid", "f"}, {"nonce", "00ff"}, {"keyRequired", false}});
    } else if (request["method"] == "session.auth") {
      greeted_++;
      connection->answer(request, {{"sessionId", 7}, {"address", "127.0.0.1:0/7"}, {"caps", Json::object()}, {"config", Json::object()}});
      if (then_) then_(connection);
    } else if (request["method"] == "session.close") {
      connection->answer(request, Json::object());
    } else {
      handler_(connection, request);
    }
  }
}

}  // namespace fake
