// Peer credentials and SCM_RIGHTS on a unix socket. Errors become JavaScript errors with Node's `code` and `errno`.
#include "addon/sockets.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "addon/error.h"

namespace cbd::addon {
namespace {

constexpr size_t max_descriptors = 253;  // SCM_MAX_FD, include/net/scm.h of Linux

Napi::Value peer_credentials(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = -1;
  if (info.Length() < 1 || !take_fd(info[0], fd)) return fail(env, "peerCredentials", EBADF);
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return fail(env, "getsockopt", errno);
  // A socket that is not of the unix family, or has no peer, answers with pid 0 and uid -1: nobody to trust.
  if (peer.pid == 0 && peer.uid == static_cast<uid_t>(-1)) return fail(env, "getsockopt", ENOTCONN);
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, peer.pid));
  result.Set("uid", Napi::Number::New(env, peer.uid));
  result.Set("gid", Napi::Number::New(env, peer.gid));
  return result;
}

Napi::Value send_descriptors(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int socket_fd = -1;
  if (info.Length() < 2 || !take_fd(info[0], socket_fd)) return fail(env, "sendDescriptors", EBADF);
  if (!info[1].IsArray()) return fail(env, "sendDescriptors", EINVAL);
  Napi::Array list = info[1].As<Napi::Array>();
  if (list.Length() == 0 || list.Length() > max_descriptors) return fail(env, "sendDescriptors", EINVAL);
  std::vector<int> fds(list.Length());
  for (uint32_t at = 0; at < list.Length(); ++at) {
    if (!take_fd(list.Get(at), fds[at])) return fail(env, "sendDescriptors", EBADF);
  }

  char blank = ' ';
  iovec data{&blank, 1};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));

  for (;;) {
    ssize_t sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == 1) return Napi::Boolean::New(env, true);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Napi::Boolean::New(env, false);
    return fail(env, "sendmsg", errno);
  }
}

}  // namespace

void export_sockets(Napi::Env env, Napi::Object exports) {
  exports.Set("peerCredentials", Napi::Function::New(env, peer_credentials, "peerCredentials"));
  exports.Set("sendDescriptors", Napi::Function::New(env, send_descriptors, "sendDescriptors"));
}

}  // namespace cbd::addon
