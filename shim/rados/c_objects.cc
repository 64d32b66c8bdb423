// The C functions that do one thing to an object, and wait for it or not.
#include <errno.h>
#include <string.h>

#include "rados/cluster.h"
#include "rados/object_call.h"
#include "rados/object_iterators.h"

using cbd::rados::base64;
using cbd::rados::bytes_of;
using cbd::rados::Completion;
using cbd::rados::io_from;
using cbd::rados::Json;
using cbd::rados::ObjectCall;
using cbd::rados::result_of;
using cbd::rados::too_long;

namespace {

constexpr auto reading = ObjectCall::Kind::reading;
constexpr auto writing = ObjectCall::Kind::writing;

ObjectCall one(ObjectCall::Kind kind, Json operation, ObjectCall::Sink sink = {}) {
  ObjectCall call(kind);
  call.add(std::move(operation), std::move(sink));
  return call;
}

ObjectCall write_call(const char* op, const char* data, size_t length, uint64_t offset = 0) {
  return one(writing, {{"op", op}, {"offset", offset}, {"data", base64(data, length)}});
}

ObjectCall writesame_call(const char* data, size_t data_length, size_t length, uint64_t offset) {
  return one(writing, {{"op", "writeSame"}, {"offset", offset}, {"length", length}, {"data", base64(data, data_length)}});
}

// `got` is how many bytes came, or why none did.
ObjectCall read_call(char* buffer, size_t length, uint64_t offset, std::shared_ptr<int64_t> got) {
  return one(reading, {{"op", "read"}, {"offset", offset}, {"length", length}},
             [buffer, length, got](int rc, const Json& answer) {
               if (rc != 0 || answer.empty()) return;
               std::string data = bytes_of(answer, "data");
               *got = data.size() > length ? -ERANGE : static_cast<int64_t>(data.size());
               if (*got > 0) memcpy(buffer, data.data(), data.size());
             });
}

ObjectCall getxattr_call(const char* name, char* buffer, size_t length, std::shared_ptr<int64_t> got) {
  return one(reading, {{"op", "getxattr"}, {"name", name}}, [buffer, length, got](int rc, const Json& answer) {
    if (rc != 0 || answer.empty()) return;
    std::string value = bytes_of(answer, "value");
    *got = value.size() > length ? -ERANGE : static_cast<int64_t>(value.size());
    if (*got > 0) memcpy(buffer, value.data(), value.size());
  });
}

ObjectCall getxattrs_call(rados_xattrs_iter_t* iterator) {
  return one(reading, {{"op", "getxattrs"}}, [iterator](int rc, const Json& answer) {
    if (rc != 0 || answer.empty()) return;
    *iterator = new cbd::rados::PairIterator{cbd::rados::xattrs_magic, cbd::rados::read_pairs(answer.at("xattrs"), false)};
  });
}

ObjectCall stat_call(uint64_t* size, time_t* mtime, struct timespec* precise) {
  return one(reading, {{"op", "stat"}}, [size, mtime, precise](int rc, const Json& answer) {
    if (rc != 0 || answer.empty()) return;
    const Json& time = answer.at("mtime");
    if (size != nullptr) *size = answer.at("size").get<uint64_t>();
    if (mtime != nullptr) *mtime = time.at("sec").get<time_t>();
    if (precise != nullptr) *precise = {time.at("sec").get<time_t>(), time.at("nsec").get<long>()};
  });
}

ObjectCall cmpext_call(const char* data, size_t length, uint64_t offset) {
  return one(reading, {{"op", "cmpext"}, {"offset", offset}, {"data", base64(data, length)}});
}

ObjectCall setxattr_call(const char* name, const char* value, size_t length) {
  return one(writing, {{"op", "setxattr"}, {"name", name}, {"value", base64(value, length)}});
}

int run(rados_ioctx_t io, const char* object, ObjectCall call) { return result_of(call.run(io_from(io), object)); }

int run(rados_ioctx_t io, const char* object, rados_completion_t completion, ObjectCall call,
        std::function<int64_t(int)> result = {}) {
  return result_of(call.run(io_from(io), object, completion, {}, std::move(result)));
}

// A call whose result is a length.
int run(rados_ioctx_t io, const char* object, ObjectCall call, const std::shared_ptr<int64_t>& got) {
  int rc = call.run(io_from(io), object);
  return result_of(rc != 0 ? rc : static_cast<int>(*got));
}

int run(rados_ioctx_t io, const char* object, rados_completion_t completion, ObjectCall call,
        std::shared_ptr<int64_t> got) {
  return run(io, object, completion, std::move(call), [got](int) { return *got; });
}

}  // namespace

extern "C" {

uint64_t rados_get_last_version(rados_ioctx_t io) { return io_from(io).objects->version(); }

int rados_write(rados_ioctx_t io, const char* object, const char* data, size_t length, uint64_t offset) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, write_call("write", data, length, offset));
}

int rados_aio_write(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* data, size_t length,
                    uint64_t offset) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, completion, write_call("write", data, length, offset));
}

int rados_write_full(rados_ioctx_t io, const char* object, const char* data, size_t length) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, write_call("writeFull", data, length));
}

int rados_aio_write_full(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* data,
                         size_t length) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, completion, write_call("writeFull", data, length));
}

int rados_append(rados_ioctx_t io, const char* object, const char* data, size_t length) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, write_call("append", data, length));
}

int rados_aio_append(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* data, size_t length) {
  return too_long(length) ? result_of(-E2BIG) : run(io, object, completion, write_call("append", data, length));
}

int rados_writesame(rados_ioctx_t io, const char* object, const char* data, size_t data_length, size_t length,
                    uint64_t offset) {
  return run(io, object, writesame_call(data, data_length, length, offset));
}

int rados_aio_writesame(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* data,
                        size_t data_length, size_t length, uint64_t offset) {
  return run(io, object, completion, writesame_call(data, data_length, length, offset));
}

int rados_read(rados_ioctx_t io, const char* object, char* buffer, size_t length, uint64_t offset) {
  if (too_long(length)) return result_of(-EDOM);
  auto got = std::make_shared<int64_t>(0);
  return run(io, object, read_call(buffer, length, offset, got), got);
}

int rados_aio_read(rados_ioctx_t io, const char* object, rados_completion_t completion, char* buffer, size_t length,
                   uint64_t offset) {
  if (too_long(length)) return result_of(-EDOM);
  auto got = std::make_shared<int64_t>(0);
  return run(io, object, completion, read_call(buffer, length, offset, got), got);
}

int rados_cmpext(rados_ioctx_t io, const char* object, const char* data, size_t length, uint64_t offset) {
  return run(io, object, cmpext_call(data, length, offset));
}

int rados_aio_cmpext(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* data, size_t length,
                     uint64_t offset) {
  return run(io, object, completion, cmpext_call(data, length, offset));
}

int rados_remove(rados_ioctx_t io, const char* object) { return run(io, object, one(writing, {{"op", "remove"}})); }

int rados_aio_remove(rados_ioctx_t io, const char* object, rados_completion_t completion) {
  return run(io, object, completion, one(writing, {{"op", "remove"}}));
}

int rados_trunc(rados_ioctx_t io, const char* object, uint64_t size) {
  return run(io, object, one(writing, {{"op", "truncate"}, {"size", size}}));
}

int rados_stat(rados_ioctx_t io, const char* object, uint64_t* size, time_t* mtime) {
  return run(io, object, stat_call(size, mtime, nullptr));
}

int rados_stat2(rados_ioctx_t io, const char* object, uint64_t* size, struct timespec* mtime) {
  return run(io, object, stat_call(size, nullptr, mtime));
}

int rados_aio_stat(rados_ioctx_t io, const char* object, rados_completion_t completion, uint64_t* size, time_t* mtime) {
  return run(io, object, completion, stat_call(size, mtime, nullptr));
}

int rados_aio_stat2(rados_ioctx_t io, const char* object, rados_completion_t completion, uint64_t* size,
                    struct timespec* mtime) {
  return run(io, object, completion, stat_call(size, nullptr, mtime));
}

int rados_getxattr(rados_ioctx_t io, const char* object, const char* name, char* buffer, size_t length) {
  auto got = std::make_shared<int64_t>(0);
  return run(io, object, getxattr_call(name, buffer, length, got), got);
}

int rados_aio_getxattr(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* name, char* buffer,
                       size_t length) {
  auto got = std::make_shared<int64_t>(0);
  return run(io, object, completion, getxattr_call(name, buffer, length, got), got);
}

int rados_setxattr(rados_ioctx_t io, const char* object, const char* name, const char* value, size_t length) {
  return run(io, object, setxattr_call(name, value, length));
}

int rados_aio_setxattr(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* name,
                       const char* value, size_t length) {
  return run(io, object, completion, setxattr_call(name, value, length));
}

int rados_rmxattr(rados_ioctx_t io, const char* object, const char* name) {
  return run(io, object, one(writing, {{"op", "rmxattr"}, {"name", name}}));
}

int rados_aio_rmxattr(rados_ioctx_t io, const char* object, rados_completion_t completion, const char* name) {
  return run(io, object, completion, one(writing, {{"op", "rmxattr"}, {"name", name}}));
}

int rados_getxattrs(rados_ioctx_t io, const char* object, rados_xattrs_iter_t* iterator) {
  return run(io, object, getxattrs_call(iterator));
}

int rados_aio_getxattrs(rados_ioctx_t io, const char* object, rados_completion_t completion, rados_xattrs_iter_t* iterator) {
  return run(io, object, completion, getxattrs_call(iterator));
}

int rados_set_alloc_hint(rados_ioctx_t io, const char* object, uint64_t, uint64_t) {
  return run(io, object, one(writing, {{"op", "allocHint"}}));
}

int rados_set_alloc_hint2(rados_ioctx_t io, const char* object, uint64_t, uint64_t, uint32_t) {
  return run(io, object, one(writing, {{"op", "allocHint"}}));
}

int rados_aio_flush(rados_ioctx_t io) {
  io_from(io).objects->flush();
  return 0;
}

int rados_aio_flush_async(rados_ioctx_t io, rados_completion_t handle) {
  auto* completion = Completion::from(handle);
  completion->start();
  io_from(io).objects->flush([completion] { completion->finish(0); });
  return 0;
}

}  // extern "C"
