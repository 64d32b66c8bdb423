// The connection's thread: connecting, receiving, time. What replies mean for a file is nebd_file.cc's business.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <map>

#include "block/fork_generation.h"
#include "block/iov.h"
#include "block/nebd_connection.h"

namespace cbd::block::nebd {
namespace {

constexpr int max_receive_iov = 64;
constexpr int64_t tick_ms = 1000;
constexpr int64_t linger_ms = 2000;  // a connection without files stays for so long
constexpr int64_t passive_ms = 20;   // after the last blocking request
constexpr uint32_t first_pause_ms = 10;
constexpr uint32_t longest_pause_ms = 1000;

// The connections of this process. Never destroyed: threads may outlive main().
struct Registry {
  std::mutex lock;  // guards `by_path`; taken before a connection's own lock
  std::map<std::string, std::weak_ptr<Connection>> by_path;
};
PerProcess<Registry>& registry() {
  static auto* instance = new PerProcess<Registry>;
  return *instance;
}

// Sockets that a forked child must close: otherwise the server would not see the parent's connection end.
std::array<std::atomic<int>, 64> inherited;
std::once_flag fork_handler;

void remember_socket(int fd) {
  std::call_once(fork_handler, [] {
    for (auto& slot : inherited) slot.store(-1);
    pthread_atfork(nullptr, nullptr, [] {
      for (auto& slot : inherited) {
        const int own = slot.exchange(-1);
        if (own >= 0) close(own);
      }
    });
  });
  for (auto& slot : inherited) {
    int none = -1;
    if (slot.compare_exchange_strong(none, fd)) return;
  }
}

// A connection to the server at that path, or -errno. Does not wait for a server whose backlog is full.
int dial(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const timeval soon{0, 100000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

bool is_denial(int error) { return error == -EACCES || error == -EPERM; }

void close_socket(int fd) {
  for (auto& slot : inherited) {
    int own = fd;
    if (slot.compare_exchange_strong(own, -1)) break;
  }
  close(fd);
}

}  // namespace

int try_socket(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) return 0;  // refused elsewhere
  const int fd = dial(path);
  if (fd >= 0) close(fd);
  return is_denial(fd) ? -EACCES : 0;
}

std::shared_ptr<Connection> Connection::to(const std::string& socket_path) {
  if (socket_path.empty() || socket_path.size() >= sizeof(sockaddr_un::sun_path)) return nullptr;
  Registry& all = registry().get();
  std::lock_guard<std::mutex> guard(all.lock);
  auto& known = all.by_path[socket_path];
  if (auto existing = known.lock()) {
    Lock lock(existing->lock_);
    if (!existing->is_over_) {
      existing->idle_since_ = now_ms();
      return existing;
    }
  }
  auto made = std::make_shared<Connection>(socket_path);
  known = made;
  return made;
}

// The thread ends when nobody has a file; true: it must return now.
bool Connection::end_thread() {
  Registry& all = registry().get();
  std::lock_guard<std::mutex> guard(all.lock);
  Lock lock(lock_);
  if (!files_.empty() || now_ms() - idle_since_ < linger_ms) return false;
  is_over_ = true;
  if (fd_ >= 0) close_socket(fd_);
  fd_ = -1;
  return true;
}

bool Connection::start_thread() {
  if (has_thread_) return true;
  if (kick_fd_ < 0) kick_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (kick_fd_ < 0) return false;
  if (!buffer_) buffer_.reset(new (std::nothrow) uint8_t[buffer_bytes]);
  if (!buffer_) return false;
  fork_generation();
  // The host's signals are not for this thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto* self = new (std::nothrow) std::shared_ptr<Connection>(shared_from_this());
  const auto main = [](void* context) -> void* {
    std::unique_ptr<std::shared_ptr<Connection>> mine(static_cast<std::shared_ptr<Connection>*>(context));
    pthread_setname_np(pthread_self(), "cbd-nebd");
    (*mine)->run();
    return nullptr;
  };
  has_thread_ = self && pthread_create(&thread_, &attributes, main, self) == 0;
  if (!has_thread_) delete self;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  next_keep_alive_ = now_ms() + 1000;
  next_tick_ = now_ms() + tick_ms;
  idle_since_ = now_ms();
  return has_thread_;
}

void Connection::run() {
  for (;;) {
    Lock lock(lock_);
    const bool may_end = loop_once(lock);
    lock.unlock();
    if (may_end && end_thread()) return;
  }
}

void Connection::kick() {
  if (is_kicked_ || kick_fd_ < 0) return;
  is_kicked_ = true;
  const uint64_t one = 1;
  if (write(kick_fd_, &one, sizeof one) < 0) is_kicked_ = false;
}

// When the loop has to look again by itself.
int Connection::timeout_ms(int64_t now) const {
  int64_t at = in_flight_ > 0 ? next_tick_ : files_.empty() ? idle_since_ + linger_ms : next_keep_alive_;
  if (fd_ < 0 && !files_.empty()) at = std::min(at, connect_at_);
  if (fd_ >= 0) {
    for (const auto& file : files_) {
      if (file->state == File::State::idle && (file->was_open || !file->waiting.empty())) at = std::min(at, file->not_before);
    }
  }
  if (is_passive_) at = std::min(at, now + passive_ms);
  return static_cast<int>(std::clamp<int64_t>(at - now, 0, 60000));
}

// One round: wait for something, deal with it. True where the thread could end.
bool Connection::loop_once(Lock& lock) {
  int64_t now = now_ms();
  if (is_broken_ && !receiving_) disconnect(lock);
  if (fd_ < 0 && !files_.empty() && now >= connect_at_) connect_now(lock);
  if (fd_ >= 0) {
    for (size_t i = 0; i < files_.size(); ++i) step(*files_[i], now);
  }
  flush(lock);
  run_finished(lock);

  now = now_ms();
  // Blocking submitters receive for themselves; one that came a moment ago will come again.
  is_passive_ = receiving_ || blocking_ > nested_ || (nested_ == 0 && in_flight_ == 0 && now - last_blocking_ < passive_ms);
  pollfd polled[2] = {{kick_fd_, POLLIN, 0}, {fd_, 0, 0}};
  if (!is_passive_) polled[1].events |= POLLIN;
  if (want_write_) polled[1].events |= POLLOUT;
  const int timeout = timeout_ms(now);
  lock.unlock();
  const int ready = poll(polled, polled[1].fd >= 0 ? 2 : 1, timeout);
  lock.lock();
  if (ready > 0 && polled[0].revents) {
    uint64_t count;
    is_kicked_ = false;
    while (read(kick_fd_, &count, sizeof count) > 0) {
    }
  }
  if (ready > 0 && polled[1].fd >= 0 && polled[1].fd == fd_) {
    if (polled[1].revents & POLLOUT) want_write_ = false;
    const bool failed = polled[1].revents & (POLLERR | POLLHUP | POLLNVAL);
    const bool is_ours = blocking_ <= nested_ && (polled[1].revents & POLLIN);
    if (!receiving_ && (is_ours || failed)) receive(lock, MSG_DONTWAIT);
  }
  run_finished(lock);
  now = now_ms();
  if (now >= next_tick_ || now >= next_keep_alive_) {
    next_tick_ = now + tick_ms;
    tick(now);
  }
  flush(lock);
  if (!files_.empty()) idle_since_ = now;
  return files_.empty() && now - idle_since_ >= linger_ms;
}

void Connection::connect_now(Lock& lock) {
  lock.unlock();
  const int fd = dial(socket_path_);
  if (fd >= 0) {
    const int room = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  }
  lock.lock();
  if (fd < 0) {
    const int64_t now = now_ms();
    connect_at_ = now + std::min<int64_t>(int64_t{first_pause_ms} << std::min(connect_failures_, 10u), longest_pause_ms);
    ++connect_failures_;
    if (is_denial(fd)) return connect_denied(now);
    denied_since_ = 0;
    return;
  }
  denied_since_ = 0;
  remember_socket(fd);
  fd_ = fd;
  connect_failures_ = 0;
  is_broken_ = want_write_ = false;
  held_ = 0;
  sink_ = nullptr;
  sink_got_ = drain_ = 0;
  if (waiters_) changed_.notify_all();
}

// The socket's rights keep us out, and no server that comes back will change that. Whoever has used a file goes on waiting: a server that
// is being started may not have given its socket its rights yet.
void Connection::connect_denied(int64_t now) {
  if (denied_since_ == 0) denied_since_ = now;
  for (const auto& file : files_) {
    if (!file->was_open && now - denied_since_ >= file->options.times.denied) fail_waiting(*file, -EACCES);
  }
}

// The socket is of no more use: whoever reads it finds its end, and takes the connection down.
void Connection::break_off() {
  is_broken_ = true;
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
  kick();
}

// Nobody reads. Everything that had no reply goes back to its file, to be sent again.
void Connection::disconnect(Lock& lock) {
  is_broken_ = true;
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
  receiving_ = true;
  while (sending_) {
    ++waiters_;
    changed_.wait(lock);
    --waiters_;
  }
  receiving_ = false;
  if (fd_ >= 0) close_socket(fd_);
  fd_ = -1;
  is_broken_ = want_write_ = false;
  held_ = 0;
  sink_ = nullptr;
  sink_got_ = drain_ = 0;
  out_first_ = out_last_ = nullptr;
  connect_at_ = now_ms() + first_pause_ms;
  for (Call& call : calls_) {
    if (call.file && call.in_flight && !call.request) {
      call.in_flight = false;
      --in_flight_;
      free_call(&call);
    }
  }
  for (size_t i = files_.size(); i-- > 0;) recall(*files_[i]);
  kick();
  if (waiters_) changed_.notify_all();
}

// Reads what is there (flags 0: waits for something) and takes it in. False where the connection ended.
bool Connection::receive(Lock& lock, int flags) {
  receiving_ = true;
  iovec iov[max_receive_iov + 1];
  int count = 0;
  uint64_t direct = 0;
  if (sink_) {
    const Request& request = *sink_->request;
    count = slice_iov(request.iov, request.iovcnt, sink_->position + sink_got_, sink_->length - sink_got_, iov, max_receive_iov);
    for (int i = 0; i < count; ++i) direct += iov[i].iov_len;
  }
  if (!sink_ || direct == sink_->length - sink_got_) iov[count++] = {buffer_.get() + held_, buffer_bytes - held_};
  const int fd = fd_;
  lock.unlock();
  msghdr message{};
  message.msg_iov = iov;
  message.msg_iovlen = static_cast<size_t>(count);
  const ssize_t got = recvmsg(fd, &message, flags);
  const int error = got < 0 ? errno : 0;
  lock.lock();
  bool is_good = got > 0;
  if (got < 0 && (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)) {
    receiving_ = false;
    if (waiters_) changed_.notify_all();
    return true;
  }
  if (is_good) {
    auto bytes = static_cast<uint64_t>(got);
    if (sink_) {
      const uint64_t mine = std::min(bytes, direct);
      sink_got_ += mine;
      bytes -= mine;
    }
    held_ += bytes;
    is_good = parse(lock);
  }
  receiving_ = false;
  if (!is_good) disconnect(lock);
  if (waiters_) changed_.notify_all();
  return is_good;
}

// Takes in what the buffer holds. False for what no nebd-server sends.
bool Connection::parse(Lock& lock) {
  size_t at = 0;
  for (;;) {
    if (sink_) {
      const uint64_t part = std::min<uint64_t>(held_ - at, sink_->length - sink_got_);
      if (part > 0) {
        copy_to_iov(sink_->request->iov, sink_->request->iovcnt, sink_->position + sink_got_, buffer_.get() + at, part);
        sink_got_ += part;
        at += part;
      }
      if (sink_got_ < sink_->length) break;
      Call* call = sink_;
      sink_ = nullptr;
      sink_got_ = 0;
      end_call(call, 0);
    }
    const uint64_t dropped = std::min<uint64_t>(drain_, held_ - at);
    drain_ -= dropped;
    at += dropped;
    if (held_ - at < prefix_bytes) break;
    Prefix prefix;
    if (!parse_prefix(std::span<const uint8_t, prefix_bytes>(buffer_.get() + at, prefix_bytes), prefix)) return false;
    if (held_ - at < prefix_bytes + prefix.meta) break;
    const uint8_t* meta_bytes = buffer_.get() + at + prefix_bytes;
    ReplyMeta meta;
    if (!parse_meta({meta_bytes, prefix.meta}, prefix, meta)) return false;
    const size_t whole = prefix_bytes + prefix.meta + meta.body;
    if (held_ - at < whole) break;
    at += whole;
    if (!take_reply(lock, meta, {meta_bytes + prefix.meta, meta.body})) return false;
  }
  std::memmove(buffer_.get(), buffer_.get() + at, held_ - at);
  held_ -= at;
  return true;
}

// False where the reply cannot be one.
bool Connection::take_reply(Lock& lock, const ReplyMeta& meta, std::span<const uint8_t> bytes) {
  const uint64_t slot = meta.correlation & ((1u << slot_bits) - 1);
  Call* call = slot < calls_.size() ? &calls_[slot] : nullptr;
  drain_ = meta.attachment;
  // Nobody's, or of a call that was given up: passed over.
  if (!call || !call->in_flight || call->generation != meta.correlation >> slot_bits) return true;
  // The sender may not have had the time to say that it is done; a reply to what was not sent is nobody's.
  while (!call->is_sent && sending_) {
    ++waiters_;
    changed_.wait(lock);
    --waiters_;
  }
  if (!call->is_sent) return false;
  ReplyBody body;
  if (meta.rpc_error == 0 && !parse_body(call->method, bytes, body)) return false;
  if (!call->request) {
    take_control_reply(call, body);
    return true;
  }
  if (meta.rpc_error != 0 || body.ret_code != 0) {
    refused(call);
    return true;
  }
  File& file = *call->file;
  if (call->method == Method::read) {
    if (meta.attachment != call->length) return false;
    drain_ = 0;
    sink_ = call;
    sink_got_ = 0;
    return true;
  }
  const bool had_waiting = !file.waiting.empty();
  end_call(call, 0);
  if (had_waiting) pump(file);
  return true;
}

}  // namespace cbd::block::nebd
