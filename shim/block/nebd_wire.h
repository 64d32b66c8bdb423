// NEBD's frames as bytes: requests are built here, replies taken apart. Knows no socket and no thread.
//
// Everything that leaves for a nebd-server is built by this file, and build_io() is the one place that decides whether an
// I/O may leave: an unaligned one kills the server with every guest of the host, an empty one hangs its file for good, one
// past the end wedges it (shared facts: CURVEBS.md, rules 1 to 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cbd::block::nebd {

enum class Method : uint8_t { open_file, close_file, get_info, resize_file, read, write, discard, keep_alive };

// What a file is known to hold: bytes, and the unit of offsets and lengths.
struct Geometry {
  uint64_t size = 0;
  uint32_t block = 0;
};

// A request has at most this many bytes of data: large ones are slow on the server, and over 60 MiB it drops the connection.
constexpr uint64_t max_data = 4u << 20;
// A frame's head (all of it but the data) fits into this many bytes, for I/O and for calls with a name in them.
constexpr size_t io_head_bytes = 128;
constexpr size_t call_head_bytes = 1280;
// The longest name; longer ones are refused.
constexpr size_t max_name = 1000;

// The head of a Read, Write (whose `length` bytes of data follow it) or Discard. Returns its bytes, or 0 for anything that
// must not be sent: not a whole number of blocks, empty, outside the file, too long, a negative fd, an unknown geometry.
size_t build_io(Method method, int32_t fd, uint64_t correlation, uint64_t offset, uint64_t length, const Geometry& file,
                std::span<uint8_t> out);
// The others. 0 where a name is empty, too long, or does not fit.
size_t build_open(const std::string& name, uint64_t correlation, std::span<uint8_t> out);
size_t build_fd_call(Method method, int32_t fd, uint64_t correlation, std::span<uint8_t> out);  // close_file, get_info
size_t build_resize(int32_t fd, uint64_t size, uint64_t correlation, std::span<uint8_t> out);
size_t build_keep_alive(int32_t fd, const std::string& name, int32_t pid, uint64_t correlation, std::span<uint8_t> out);

constexpr size_t prefix_bytes = 12;  // "PRPC" and two lengths
// A reply whose meta or body is longer than this is no reply of NEBD's.
constexpr size_t max_part = 16 * 1024;

struct Prefix {
  uint32_t rest = 0;  // bytes behind the prefix
  uint32_t meta = 0;  // how many of them are the meta
};
// False for what is no frame: the stream is lost.
bool parse_prefix(std::span<const uint8_t, prefix_bytes> bytes, Prefix& out);

struct ReplyMeta {
  uint64_t correlation = 0;
  int32_t rpc_error = 0;    // brpc's own: 0, 1002 (unknown method), 1003 (unreadable)
  uint32_t attachment = 0;  // bytes of data at the end
  uint32_t body = 0;        // bytes of the body between
};
bool parse_meta(std::span<const uint8_t> bytes, const Prefix& prefix, ReplyMeta& out);

struct ReplyBody {
  int32_t ret_code = -1;
  int32_t fd = -1;  // open_file
  Geometry info;    // get_info; block is 4096 where an old server does not say
};
bool parse_body(Method method, std::span<const uint8_t> bytes, ReplyBody& out);

}  // namespace cbd::block::nebd
