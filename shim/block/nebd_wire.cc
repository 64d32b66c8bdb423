// Frames by nanopb. Field for field what libnebd sends (test/native/curvebs compares).
#include "block/nebd_wire.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include <cstring>

#include "nebd.pb.h"

namespace cbd::block::nebd {
namespace {

constexpr char file_service[] = "nebd.client.NebdFileService";
constexpr char heartbeat_service[] = "nebd.client.NebdHeartbeatService";
constexpr char version[] = "2.7.0-cbd2rbd";
constexpr uint32_t max_frame = 64u << 20;

const char* name_of(Method method) {
  switch (method) {
    case Method::open_file: return "OpenFile";
    case Method::close_file: return "CloseFile";
    case Method::get_info: return "GetInfo";
    case Method::resize_file: return "ResizeFile";
    case Method::read: return "Read";
    case Method::write: return "Write";
    case Method::discard: return "Discard";
    case Method::keep_alive: return "KeepAlive";
  }
  return "";
}

void put_u32(uint8_t* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

uint32_t get_u32(const uint8_t* from) {
  return uint32_t{from[0]} << 24 | uint32_t{from[1]} << 16 | uint32_t{from[2]} << 8 | from[3];
}

// Prefix, meta and body; `data` bytes will follow as the attachment. 0 where it does not fit.
size_t build(Method method, uint64_t correlation, const pb_msgdesc_t* type, const void* body, uint32_t data, std::span<uint8_t> out) {
  if (out.size() <= prefix_bytes) return 0;
  nebd_RpcMeta meta = nebd_RpcMeta_init_zero;
  meta.has_request = true;
  std::strcpy(meta.request.service_name, method == Method::keep_alive ? heartbeat_service : file_service);
  std::strcpy(meta.request.method_name, name_of(method));
  meta.request.has_log_id = true;
  meta.request.log_id = static_cast<int64_t>(correlation & 0xffffffff);
  meta.has_compress_type = true;
  meta.has_correlation_id = true;
  meta.correlation_id = static_cast<int64_t>(correlation);
  meta.has_attachment_size = data > 0;
  meta.attachment_size = static_cast<int32_t>(data);
  pb_ostream_t stream = pb_ostream_from_buffer(out.data() + prefix_bytes, out.size() - prefix_bytes);
  if (!pb_encode(&stream, nebd_RpcMeta_fields, &meta)) return 0;
  const auto meta_bytes = static_cast<uint32_t>(stream.bytes_written);
  if (!pb_encode(&stream, type, body)) return 0;
  const auto head = static_cast<uint32_t>(stream.bytes_written);
  std::memcpy(out.data(), "PRPC", 4);
  put_u32(out.data() + 4, head + data);
  put_u32(out.data() + 8, meta_bytes);
  return prefix_bytes + head;
}

// Whether an I/O of that shape may ever be sent to that file.
bool may_leave(Method method, int32_t fd, uint64_t offset, uint64_t length, const Geometry& file) {
  if (fd < 0 || length == 0 || file.block == 0 || file.size == 0) return false;
  if (file.block < 512 || (file.block & (file.block - 1)) != 0) return false;
  if (offset % file.block != 0 || length % file.block != 0) return false;
  if (offset >= file.size || length > file.size - offset) return false;
  if (method == Method::discard) return true;
  return (method == Method::read || method == Method::write) && length <= max_data;
}

bool decode(std::span<const uint8_t> bytes, const pb_msgdesc_t* type, void* out) {
  pb_istream_t stream = pb_istream_from_buffer(bytes.data(), bytes.size());
  return pb_decode(&stream, type, out);
}

}  // namespace

size_t build_io(Method method, int32_t fd, uint64_t correlation, uint64_t offset, uint64_t length, const Geometry& file,
                std::span<uint8_t> out) {
  if (!may_leave(method, fd, offset, length, file)) return 0;
  const nebd_IoRequest body{fd, offset, length};
  return build(method, correlation, nebd_IoRequest_fields, &body, method == Method::write ? static_cast<uint32_t>(length) : 0, out);
}

size_t build_open(const std::string& name, uint64_t correlation, std::span<uint8_t> out) {
  if (name.empty() || name.size() > max_name || name.find('\0') != std::string::npos) return 0;
  nebd_OpenFileRequest body;
  std::memcpy(body.file_name, name.c_str(), name.size() + 1);
  return build(Method::open_file, correlation, nebd_OpenFileRequest_fields, &body, 0, out);
}

size_t build_fd_call(Method method, int32_t fd, uint64_t correlation, std::span<uint8_t> out) {
  if (fd < 0 || (method != Method::close_file && method != Method::get_info)) return 0;
  const nebd_FdRequest body{fd};
  return build(method, correlation, nebd_FdRequest_fields, &body, 0, out);
}

size_t build_resize(int32_t fd, uint64_t size, uint64_t correlation, std::span<uint8_t> out) {
  if (fd < 0) return 0;
  const nebd_ResizeRequest body{fd, size};
  return build(Method::resize_file, correlation, nebd_ResizeRequest_fields, &body, 0, out);
}

size_t build_keep_alive(int32_t fd, const std::string& name, int32_t pid, uint64_t correlation, std::span<uint8_t> out) {
  if (fd < 0 || name.empty() || name.size() > max_name) return 0;
  nebd_HeartbeatRequest body = nebd_HeartbeatRequest_init_zero;
  body.pid = pid;
  std::strcpy(body.version, version);
  body.info_count = 1;
  body.info[0].fd = fd;
  std::memcpy(body.info[0].name, name.c_str(), name.size() + 1);
  return build(Method::keep_alive, correlation, nebd_HeartbeatRequest_fields, &body, 0, out);
}

bool parse_prefix(std::span<const uint8_t, prefix_bytes> bytes, Prefix& out) {
  if (std::memcmp(bytes.data(), "PRPC", 4) != 0) return false;
  out.rest = get_u32(bytes.data() + 4);
  out.meta = get_u32(bytes.data() + 8);
  return out.rest <= max_frame && out.meta > 0 && out.meta <= max_part && out.meta <= out.rest;
}

bool parse_meta(std::span<const uint8_t> bytes, const Prefix& prefix, ReplyMeta& out) {
  nebd_RpcMeta meta = nebd_RpcMeta_init_zero;
  if (!decode(bytes, nebd_RpcMeta_fields, &meta)) return false;
  const uint32_t behind = prefix.rest - prefix.meta;
  if (!meta.has_correlation_id || meta.has_request || (meta.has_compress_type && meta.compress_type != 0)) return false;
  if (meta.has_attachment_size && (meta.attachment_size < 0 || static_cast<uint32_t>(meta.attachment_size) > behind)) return false;
  out.correlation = static_cast<uint64_t>(meta.correlation_id);
  out.rpc_error = meta.has_response && meta.response.has_error_code ? meta.response.error_code : 0;
  out.attachment = meta.has_attachment_size ? static_cast<uint32_t>(meta.attachment_size) : 0;
  out.body = behind - out.attachment;
  return out.body <= max_part;
}

bool parse_body(Method method, std::span<const uint8_t> bytes, ReplyBody& out) {
  if (method == Method::open_file) {
    nebd_OpenFileResponse body = nebd_OpenFileResponse_init_zero;
    if (!decode(bytes, nebd_OpenFileResponse_fields, &body)) return false;
    out.ret_code = body.ret_code;
    out.fd = body.has_fd ? body.fd : -1;
    return body.ret_code != 0 || out.fd >= 0;
  }
  if (method == Method::get_info) {
    nebd_GetInfoResponse body = nebd_GetInfoResponse_init_zero;
    if (!decode(bytes, nebd_GetInfoResponse_fields, &body)) return false;
    out.ret_code = body.ret_code;
    if (body.ret_code == 0 && !body.has_info) return false;
    out.info = {body.info.size, body.info.has_block_size && body.info.block_size > 0 ? body.info.block_size : 4096};
    return true;
  }
  nebd_PlainResponse body = nebd_PlainResponse_init_zero;
  if (!decode(bytes, nebd_PlainResponse_fields, &body)) return false;
  out.ret_code = body.ret_code;
  return true;
}

}  // namespace cbd::block::nebd
