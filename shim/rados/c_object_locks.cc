// The C functions on advisory locks of objects.
#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "rados/cluster.h"
#include "rados/object_call.h"

using cbd::rados::io_from;
using cbd::rados::Json;
using cbd::rados::ObjectCall;
using cbd::rados::result_of;

namespace {

std::string client_name(rados_ioctx_t io) { return "client." + std::to_string(io_from(io).client->instance_id()); }

int lock(rados_ioctx_t io, const char* object, const char* name, const char* cookie, const char* tag,
         const char* description, const timeval* duration, uint8_t flags, bool exclusive) {
  ObjectCall call(ObjectCall::Kind::writing);
  call.add({{"op", "lock"},
            {"name", name},
            {"exclusive", exclusive},
            {"cookie", cookie},
            {"tag", tag != nullptr ? tag : ""},
            {"description", description != nullptr ? description : ""},
            {"client", client_name(io)},
            {"address", io_from(io).client->address()},
            {"seconds", duration != nullptr ? duration->tv_sec : 0},
            {"microseconds", duration != nullptr ? duration->tv_usec : 0},
            {"lockFlags", flags}});
  return result_of(call.run(io_from(io), object));
}

ObjectCall drop(const char* op, const char* name, std::string client, const char* cookie) {
  ObjectCall call(ObjectCall::Kind::writing);
  call.add({{"op", op}, {"name", name}, {"client", std::move(client)}, {"cookie", cookie}});
  return call;
}

// Words each with its NUL.
struct Words {
  std::string text;
  char* buffer;
  size_t* length;

  bool fits() const { return text.size() <= *length; }
  void put() {
    if (fits()) memcpy(buffer, text.data(), text.size());
    *length = text.size();
  }
};

}  // namespace

extern "C" {

int rados_lock_exclusive(rados_ioctx_t io, const char* object, const char* name, const char* cookie,
                         const char* description, struct timeval* duration, uint8_t flags) {
  return lock(io, object, name, cookie, nullptr, description, duration, flags, true);
}

int rados_lock_shared(rados_ioctx_t io, const char* object, const char* name, const char* cookie, const char* tag,
                      const char* description, struct timeval* duration, uint8_t flags) {
  return lock(io, object, name, cookie, tag, description, duration, flags, false);
}

int rados_unlock(rados_ioctx_t io, const char* object, const char* name, const char* cookie) {
  return result_of(drop("unlock", name, client_name(io), cookie).run(io_from(io), object));
}

int rados_aio_unlock(rados_ioctx_t io, const char* object, const char* name, const char* cookie,
                     rados_completion_t completion) {
  return result_of(drop("unlock", name, client_name(io), cookie).run(io_from(io), object, completion));
}

int rados_break_lock(rados_ioctx_t io, const char* object, const char* name, const char* client, const char* cookie) {
  if (strncmp(client, "client.", 7) != 0) return result_of(-EINVAL);
  return result_of(drop("breakLock", name, client, cookie).run(io_from(io), object));
}

// The number of lockers, or -ERANGE with the lengths that are needed.
ssize_t rados_list_lockers(rados_ioctx_t io, const char* object, const char* name, int* exclusive, char* tag,
                           size_t* tag_length, char* clients, size_t* clients_length, char* cookies, size_t* cookies_length,
                           char* addresses, size_t* addresses_length) {
  Words words[] = {{"", clients, clients_length}, {"", cookies, cookies_length}, {"", addresses, addresses_length}, {"", tag, tag_length}};
  ssize_t count = 0;
  ObjectCall call(ObjectCall::Kind::reading);
  call.add({{"op", "lockers"}, {"name", name}}, [&](int rc, const Json& answer) {
    if (rc != 0 || answer.empty()) return;
    *exclusive = answer.at("exclusive").get<bool>();
    words[3].text = answer.at("tag").get<std::string>() + '\0';
    for (const Json& locker : answer.at("lockers")) {
      words[0].text += locker.at("client").get<std::string>() + '\0';
      words[1].text += locker.at("cookie").get<std::string>() + '\0';
      words[2].text += locker.at("address").get<std::string>() + '\0';
      count++;
    }
  });
  int rc = call.run(io_from(io), object);
  if (rc != 0) return result_of(rc);
  bool fits = true;
  for (auto& list : words) fits = fits && list.fits();
  if (!fits) {
    for (auto& list : words) *list.length = list.text.size();
    return result_of(-ERANGE);
  }
  for (auto& list : words) list.put();
  return count;
}

}  // extern "C"
