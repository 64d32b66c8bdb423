// The C functions that carry a command to the cluster, and the few that are commands by another name.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nlohmann/json.hpp>

#include "control/proof.h"
#include "rados/cluster.h"

using cbd::control::Json;
using cbd::rados::Cluster;
using cbd::rados::result_of;

namespace {

// A copy for rados_buffer_free, or null where there is nothing.
bool give(const std::string& text, char** buffer, size_t* length) {
  char* copy = nullptr;
  if (!text.empty() && buffer != nullptr) {
    copy = static_cast<char*>(malloc(text.size()));
    if (copy == nullptr) return false;
    memcpy(copy, text.data(), text.size());
  }
  if (buffer != nullptr) *buffer = copy;
  if (length != nullptr) *length = text.size();
  return true;
}

struct Output {
  char** buffer;
  size_t* buffer_length;
  char** status;
  size_t* status_length;
};

// `target` is "mon" or "mgr": who would answer on a real cluster.
int command(rados_t handle, const char* target, Json words, std::string_view input, const Output& output) {
  auto reply = Cluster::from(handle)->call(
      "mon.command", {{"cmd", std::move(words)}, {"inbuf", cbd::control::to_base64(input)}, {"target", target}});
  std::string text, status = reply.message;
  int rc = reply.error;
  if (rc == 0) {
    try {
      rc = reply.result->at("rc").get<int>();
      status = reply.result->at("outs").get<std::string>();
      if (!cbd::control::from_base64(reply.result->at("outbuf").get<std::string>(), text)) return result_of(-EPROTO);
    } catch (const Json::exception&) {
      return result_of(-EPROTO);
    }
  }
  if (!give(text, output.buffer, output.buffer_length) || !give(status, output.status, output.status_length)) {
    return result_of(-ENOMEM);
  }
  return result_of(rc);
}

Json words_of(const char** words, size_t count) {
  Json list = Json::array();
  for (size_t i = 0; i < count; i++) list.push_back(words[i]);
  return list;
}

// There is one monitor.
bool is_monitor(const char* name) {
  return name == nullptr || *name == '\0' || strcmp(name, "a") == 0 || strcmp(name, "mon.a") == 0 || strcmp(name, "0") == 0;
}

}  // namespace

extern "C" {

int rados_mon_command(rados_t handle, const char** cmd, size_t count, const char* input, size_t input_length, char** buffer,
                      size_t* buffer_length, char** status, size_t* status_length) {
  return command(handle, "mon", words_of(cmd, count), {input, input_length}, {buffer, buffer_length, status, status_length});
}

int rados_mon_command_target(rados_t handle, const char* name, const char** cmd, size_t count, const char* input,
                             size_t input_length, char** buffer, size_t* buffer_length, char** status,
                             size_t* status_length) {
  if (!is_monitor(name)) return result_of(-ENOENT);
  return command(handle, "mon", words_of(cmd, count), {input, input_length}, {buffer, buffer_length, status, status_length});
}

int rados_mgr_command(rados_t handle, const char** cmd, size_t count, const char* input, size_t input_length, char** buffer,
                      size_t* buffer_length, char** status, size_t* status_length) {
  return command(handle, "mgr", words_of(cmd, count), {input, input_length}, {buffer, buffer_length, status, status_length});
}

int rados_mgr_command_target(rados_t handle, const char*, const char** cmd, size_t count, const char* input,
                             size_t input_length, char** buffer, size_t* buffer_length, char** status,
                             size_t* status_length) {
  return command(handle, "mgr", words_of(cmd, count), {input, input_length}, {buffer, buffer_length, status, status_length});
}

void rados_buffer_free(char* buffer) { free(buffer); }

int rados_ping_monitor(rados_t handle, const char* id, char** status, size_t* status_length) {
  if (id == nullptr || *id == '\0') return result_of(-EINVAL);
  if (!is_monitor(id)) return result_of(-ENOENT);
  Json words = Json::array({Json{{"prefix", "mon_status"}, {"format", "json"}}.dump()});
  return command(handle, "mon", std::move(words), {}, {status, status_length, nullptr, nullptr});
}

int rados_blocklist_add(rados_t handle, char* address, uint32_t expire_seconds) {
  Json request = {{"prefix", "osd blocklist"}, {"blocklistop", "add"}, {"addr", address}};
  if (expire_seconds != 0) request["expire"] = static_cast<double>(expire_seconds);
  return command(handle, "mon", Json::array({request.dump()}), {}, {});
}

int rados_blacklist_add(rados_t handle, char* address, uint32_t expire_seconds) {
  return rados_blocklist_add(handle, address, expire_seconds);
}

}  // extern "C"
