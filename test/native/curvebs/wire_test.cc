// What may be sent, and that it is what libnebd sends.
#include "block/nebd_wire.h"

#include <pb_decode.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "nebd.pb.h"
#include "tap.h"

using namespace cbd::block::nebd;

namespace {

const Geometry ten_gib{10ull << 30, 4096};

size_t io(Method method, uint64_t offset, uint64_t length, Geometry file = ten_gib, int32_t fd = 3) {
  std::array<uint8_t, call_head_bytes> out;
  return build_io(method, fd, 1 << 24, offset, length, file, out);
}

std::vector<uint8_t> capture(const std::string& name) {
  std::ifstream file(std::string(CBD_CAPTURES) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

uint32_t get_u32(const uint8_t* from) {
  return uint32_t{from[0]} << 24 | uint32_t{from[1]} << 16 | uint32_t{from[2]} << 8 | from[3];
}

// The correlation id in a frame, so that ours can have the same.
uint64_t correlation_of(const std::vector<uint8_t>& frame) {
  nebd_RpcMeta meta = nebd_RpcMeta_init_zero;
  pb_istream_t stream = pb_istream_from_buffer(frame.data() + 12, get_u32(frame.data() + 8));
  return pb_decode(&stream, nebd_RpcMeta_fields, &meta) ? static_cast<uint64_t>(meta.correlation_id) : 0;
}

// Takes the log id (a counter of libnebd's, the low half of the correlation id with us) out of a frame's meta.
std::vector<uint8_t> without_log_id(std::vector<uint8_t> frame) {
  if (frame.size() < 14) return {};
  // The meta begins with field 1, a message whose last field is the log id.
  const size_t end = 12 + 2 + frame[13];
  size_t at = 14;
  while (at < end && frame[at] != 0x18) at += 2 + frame[at + 1];
  frame.erase(frame.begin() + static_cast<long>(at), frame.begin() + static_cast<long>(end));
  const auto removed = static_cast<uint32_t>(end - at);
  frame[13] = static_cast<uint8_t>(frame[13] - removed);
  for (size_t field : {4, 8}) {
    const uint32_t value = get_u32(frame.data() + field) - removed;
    for (size_t i = 0; i < 4; ++i) frame[field + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
  }
  return frame;
}

template <class Build>
void compare(const std::string& name, Build build) {
  std::vector<uint8_t> recorded = capture(name);
  if (!tap::check(recorded.size() > 12, __FILE__, __LINE__, name + " is not there")) return;
  std::array<uint8_t, call_head_bytes> out;
  const size_t bytes = build(correlation_of(recorded), std::span<uint8_t>(out));
  CHECK(bytes > 0);
  std::vector<uint8_t> ours(out.begin(), out.begin() + static_cast<long>(bytes));
  std::vector<uint8_t> head = without_log_id(recorded);
  ours = without_log_id(ours);
  if (head.size() > ours.size()) head.resize(ours.size());  // the data that follows a Write's head
  if (!tap::check(ours == head, __FILE__, __LINE__, name + " differs")) {
    for (size_t i = 0; i < ours.size() && i < head.size(); ++i) {
      if (ours[i] != head[i]) return void(std::printf("# first at byte %zu: %02x, recorded %02x\n", i, ours[i], head[i]));
    }
  }
}

}  // namespace

int main() {
  tap::test("nothing unaligned can be built", [] {
    for (Method method : {Method::read, Method::write, Method::discard}) {
      CHECK_EQ(io(method, 512, 4096), 0u);
      CHECK_EQ(io(method, 0, 512), 0u);
      CHECK_EQ(io(method, 1, 4096), 0u);
      CHECK_EQ(io(method, 4096, 4097), 0u);
      CHECK_EQ(io(method, 256, 512, {10ull << 30, 512}), 0u);
      CHECK(io(method, 512, 512, {10ull << 30, 512}) > 0);
      CHECK(io(method, 4096, 8192) > 0);
    }
  });
  tap::test("nothing empty, outside the volume, too large or without an fd can be built", [] {
    for (Method method : {Method::read, Method::write, Method::discard}) {
      CHECK_EQ(io(method, 0, 0), 0u);
      CHECK_EQ(io(method, ten_gib.size, 4096), 0u);
      CHECK_EQ(io(method, ten_gib.size - 4096, 8192), 0u);
      CHECK_EQ(io(method, UINT64_MAX - 4095, 8192), 0u);
      CHECK_EQ(io(method, 4096, UINT64_MAX - 4095), 0u);
      CHECK_EQ(io(method, 0, 4096, ten_gib, -1), 0u);
      CHECK_EQ(io(method, 0, 4096, {0, 4096}), 0u);
      CHECK_EQ(io(method, 0, 4096, {10ull << 30, 0}), 0u);
      CHECK_EQ(io(method, 0, 4096, {10ull << 30, 1}), 0u);
      CHECK_EQ(io(method, 0, 4096, {10ull << 30, 3000}), 0u);
      CHECK(io(method, ten_gib.size - 4096, 4096) > 0);
    }
    CHECK_EQ(io(Method::read, 0, max_data + 4096), 0u);
    CHECK_EQ(io(Method::write, 0, max_data + 4096), 0u);
    CHECK(io(Method::write, 0, max_data) > 0);
    for (Method method : {Method::open_file, Method::close_file, Method::get_info, Method::resize_file, Method::keep_alive}) CHECK_EQ(io(method, 0, 4096), 0u);
  });
  tap::test("a million random ranges: what is built is whole blocks inside the volume, and nothing of that is refused", [] {
    std::mt19937_64 random(7);
    std::array<uint8_t, io_head_bytes> out;
    for (int i = 0; i < 1000000; ++i) {
      const Geometry file{(random() % 8) << (random() % 34), i % 3 ? 4096u : 512u};
      const uint64_t offset = (random() % 3 ? (random() % 4096) << 12 : random()) >> (random() % 20);
      const uint64_t length = (random() % 64 << 9) + (random() % 4 ? 0 : random() % 4096);
      const Method method = random() % 2 ? Method::read : Method::write;
      const bool built = build_io(method, 1, 99, offset, length, file, out) > 0;
      const bool fits = length > 0 && length <= max_data && offset % file.block == 0 && length % file.block == 0 &&
                        offset < file.size && length <= file.size - offset;
      if (!tap::check(built == fits, __FILE__, __LINE__, "offset " + std::to_string(offset) + " length " + std::to_string(length))) break;
    }
  });
  tap::test("names that no server takes are not sent", [] {
    std::array<uint8_t, call_head_bytes> out;
    CHECK_EQ(build_open("", 1, out), 0u);
    CHECK_EQ(build_open(std::string(max_name + 1, 'x'), 1, out), 0u);
    CHECK_EQ(build_open(std::string("cbd:a\0b", 7), 1, out), 0u);
    CHECK(build_open(std::string(max_name, 'x'), 1, out) > 0);
    CHECK(build_keep_alive(1, std::string(max_name, 'x'), 4194304, UINT64_MAX, out) > 0);
  });
  tap::test("frames are byte for byte what libnebd sent", [] {
    const std::string name = "cbd:pool//pool/vol2_user1_:/etc/curve/vol_conf/client.conf";
    compare("libnebd/001_OpenFile.req.bin", [&](uint64_t id, std::span<uint8_t> out) { return build_open(name, id, out); });
    for (const char* file : {"libnebd/002_GetInfo.req.bin", "libnebd/016_GetInfo.req.bin"}) compare(file, [](uint64_t id, std::span<uint8_t> out) { return build_fd_call(Method::get_info, 2, id, out); });
    compare("libnebd/005_Read.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::read, 2, id, 5368709120, 4096, ten_gib, out); });
    compare("libnebd/006_Write.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::write, 2, id, 0, 4096, ten_gib, out); });
    compare("libnebd/007_Read.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::read, 2, id, 0, 4096, ten_gib, out); });
    compare("libnebd/009_Discard.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::discard, 2, id, 0, 4096, ten_gib, out); });
    compare("libnebd/012_Read.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::read, 2, id, 8388608, 4096, ten_gib, out); });
    compare("libnebd/013_Write.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_io(Method::write, 2, id, 1048576, 1048576, ten_gib, out); });
    compare("libnebd/015_ResizeFile.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_resize(2, 11811160064, id, out); });
    compare("libnebd/019_CloseFile.req.bin", [](uint64_t id, std::span<uint8_t> out) { return build_fd_call(Method::close_file, 2, id, out); });
  });
  tap::test("KeepAlive is libnebd's but for its version's text", [] {
    const std::vector<uint8_t> recorded = capture("libnebd/017_KeepAlive.req.bin");
    std::array<uint8_t, call_head_bytes> out;
    const size_t bytes = build_keep_alive(2, "cbd:pool//pool/vol2_user1_:/etc/curve/vol_conf/client.conf", 13682, correlation_of(recorded), out);
    auto heartbeat = [](const uint8_t* frame, size_t size) {
      nebd_HeartbeatRequest body = nebd_HeartbeatRequest_init_zero;
      const size_t meta = get_u32(frame + 8);
      pb_istream_t stream = pb_istream_from_buffer(frame + 12 + meta, size - 12 - meta);
      CHECK(pb_decode(&stream, nebd_HeartbeatRequest_fields, &body));
      return body;
    };
    const auto ours = heartbeat(out.data(), bytes), theirs = heartbeat(recorded.data(), recorded.size());
    CHECK_EQ(ours.pid, theirs.pid);
    CHECK_EQ(ours.info_count, theirs.info_count);
    CHECK_EQ(ours.info[0].fd, theirs.info[0].fd);
    CHECK_EQ(std::string(ours.info[0].name), std::string(theirs.info[0].name));
  });
  tap::test("recorded replies are understood", [] {
    auto body = [](const std::string& name, Method method) {
      const std::vector<uint8_t> frame = capture(name);
      Prefix prefix;
      ReplyMeta meta;
      ReplyBody out;
      CHECK(parse_prefix(std::span<const uint8_t, 12>(frame.data(), 12), prefix));
      CHECK(parse_meta({frame.data() + 12, prefix.meta}, prefix, meta));
      CHECK(parse_body(method, {frame.data() + 12 + prefix.meta, meta.body}, out));
      return out;
    };
    CHECK_EQ(body("libnebd/001_OpenFile.resp.bin", Method::open_file).fd, 2);
    CHECK_EQ(body("libnebd/002_GetInfo.resp.bin", Method::get_info).info.size, 10737418240u);
    CHECK_EQ(body("block512/02_getinfo.resp.bin", Method::get_info).info.block, 512u);
    CHECK_EQ(body("libnebd/014_Read.resp.bin", Method::read).ret_code, 0);
    CHECK_EQ(body("errors/01_open-nonexist.resp.bin", Method::open_file).ret_code, -1);
    CHECK_EQ(body("errors/21_write-badfd.resp.bin", Method::write).ret_code, -1);
  });
  tap::test("replies that are none are refused", [] {
    Prefix prefix;
    std::array<uint8_t, 12> bytes{'P', 'R', 'P', 'C', 0, 0, 0, 10, 0, 0, 0, 11};
    CHECK(!parse_prefix(bytes, prefix));
    bytes = {'P', 'R', 'P', 'C', 0, 0, 0, 10, 0, 0, 0, 0};
    CHECK(!parse_prefix(bytes, prefix));
    bytes = {'P', 'R', 'P', 'C', 0x7f, 0, 0, 0, 0, 0, 0, 9};
    CHECK(!parse_prefix(bytes, prefix));
    bytes = {'H', 'T', 'T', 'P', 0, 0, 0, 10, 0, 0, 0, 9};
    CHECK(!parse_prefix(bytes, prefix));
    ReplyMeta meta;
    const uint8_t attachment_too_long[] = {0x12, 0x02, 0x08, 0x00, 0x20, 0x01, 0x28, 0x7f};
    CHECK(!parse_meta(attachment_too_long, {20, 8}, meta));
    const uint8_t a_request[] = {0x0a, 0x06, 0x0a, 0x01, 'a', 0x12, 0x01, 'b', 0x20, 0x01};
    CHECK(!parse_meta(a_request, {10, 10}, meta));
    ReplyBody body;
    CHECK(!parse_body(Method::open_file, std::span<const uint8_t>(attachment_too_long, 0), body));
    const uint8_t open_without_fd[] = {0x08, 0x00};
    CHECK(!parse_body(Method::open_file, open_without_fd, body));
  });
  return tap::finish();
}
