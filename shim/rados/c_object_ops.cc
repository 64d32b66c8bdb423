// rados_write_op_t and rados_read_op_t: operations gathered into one atomic call. What is not supported is gathered too, and
// the daemon refuses the whole call by its name (-EOPNOTSUPP).
#include <errno.h>
#include <string.h>

#include "rados/cluster.h"
#include "rados/object_call.h"
#include "rados/object_iterators.h"

using cbd::rados::base64;
using cbd::rados::bytes_of;
using cbd::rados::hex;
using cbd::rados::io_from;
using cbd::rados::Json;
using cbd::rados::ObjectCall;
using cbd::rados::result_of;

namespace {

ObjectCall& call_of(void* op) { return *static_cast<ObjectCall*>(op); }

// Writes the operation's own code where the caller asked for it.
ObjectCall::Sink code_to(int* code) {
  if (code == nullptr) return {};
  return [code](int rc, const Json&) { *code = rc; };
}

Json cmpxattr(const char* name, uint8_t op, const char* value, size_t length) {
  return {{"op", "cmpxattr"}, {"name", name}, {"operator", op}, {"value", base64(value, length)}};
}

Json omap_cmp(std::string_view key, uint8_t op, const char* value, size_t length) {
  return {{"op", "omapCmp"}, {"key", hex(key)}, {"operator", op}, {"value", base64(value, length)}};
}

Json cmpext(const char* data, size_t length, uint64_t offset) {
  return {{"op", "cmpext"}, {"offset", offset}, {"data", base64(data, length)}};
}

Json hex_keys(char const* const* keys, const size_t* lengths, size_t count) {
  Json list = Json::array();
  for (size_t i = 0; i < count; i++) list.push_back(hex(lengths != nullptr ? std::string_view(keys[i], lengths[i]) : keys[i]));
  return list;
}

void omap_set(rados_write_op_t op, char const* const* keys, char const* const* values, const size_t* key_lengths,
              const size_t* value_lengths, size_t count) {
  Json names = hex_keys(keys, key_lengths, count), entries = Json::array();
  for (size_t i = 0; i < count; i++) entries.push_back({names[i], base64(values[i], value_lengths[i])});
  call_of(op).add({{"op", "omapSet"}, {"entries", std::move(entries)}});
}

// The caller gets his iterator at once, as from the real library (python3-rados takes it before the operation runs); it is
// empty until the answer is there.
ObjectCall::Sink entries_to(rados_omap_iter_t* iterator, unsigned char* more, int* code) {
  auto* pairs = new cbd::rados::PairIterator{cbd::rados::omap_magic, {}};
  *iterator = pairs;
  return [pairs, more, code](int rc, const Json& answer) {
    if (rc == 0 && answer.contains("entries")) pairs->pairs = cbd::rados::read_pairs(answer["entries"], true);
    if (more != nullptr) *more = rc == 0 && answer.value("more", false);
    if (code != nullptr) *code = rc;
  };
}

void omap_get(rados_read_op_t op, const char* after, const char* prefix, uint64_t max, bool keys_only,
              rados_omap_iter_t* iterator, unsigned char* more, int* code) {
  call_of(op).add({{"op", "omapGet"},
                   {"after", hex(after != nullptr ? after : "")},
                   {"prefix", hex(prefix != nullptr ? prefix : "")},
                   {"max", std::min<uint64_t>(max, 1'000'000)},
                   {"keysOnly", keys_only}},
                  entries_to(iterator, more, code));
}

void stat(rados_read_op_t op, uint64_t* size, time_t* mtime, struct timespec* precise, int* code) {
  call_of(op).add({{"op", "stat"}}, [=](int rc, const Json& answer) {
    if (code != nullptr) *code = rc;
    if (rc != 0 || !answer.contains("size")) return;
    const Json& time = answer.at("mtime");
    if (size != nullptr) *size = answer.at("size").get<uint64_t>();
    if (mtime != nullptr) *mtime = time.at("sec").get<time_t>();
    if (precise != nullptr) *precise = {time.at("sec").get<time_t>(), time.at("nsec").get<long>()};
  });
}

std::optional<timespec> time_of(const time_t* mtime) {
  if (mtime == nullptr) return {};
  return timespec{*mtime, 0};
}

std::optional<timespec> time_of(const timespec* mtime) {
  if (mtime == nullptr) return {};
  return *mtime;
}

}  // namespace

extern "C" {

rados_write_op_t rados_create_write_op(void) { return new ObjectCall(ObjectCall::Kind::writing); }
void rados_release_write_op(rados_write_op_t op) { delete static_cast<ObjectCall*>(op); }
rados_read_op_t rados_create_read_op(void) { return new ObjectCall(ObjectCall::Kind::reading); }
void rados_release_read_op(rados_read_op_t op) { delete static_cast<ObjectCall*>(op); }

void rados_write_op_set_flags(rados_write_op_t op, int flags) { call_of(op).set_flags(flags); }
void rados_read_op_set_flags(rados_read_op_t op, int flags) { call_of(op).set_flags(flags); }

void rados_write_op_assert_exists(rados_write_op_t op) { call_of(op).add({{"op", "assertExists"}}); }
void rados_read_op_assert_exists(rados_read_op_t op) { call_of(op).add({{"op", "assertExists"}}); }

void rados_write_op_assert_version(rados_write_op_t op, uint64_t version) {
  call_of(op).add({{"op", "assertVersion"}, {"version", version}});
}

void rados_read_op_assert_version(rados_read_op_t op, uint64_t version) {
  call_of(op).add({{"op", "assertVersion"}, {"version", version}});
}

void rados_write_op_cmpext(rados_write_op_t op, const char* data, size_t length, uint64_t offset, int* code) {
  call_of(op).add(cmpext(data, length, offset), code_to(code));
}

void rados_read_op_cmpext(rados_read_op_t op, const char* data, size_t length, uint64_t offset, int* code) {
  call_of(op).add(cmpext(data, length, offset), code_to(code));
}

void rados_write_op_cmpxattr(rados_write_op_t op, const char* name, uint8_t comparison, const char* value, size_t length) {
  call_of(op).add(cmpxattr(name, comparison, value, length));
}

void rados_read_op_cmpxattr(rados_read_op_t op, const char* name, uint8_t comparison, const char* value, size_t length) {
  call_of(op).add(cmpxattr(name, comparison, value, length));
}

void rados_write_op_omap_cmp(rados_write_op_t op, const char* key, uint8_t comparison, const char* value, size_t length,
                             int* code) {
  call_of(op).add(omap_cmp(key, comparison, value, length), code_to(code));
}

void rados_write_op_omap_cmp2(rados_write_op_t op, const char* key, uint8_t comparison, const char* value,
                              size_t key_length, size_t length, int* code) {
  call_of(op).add(omap_cmp({key, key_length}, comparison, value, length), code_to(code));
}

void rados_read_op_omap_cmp(rados_read_op_t op, const char* key, uint8_t comparison, const char* value, size_t length,
                            int* code) {
  call_of(op).add(omap_cmp(key, comparison, value, length), code_to(code));
}

void rados_read_op_omap_cmp2(rados_read_op_t op, const char* key, uint8_t comparison, const char* value, size_t key_length,
                             size_t length, int* code) {
  call_of(op).add(omap_cmp({key, key_length}, comparison, value, length), code_to(code));
}

void rados_write_op_setxattr(rados_write_op_t op, const char* name, const char* value, size_t length) {
  call_of(op).add({{"op", "setxattr"}, {"name", name}, {"value", base64(value, length)}});
}

void rados_write_op_rmxattr(rados_write_op_t op, const char* name) { call_of(op).add({{"op", "rmxattr"}, {"name", name}}); }

void rados_write_op_create(rados_write_op_t op, int exclusive, const char*) {
  call_of(op).add({{"op", "create"}, {"exclusive", exclusive != 0}});
}

void rados_write_op_write(rados_write_op_t op, const char* data, size_t length, uint64_t offset) {
  call_of(op).add({{"op", "write"}, {"offset", offset}, {"data", base64(data, length)}});
}

void rados_write_op_write_full(rados_write_op_t op, const char* data, size_t length) {
  call_of(op).add({{"op", "writeFull"}, {"data", base64(data, length)}});
}

void rados_write_op_writesame(rados_write_op_t op, const char* data, size_t data_length, size_t length, uint64_t offset) {
  call_of(op).add({{"op", "writeSame"}, {"offset", offset}, {"length", length}, {"data", base64(data, data_length)}});
}

void rados_write_op_append(rados_write_op_t op, const char* data, size_t length) {
  call_of(op).add({{"op", "append"}, {"data", base64(data, length)}});
}

void rados_write_op_remove(rados_write_op_t op) { call_of(op).add({{"op", "remove"}}); }

void rados_write_op_truncate(rados_write_op_t op, uint64_t size) { call_of(op).add({{"op", "truncate"}, {"size", size}}); }

void rados_write_op_zero(rados_write_op_t op, uint64_t offset, uint64_t length) {
  call_of(op).add({{"op", "zero"}, {"offset", offset}, {"length", length}});
}

void rados_write_op_exec(rados_write_op_t op, const char* class_name, const char* method, const char*, size_t, int* code) {
  call_of(op).add({{"op", "exec"}, {"class", class_name}, {"method", method}}, code_to(code));
}

void rados_write_op_omap_set(rados_write_op_t op, char const* const* keys, char const* const* values, const size_t* lengths,
                             size_t count) {
  omap_set(op, keys, values, nullptr, lengths, count);
}

void rados_write_op_omap_set2(rados_write_op_t op, char const* const* keys, char const* const* values,
                              const size_t* key_lengths, const size_t* value_lengths, size_t count) {
  omap_set(op, keys, values, key_lengths, value_lengths, count);
}

void rados_write_op_omap_rm_keys(rados_write_op_t op, char const* const* keys, size_t count) {
  call_of(op).add({{"op", "omapRemove"}, {"keys", hex_keys(keys, nullptr, count)}});
}

void rados_write_op_omap_rm_keys2(rados_write_op_t op, char const* const* keys, const size_t* lengths, size_t count) {
  call_of(op).add({{"op", "omapRemove"}, {"keys", hex_keys(keys, lengths, count)}});
}

void rados_write_op_omap_rm_range2(rados_write_op_t op, const char* from, size_t from_length, const char* to,
                                   size_t to_length) {
  call_of(op).add({{"op", "omapRemoveRange"}, {"from", hex({from, from_length})}, {"to", hex({to, to_length})}});
}

void rados_write_op_omap_clear(rados_write_op_t op) { call_of(op).add({{"op", "omapClear"}}); }

void rados_write_op_set_alloc_hint(rados_write_op_t op, uint64_t, uint64_t) { call_of(op).add({{"op", "allocHint"}}); }

void rados_write_op_set_alloc_hint2(rados_write_op_t op, uint64_t, uint64_t, uint32_t) {
  call_of(op).add({{"op", "allocHint"}});
}

int rados_write_op_operate(rados_write_op_t op, rados_ioctx_t io, const char* object, time_t* mtime, int) {
  return result_of(call_of(op).run(io_from(io), object, time_of(mtime)));
}

int rados_write_op_operate2(rados_write_op_t op, rados_ioctx_t io, const char* object, struct timespec* mtime, int) {
  return result_of(call_of(op).run(io_from(io), object, time_of(mtime)));
}

int rados_aio_write_op_operate(rados_write_op_t op, rados_ioctx_t io, rados_completion_t completion, const char* object,
                               time_t* mtime, int) {
  return result_of(call_of(op).run(io_from(io), object, completion, time_of(mtime)));
}

int rados_aio_write_op_operate2(rados_write_op_t op, rados_ioctx_t io, rados_completion_t completion, const char* object,
                                struct timespec* mtime, int) {
  return result_of(call_of(op).run(io_from(io), object, completion, time_of(mtime)));
}

void rados_read_op_getxattrs(rados_read_op_t op, rados_xattrs_iter_t* iterator, int* code) {
  auto* pairs = new cbd::rados::PairIterator{cbd::rados::xattrs_magic, {}};
  *iterator = pairs;
  call_of(op).add({{"op", "getxattrs"}}, [pairs, code](int rc, const Json& answer) {
    if (code != nullptr) *code = rc;
    if (answer.contains("xattrs")) pairs->pairs = cbd::rados::read_pairs(answer["xattrs"], false);
  });
}

void rados_read_op_stat(rados_read_op_t op, uint64_t* size, time_t* mtime, int* code) { stat(op, size, mtime, nullptr, code); }

void rados_read_op_stat2(rados_read_op_t op, uint64_t* size, struct timespec* mtime, int* code) {
  stat(op, size, nullptr, mtime, code);
}

void rados_read_op_read(rados_read_op_t op, uint64_t offset, size_t length, char* buffer, size_t* got, int* code) {
  call_of(op).add({{"op", "read"}, {"offset", offset}, {"length", length}}, [=](int rc, const Json& answer) {
    std::string data = answer.contains("data") ? bytes_of(answer, "data") : "";
    if (data.size() > length) rc = -ERANGE;
    if (rc == 0) memcpy(buffer, data.data(), data.size());
    if (got != nullptr) *got = rc == 0 ? data.size() : 0;
    if (code != nullptr) *code = rc;
  });
}

void rados_read_op_checksum(rados_read_op_t op, rados_checksum_type_t, const char*, size_t, uint64_t, size_t, size_t, char*,
                            size_t, int* code) {
  call_of(op).add({{"op", "checksum"}}, code_to(code));
}

void rados_read_op_exec(rados_read_op_t op, const char* class_name, const char* method, const char*, size_t, char**, size_t*,
                        int* code) {
  call_of(op).add({{"op", "exec"}, {"class", class_name}, {"method", method}}, code_to(code));
}

void rados_read_op_exec_user_buf(rados_read_op_t op, const char* class_name, const char* method, const char*, size_t, char*,
                                 size_t, size_t*, int* code) {
  call_of(op).add({{"op", "exec"}, {"class", class_name}, {"method", method}}, code_to(code));
}

void rados_read_op_omap_get_vals(rados_read_op_t op, const char* after, const char* prefix, uint64_t max,
                                 rados_omap_iter_t* iterator, int* code) {
  omap_get(op, after, prefix, max, false, iterator, nullptr, code);
}

void rados_read_op_omap_get_vals2(rados_read_op_t op, const char* after, const char* prefix, uint64_t max,
                                  rados_omap_iter_t* iterator, unsigned char* more, int* code) {
  omap_get(op, after, prefix, max, false, iterator, more, code);
}

void rados_read_op_omap_get_keys(rados_read_op_t op, const char* after, uint64_t max, rados_omap_iter_t* iterator, int* code) {
  omap_get(op, after, nullptr, max, true, iterator, nullptr, code);
}

void rados_read_op_omap_get_keys2(rados_read_op_t op, const char* after, uint64_t max, rados_omap_iter_t* iterator,
                                  unsigned char* more, int* code) {
  omap_get(op, after, nullptr, max, true, iterator, more, code);
}

void rados_read_op_omap_get_vals_by_keys(rados_read_op_t op, char const* const* keys, size_t count,
                                         rados_omap_iter_t* iterator, int* code) {
  call_of(op).add({{"op", "omapGetByKeys"}, {"keys", hex_keys(keys, nullptr, count)}}, entries_to(iterator, nullptr, code));
}

void rados_read_op_omap_get_vals_by_keys2(rados_read_op_t op, char const* const* keys, size_t count, const size_t* lengths,
                                          rados_omap_iter_t* iterator, int* code) {
  call_of(op).add({{"op", "omapGetByKeys"}, {"keys", hex_keys(keys, lengths, count)}}, entries_to(iterator, nullptr, code));
}

int rados_read_op_operate(rados_read_op_t op, rados_ioctx_t io, const char* object, int) {
  return result_of(call_of(op).run(io_from(io), object));
}

int rados_aio_read_op_operate(rados_read_op_t op, rados_ioctx_t io, rados_completion_t completion, const char* object, int) {
  return result_of(call_of(op).run(io_from(io), object, completion));
}

}  // extern "C"
