#include "curvebs/memory_nebd.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "nebd.pb.h"

namespace cbd::test {
namespace {

constexpr uint64_t piece = 1 << 20;

uint32_t get_u32(const uint8_t* from) {
  return uint32_t{from[0]} << 24 | uint32_t{from[1]} << 16 | uint32_t{from[2]} << 8 | from[3];
}
void put_u32(uint8_t* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

template <class Message>
bool decode(const pb_msgdesc_t* type, const uint8_t* bytes, size_t size, Message& out) {
  pb_istream_t stream = pb_istream_from_buffer(bytes, size);
  return pb_decode(&stream, type, &out);
}

template <class Message>
std::vector<uint8_t> encode(const pb_msgdesc_t* type, const Message& message) {
  std::vector<uint8_t> out(256);
  pb_ostream_t stream = pb_ostream_from_buffer(out.data(), out.size());
  if (!pb_encode(&stream, type, &message)) std::abort();
  out.resize(stream.bytes_written);
  return out;
}

}  // namespace

MemoryNebd::MemoryNebd(std::string path, uint64_t size, uint32_t block) : path_(std::move(path)), size_(size), block_(block) {}

MemoryNebd::~MemoryNebd() { stop(); }

void MemoryNebd::start() {
  unlink(path_.c_str());
  listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path_.c_str());
  if (bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listen_fd_, 64) != 0) std::abort();
  stopping_ = cutting_ = releasing_ = false;
  thread_ = std::thread([this] { run(); });
}

void MemoryNebd::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(wake_fd_, 1);
  thread_.join();
  close(listen_fd_);
  close(wake_fd_);
}

void MemoryNebd::disconnect() {
  cutting_ = true;
  eventfd_write(wake_fd_, 1);
}

void MemoryNebd::release() {
  releasing_ = true;
  eventfd_write(wake_fd_, 1);
}

void MemoryNebd::forget_fds() {
  std::lock_guard<std::mutex> guard(lock_);
  fds_.clear();
  next_fd_ += 100;
}

std::string MemoryNebd::crash() {
  std::lock_guard<std::mutex> guard(lock_);
  return crash_;
}

uint64_t MemoryNebd::requests(const std::string& method) {
  std::lock_guard<std::mutex> guard(lock_);
  return counts_[method];
}

std::vector<std::string> MemoryNebd::open_names() {
  std::lock_guard<std::mutex> guard(lock_);
  std::vector<std::string> names;
  for (const auto& [fd, name] : fds_) names.push_back(name);
  return names;
}

size_t MemoryNebd::held() {
  std::lock_guard<std::mutex> guard(lock_);
  return held_.size();
}

std::vector<uint8_t> MemoryNebd::data(uint64_t offset, uint64_t size) {
  std::lock_guard<std::mutex> guard(lock_);
  std::vector<uint8_t> out(size);
  copy_out(offset, size, out.data());
  return out;
}

void MemoryNebd::die(const std::string& why) {
  crash_ = why;
  stopping_ = true;
}

void MemoryNebd::run() {
  while (!stopping_) {
    std::vector<pollfd> polled{{listen_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    for (const auto& client : clients_) polled.push_back({client->fd, static_cast<short>(client->out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    poll(polled.data(), polled.size(), -1);
    if (polled[1].revents) {
      eventfd_t count;
      eventfd_read(wake_fd_, &count);
    }
    for (size_t i = 0; i < clients_.size(); ++i) {
      Client& client = *clients_[i];
      if (polled[i + 2].revents & POLLOUT) client.is_lost |= !write_to(client);
      if (polled[i + 2].revents & (POLLIN | POLLHUP | POLLERR)) client.is_lost |= !read_from(client);
      if (stopping_) break;
    }
    if (releasing_.exchange(false)) {
      std::lock_guard<std::mutex> guard(lock_);
      auto held = std::move(held_);
      held_.clear();
      for (auto it = held.rbegin(); it != held.rend(); ++it) {
        take(*it->client, it->frame.data(), it->frame.size(), true);
        it->client->is_lost |= !write_to(*it->client);
      }
    }
    if (cutting_.exchange(false)) {
      for (auto& client : clients_) client->is_lost = true;
    }
    for (size_t i = clients_.size(); i-- > 0;) {
      if (!clients_[i]->is_lost) continue;
      std::lock_guard<std::mutex> guard(lock_);
      std::erase_if(held_, [&](const Held& held) { return held.client == clients_[i].get(); });
      close(clients_[i]->fd);
      clients_.erase(clients_.begin() + static_cast<long>(i));
    }
    if (polled[0].revents & POLLIN) {
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) {
        ++connections_;
        clients_.push_back(std::make_unique<Client>());
        clients_.back()->fd = fd;
      }
    }
  }
  unlink(path_.c_str());
  for (auto& client : clients_) close(client->fd);
  clients_.clear();
  std::lock_guard<std::mutex> guard(lock_);
  held_.clear();
}

bool MemoryNebd::read_from(Client& client) {
  if (client.in.size() - client.used < 256 * 1024) client.in.resize(std::max<size_t>(2 * client.in.size(), 512 * 1024));
  const ssize_t got = read(client.fd, client.in.data() + client.used, client.in.size() - client.used);
  if (got == 0) return false;
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  client.used += static_cast<size_t>(got);
  size_t at = 0;
  {
    std::lock_guard<std::mutex> guard(lock_);
    while (client.used - at >= 12) {
      const uint8_t* frame = client.in.data() + at;
      if (memcmp(frame, "PRPC", 4) != 0 || get_u32(frame + 4) > (64u << 20)) return false;
      const size_t bytes = 12 + size_t{get_u32(frame + 4)};
      if (client.used - at < bytes) break;
      take(client, frame, bytes, false);
      at += bytes;
      if (client.is_lost || stopping_) return false;
    }
  }
  memmove(client.in.data(), client.in.data() + at, client.used - at);
  client.used -= at;
  return write_to(client);
}

bool MemoryNebd::write_to(Client& client) {
  while (client.sent < client.out.size()) {
    const ssize_t n = send(client.fd, client.out.data() + client.sent, client.out.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN;
    client.sent += static_cast<size_t>(n);
  }
  client.out.clear();
  client.sent = 0;
  return true;
}

void MemoryNebd::reply(Client& client, uint64_t correlation, const std::vector<uint8_t>& body, uint64_t data_offset, uint64_t data_size) {
  nebd_RpcMeta meta = nebd_RpcMeta_init_zero;
  meta.has_response = meta.response.has_error_code = meta.has_compress_type = meta.has_correlation_id = true;
  meta.correlation_id = static_cast<int64_t>(correlation);
  meta.has_attachment_size = data_size > 0;
  meta.attachment_size = static_cast<int32_t>(data_size);
  const auto meta_bytes = encode(nebd_RpcMeta_fields, meta);
  const size_t begin = client.out.size();
  client.out.resize(begin + 12 + meta_bytes.size() + body.size() + data_size);
  uint8_t* to = client.out.data() + begin;
  memcpy(to, "PRPC", 4);
  put_u32(to + 4, static_cast<uint32_t>(meta_bytes.size() + body.size() + data_size));
  put_u32(to + 8, static_cast<uint32_t>(meta_bytes.size()));
  memcpy(to + 12, meta_bytes.data(), meta_bytes.size());
  memcpy(to + 12 + meta_bytes.size(), body.data(), body.size());
  if (data_size > 0) copy_out(data_offset, data_size, to + 12 + meta_bytes.size() + body.size());
  if (spoil) {
    std::vector<uint8_t> frame(client.out.begin() + static_cast<long>(begin), client.out.end());
    spoil(frame);
    client.out.resize(begin);
    client.out.insert(client.out.end(), frame.begin(), frame.end());
  }
}

void MemoryNebd::take(Client& client, const uint8_t* frame, size_t bytes, bool is_released) {
  const size_t meta_size = get_u32(frame + 8);
  nebd_RpcMeta meta;
  if (12 + meta_size > bytes || !decode(nebd_RpcMeta_fields, frame + 12, meta_size, meta)) return void(client.is_lost = true);
  const auto data_size = static_cast<size_t>(meta.attachment_size);
  const uint8_t* body = frame + 12 + meta_size;
  const size_t body_size = bytes - 12 - meta_size - data_size;
  const auto correlation = static_cast<uint64_t>(meta.correlation_id);
  Seen seen;
  seen.method = meta.request.method_name;
  seen.count = ++count_;
  ++counts_[seen.method];
  const bool is_io = seen.method == "Read" || seen.method == "Write" || seen.method == "Discard";
  nebd_OpenFileRequest open;
  if (is_io) {
    nebd_IoRequest io;
    if (!decode(nebd_IoRequest_fields, body, body_size, io)) return die("an unreadable I/O");
    seen.fd = io.fd, seen.offset = io.offset, seen.size = io.size;
  } else if (seen.method == "OpenFile") {
    if (!decode(nebd_OpenFileRequest_fields, body, body_size, open)) return die("an unreadable OpenFile");
    seen.name = open.file_name;
  } else if (seen.method == "KeepAlive") {
    nebd_HeartbeatRequest heartbeat;
    if (!decode(nebd_HeartbeatRequest_fields, body, body_size, heartbeat)) return die("an unreadable KeepAlive");
    seen.fd = heartbeat.info[0].fd, seen.name = heartbeat.info[0].name;
  } else {
    nebd_FdRequest plain;
    if (!decode(nebd_FdRequest_fields, body, body_size, plain)) return die("an unreadable request");
    seen.fd = plain.fd;
  }
  if (is_io) {
    if (seen.size == 0) return die("an empty " + seen.method);
    if (seen.method != "Discard" && (seen.offset % block_ || seen.size % block_)) return die("an unaligned " + seen.method);
    if (seen.offset + seen.size > size_) return die("a " + seen.method + " past the end");
    if (seen.method == "Write" && data_size != seen.size) return die("a Write with other data than it says");
  }
  Do what = decide && !is_released ? decide(seen) : Do::answer;
  if (what == Do::disconnect) return void(client.is_lost = true);
  if (what == Do::ignore) return;
  if (what == Do::hold) return held_.push_back({&client, std::vector<uint8_t>(frame, frame + bytes)});
  nebd_PlainResponse plain{0};
  if (what == Do::refuse || (seen.method != "OpenFile" && seen.method != "CloseFile" && !fds_.count(seen.fd))) {
    plain.ret_code = -1;
    if (seen.method == "OpenFile") {
      nebd_OpenFileResponse out{-1, false, 0};
      return reply(client, correlation, encode(nebd_OpenFileResponse_fields, out), 0, 0);
    }
    return reply(client, correlation, encode(nebd_PlainResponse_fields, plain), 0, 0);
  }
  if (seen.method == "OpenFile") {
    auto known = std::find_if(fds_.begin(), fds_.end(), [&](const auto& each) { return each.second == seen.name; });
    const int32_t fd = known != fds_.end() ? known->first : next_fd_++;
    fds_[fd] = seen.name;
    nebd_OpenFileResponse out{0, true, fd};
    if (what == Do::answer) reply(client, correlation, encode(nebd_OpenFileResponse_fields, out), 0, 0);
    return;
  }
  if (seen.method == "CloseFile") fds_.erase(seen.fd);
  if (seen.method == "GetInfo") {
    nebd_GetInfoResponse out = nebd_GetInfoResponse_init_zero;
    out.has_info = out.info.has_block_size = true;
    out.info.size = size_;
    out.info.block_size = block_;
    if (what == Do::answer) reply(client, correlation, encode(nebd_GetInfoResponse_fields, out), 0, 0);
    return;
  }
  if (seen.method == "Write" && keeps_data) copy_in(seen.offset, seen.size, frame + bytes - data_size);
  if (what == Do::carry_out) return;
  reply(client, correlation, encode(nebd_PlainResponse_fields, plain), seen.offset, seen.method == "Read" ? seen.size : 0);
}

uint8_t* MemoryNebd::block_at(uint64_t offset, bool make) {
  auto& found = pieces_[offset / piece];
  if (!found && make) found = std::make_unique<uint8_t[]>(piece);
  return found.get();
}

void MemoryNebd::copy_out(uint64_t offset, uint64_t size, uint8_t* to) {
  if (!keeps_data) return;
  for (uint64_t at = 0; at < size;) {
    const uint64_t within = (offset + at) % piece, n = std::min(size - at, piece - within);
    const uint8_t* from = block_at(offset + at, false);
    if (from) {
      memcpy(to + at, from + within, n);
    } else {
      memset(to + at, 0, n);
    }
    at += n;
  }
}

void MemoryNebd::copy_in(uint64_t offset, uint64_t size, const uint8_t* from) {
  for (uint64_t at = 0; at < size;) {
    const uint64_t within = (offset + at) % piece, n = std::min(size - at, piece - within);
    memcpy(block_at(offset + at, true) + within, from + at, n);
    at += n;
  }
}

}  // namespace cbd::test
