#include "curvebs/bare_client.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cbd::test {
namespace {

namespace nebd = block::nebd;

constexpr uint64_t large = 1 << 20;
constexpr uint64_t small = 4096;
constexpr uint64_t used_bytes = 1 << 30;  // of the volume
constexpr int32_t fd_of_server = 1;       // what the memory server gives the first that opens

using Head = std::array<uint8_t, 512>;

}  // namespace

BareClient::BareClient(const std::string& path, uint64_t volume_bytes) : file_{volume_bytes, 4096}, in_(64 * 1024) {
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
  const int room = 4 << 20;
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  Head head;
  send(head.data(), nebd::build_open("cbd:bare//pool/disk_user1_:", 1, head), nullptr, 0);
  take_reply();
}

BareClient::~BareClient() { close(fd_); }

void BareClient::one_by_one(nebd::Method method, int count) {
  const std::vector<uint8_t> data(method == nebd::Method::write ? small : 0, 1);
  for (int i = 0; i < count; ++i) {
    Head head;
    send(head.data(), nebd::build_io(method, fd_of_server, 2, 0, small, file_, head), data.data(), data.size());
    take_reply();
  }
}

void BareClient::write_large(int count, int depth) { write_large(count, depth, nullptr); }

void BareClient::copy_and_write_large(int count, int depth) {
  std::vector<uint8_t> copy(large);
  write_large(count, depth, &copy);
}

void BareClient::write_large(int count, int depth, std::vector<uint8_t>* copy) {
  const std::vector<std::vector<uint8_t>> buffers(static_cast<size_t>(depth), std::vector<uint8_t>(large, 1));
  int under_way = 0;
  for (int i = 0; i < count; ++i) {
    const uint8_t* data = buffers[static_cast<size_t>(i % depth)].data();
    if (copy) data = static_cast<uint8_t*>(std::memcpy(copy->data(), data, large));
    Head head;
    send(head.data(), nebd::build_io(nebd::Method::write, fd_of_server, 2, at_ % used_bytes, large, file_, head), data, large);
    at_ += large;
    if (++under_way < depth) continue;
    take_reply();
    --under_way;
  }
  for (; under_way > 0; --under_way) take_reply();
}

void BareClient::send(const uint8_t* head, size_t head_bytes, const uint8_t* data, size_t data_bytes) {
  if (head_bytes == 0) std::abort();
  iovec pieces[2] = {{const_cast<uint8_t*>(head), head_bytes}, {const_cast<uint8_t*>(data), data_bytes}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = data_bytes > 0 ? 2 : 1;
  // All at once, unless the process is stopped meanwhile.
  for (size_t left = head_bytes + data_bytes;;) {
    const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent <= 0) std::abort();
    left -= static_cast<size_t>(sent);
    if (left == 0) return;
    for (auto part = static_cast<size_t>(sent); part > 0;) {
      const size_t here = std::min(part, message.msg_iov->iov_len);
      message.msg_iov->iov_base = static_cast<uint8_t*>(message.msg_iov->iov_base) + here;
      message.msg_iov->iov_len -= here;
      part -= here;
      if (message.msg_iov->iov_len == 0) ++message.msg_iov, --message.msg_iovlen;
    }
  }
}

void BareClient::take_reply() {
  for (;;) {
    if (held_ >= nebd::prefix_bytes) {
      const size_t whole = nebd::prefix_bytes + (size_t{in_[4]} << 24 | size_t{in_[5]} << 16 | size_t{in_[6]} << 8 | in_[7]);
      if (held_ >= whole) {
        std::memmove(in_.data(), in_.data() + whole, held_ - whole);
        held_ -= whole;
        return;
      }
    }
    const ssize_t got = read(fd_, in_.data() + held_, in_.size() - held_);
    if (got <= 0) std::abort();
    held_ += static_cast<size_t>(got);
  }
}

}  // namespace cbd::test
