// The C functions that watch objects and notify those who do.
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "control/wire.h"
#include "rados/cluster.h"
#include "rados/watch.h"

using cbd::control::Reply;
using cbd::rados::base64;
using cbd::rados::Completion;
using cbd::rados::encode_notify_answer;
using cbd::rados::io_from;
using cbd::rados::IoCtx;
using cbd::rados::Json;
using cbd::rados::result_of;
using cbd::rados::Watch;
using cbd::rados::Watches;

namespace {

// Ceph's default for client_notify_timeout.
constexpr uint64_t default_timeout_ms = 10'000;
// What the way there and back may take on top of what the watchers may.
constexpr uint32_t travel_ms = 5'000;

int watch(IoCtx& io, const char* object, uint64_t* cookie, const Watch::Callbacks& callbacks) {
  if (object == nullptr || cookie == nullptr) return -EINVAL;
  const std::shared_ptr<Watch> watch = Watch::make(io, object, callbacks);
  // Known before the daemon may call it.
  *cookie = watch->handle();
  Watches::all().put(io, watch);
  const Reply reply = io.client->call("object.watch", watch->request());
  if (reply.error != 0) Watches::all().take(io, watch->handle());
  return reply.error;
}

// The same; `completion` ends when the daemon has answered.
int watch(IoCtx& io, const char* object, rados_completion_t handle, uint64_t* cookie, const Watch::Callbacks& callbacks) {
  if (object == nullptr || cookie == nullptr) return -EINVAL;
  const std::shared_ptr<Watch> watch = Watch::make(io, object, callbacks);
  *cookie = watch->handle();
  Watches::all().put(io, watch);
  auto* completion = Completion::from(handle);
  completion->start();
  io.client->call_async("object.watch", watch->request(), [completion, copy = io, number = watch->handle()](Reply reply) {
    if (reply.error != 0) Watches::all().take(copy, number);
    completion->finish(reply.error);
  });
  return 0;
}

Json notify_request(const IoCtx& io, const char* object, const char* data, int length, uint64_t timeout_ms) {
  return {{"at", {{"pool", io.pool_id}, {"namespace", io.name_space}}}, {"name", object},
          {"payload", base64(data, data != nullptr && length > 0 ? static_cast<size_t>(length) : 0)}, {"timeoutMs", timeout_ms}};
}

// Takes the daemon's answer apart. `buffer` may be null.
int take_answer(const Reply& reply, char** buffer, size_t* length) {
  if (buffer != nullptr) *buffer = nullptr;
  if (length != nullptr) *length = 0;
  if (reply.error != 0) return reply.error;
  try {
    const int rc = reply.result->at("rc").get<int>();
    if (buffer == nullptr || length == nullptr) return rc;
    const int error = encode_notify_answer(*reply.result, buffer, length);
    return error != 0 ? error : rc;
  } catch (const Json::exception&) {
    return -EPROTO;
  }
}

int notify(IoCtx& io, const char* object, const char* data, int length, uint64_t timeout_ms, char** buffer, size_t* answer_length) {
  if (object == nullptr) return -EINVAL;
  if (timeout_ms == 0) timeout_ms = default_timeout_ms;
  const uint32_t wait = static_cast<uint32_t>(std::min<uint64_t>(timeout_ms, 600'000)) + travel_ms;
  return take_answer(io.client->call("object.notify", notify_request(io, object, data, length, timeout_ms), wait), buffer, answer_length);
}

int unwatch(IoCtx& io, uint64_t cookie) {
  std::shared_ptr<Watch> watch = Watches::all().find(io, cookie);
  if (watch == nullptr) return -ENOTCONN;
  const bool was_broken = watch->error() != 0;
  // The daemon first, so that nobody waits for an answer that no one is there to give.
  const int error = io.client->call("object.unwatch", {{"handle", cookie}}).error;
  Watches::all().take(io, cookie);
  return was_broken || error == -ENOTCONN ? 0 : error;
}

// Reads the layout of encode_notify_answer. False where it is cut.
class Reader {
 public:
  Reader(const char* data, size_t length) : data_(data), left_(length) {}
  bool number(uint64_t& value, size_t bytes) {
    if (left_ < bytes) return false;
    uint64_t little = 0;
    memcpy(&little, data_, bytes);
    value = le64toh(little);
    skip(bytes);
    return true;
  }
  bool bytes(char* into, size_t length) {
    if (left_ < length) return false;
    memcpy(into, data_, length);
    skip(length);
    return true;
  }
  size_t left() const { return left_; }

 private:
  void skip(size_t bytes) {
    data_ += bytes;
    left_ -= bytes;
  }
  const char* data_;
  size_t left_;
};

bool read_acks(Reader& reader, notify_ack_t** acks, size_t* count) {
  uint64_t number = 0;
  if (!reader.number(number, 4) || number > reader.left() / 20) return false;
  *acks = static_cast<notify_ack_t*>(calloc(number + 1, sizeof(notify_ack_t)));
  if (*acks == nullptr) return false;
  for (*count = 0; *count < number; ++*count) {
    notify_ack_t& ack = (*acks)[*count];
    if (!reader.number(ack.notifier_id, 8) || !reader.number(ack.cookie, 8) || !reader.number(ack.payload_len, 4)) return false;
    if (ack.payload_len > reader.left()) return false;
    if (ack.payload_len == 0) continue;
    ack.payload = static_cast<char*>(malloc(ack.payload_len));
    if (ack.payload == nullptr || !reader.bytes(ack.payload, ack.payload_len)) {
      ++*count;
      return false;
    }
  }
  return true;
}

bool read_timeouts(Reader& reader, notify_timeout_t** timeouts, size_t* count) {
  uint64_t number = 0;
  if (!reader.number(number, 4) || number > reader.left() / 16) return false;
  *timeouts = static_cast<notify_timeout_t*>(calloc(number + 1, sizeof(notify_timeout_t)));
  if (*timeouts == nullptr) return false;
  for (*count = 0; *count < number; ++*count) {
    notify_timeout_t& timeout = (*timeouts)[*count];
    if (!reader.number(timeout.notifier_id, 8) || !reader.number(timeout.cookie, 8)) return false;
  }
  return true;
}

}  // namespace

extern "C" {

// -ENOENT where there is no such object. The callback must lead to rados_notify_ack, or the notifier waits for it.
int rados_watch2(rados_ioctx_t io, const char* o, uint64_t* cookie, rados_watchcb2_t watchcb, rados_watcherrcb_t watcherrcb, void* arg) {
  return rados_watch3(io, o, cookie, watchcb, watcherrcb, 0, arg);
}

// The time-out is the session's own here: a client that is gone loses its watches within two seconds.
int rados_watch3(rados_ioctx_t io, const char* o, uint64_t* cookie, rados_watchcb2_t watchcb, rados_watcherrcb_t watcherrcb,
                 uint32_t, void* arg) {
  if (watchcb == nullptr) return result_of(-EINVAL);
  return result_of(watch(io_from(io), o, cookie, {.notified = watchcb, .failed = watcherrcb, .argument = arg}));
}

int rados_watch(rados_ioctx_t io, const char* o, uint64_t, uint64_t* cookie, rados_watchcb_t watchcb, void* arg) {
  if (watchcb == nullptr) return result_of(-EINVAL);
  return result_of(watch(io_from(io), o, cookie, {.simple = watchcb, .argument = arg}));
}

int rados_aio_watch(rados_ioctx_t io, const char* o, rados_completion_t completion, uint64_t* handle, rados_watchcb2_t watchcb,
                    rados_watcherrcb_t watcherrcb, void* arg) {
  return rados_aio_watch2(io, o, completion, handle, watchcb, watcherrcb, 0, arg);
}

int rados_aio_watch2(rados_ioctx_t io, const char* o, rados_completion_t completion, uint64_t* handle, rados_watchcb2_t watchcb,
                     rados_watcherrcb_t watcherrcb, uint32_t, void* arg) {
  if (watchcb == nullptr) return result_of(-EINVAL);
  return result_of(watch(io_from(io), o, completion, handle, {.notified = watchcb, .failed = watcherrcb, .argument = arg}));
}

// No callback of the watch runs any more afterwards. -ENOTCONN for a cookie that is no watch.
int rados_unwatch2(rados_ioctx_t io, uint64_t cookie) { return result_of(unwatch(io_from(io), cookie)); }

int rados_unwatch(rados_ioctx_t io, const char*, uint64_t cookie) { return rados_unwatch2(io, cookie); }

int rados_aio_unwatch(rados_ioctx_t io, uint64_t cookie, rados_completion_t handle) {
  IoCtx& from = io_from(io);
  if (Watches::all().find(from, cookie) == nullptr) return result_of(-ENOTCONN);
  auto* completion = Completion::from(handle);
  completion->start();
  from.client->call_async("object.unwatch", {{"handle", cookie}}, [completion, copy = from, cookie](Reply reply) {
    Watches::all().take(copy, cookie);
    completion->finish(reply.error == -ENOTCONN ? 0 : reply.error);
  });
  return 0;
}

// Milliseconds since the watch was last known to be good, which a session that is there always makes it; or why it is broken.
int rados_watch_check(rados_ioctx_t io, uint64_t cookie) {
  std::shared_ptr<Watch> watch = Watches::all().find(io_from(io), cookie);
  if (watch == nullptr) return result_of(-ENOTCONN);
  const int error = watch->error();
  return error != 0 ? result_of(error) : 1;
}

int rados_notify2(rados_ioctx_t io, const char* o, const char* buf, int buf_len, uint64_t timeout_ms, char** reply_buffer,
                  size_t* reply_buffer_len) {
  return result_of(notify(io_from(io), o, buf, buf_len, timeout_ms, reply_buffer, reply_buffer_len));
}

int rados_notify(rados_ioctx_t io, const char* o, uint64_t, const char* buf, int buf_len) {
  return rados_notify2(io, o, buf, buf_len, 0, nullptr, nullptr);
}

int rados_aio_notify(rados_ioctx_t io, const char* o, rados_completion_t handle, const char* buf, int buf_len, uint64_t timeout_ms,
                     char** reply_buffer, size_t* reply_buffer_len) {
  if (o == nullptr) return result_of(-EINVAL);
  IoCtx& from = io_from(io);
  auto* completion = Completion::from(handle);
  completion->start();
  from.client->call_async("object.notify", notify_request(from, o, buf, buf_len, timeout_ms == 0 ? default_timeout_ms : timeout_ms),
                          [=](Reply reply) { completion->finish(take_answer(reply, reply_buffer, reply_buffer_len)); });
  return 0;
}

// -ENOENT where no notification of that number waits for this watch.
int rados_notify_ack(rados_ioctx_t io, const char*, uint64_t notify_id, uint64_t cookie, const char* buf, int buf_len) {
  std::shared_ptr<Watch> watch = Watches::all().find(io_from(io), cookie);
  std::string payload(buf != nullptr && buf_len > 0 ? buf : "", buf != nullptr && buf_len > 0 ? static_cast<size_t>(buf_len) : 0);
  // One that is not waited for any more is no fault of the caller's.
  if (watch != nullptr) watch->acknowledge(notify_id, std::move(payload));
  return 0;
}

int rados_decode_notify_response(char* reply_buffer, size_t reply_buffer_len, struct notify_ack_t** acks, size_t* nr_acks,
                                 struct notify_timeout_t** timeouts, size_t* nr_timeouts) {
  if (reply_buffer == nullptr || acks == nullptr || nr_acks == nullptr || timeouts == nullptr || nr_timeouts == nullptr) return result_of(-EINVAL);
  *acks = nullptr;
  *timeouts = nullptr;
  *nr_acks = *nr_timeouts = 0;
  Reader reader(reply_buffer, reply_buffer_len);
  if (read_acks(reader, acks, nr_acks) && read_timeouts(reader, timeouts, nr_timeouts)) return 0;
  rados_free_notify_response(*acks, *nr_acks, *timeouts);
  *acks = nullptr;
  *timeouts = nullptr;
  *nr_acks = *nr_timeouts = 0;
  return result_of(-EINVAL);
}

void rados_free_notify_response(struct notify_ack_t* acks, size_t nr_acks, struct notify_timeout_t* timeouts) {
  for (size_t at = 0; acks != nullptr && at < nr_acks; ++at) free(acks[at].payload);
  free(acks);
  free(timeouts);
}

}  // extern "C"
