// The C functions of advisory locks: kept and told, and binding nobody.
#include <cerrno>
#include <nlohmann/json.hpp>

#include "rbd/buffers.h"
#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {

namespace {

enum class Kind { exclusive, shared };

int lock(rbd_image_t image, const char* cookie, const char* tag, Kind kind) {
  return guarded([&] {
    if (image == nullptr || cookie == nullptr || tag == nullptr) return -EINVAL;
    Json params = {{"cookie", cookie}, {"tag", tag}, {"exclusive", kind == Kind::exclusive}};
    return Image::from(image)->change("image.lock.add", std::move(params)).error;
  });
}

// Copies the texts, or says how many bytes they take; false where they do not fit.
bool offer(const std::vector<std::string>& texts, char* buffer, size_t* length) {
  const size_t needed = packed_size(texts);
  const bool fits = *length >= needed;
  *length = needed;
  if (fits && buffer != nullptr) pack(texts, buffer);
  return fits;
}

}  // namespace

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

// -EEXIST where this client holds it with the same cookie, -EBUSY where it is held otherwise.
int rbd_lock_exclusive(rbd_image_t image, const char* cookie) { return lock(image, cookie, "", Kind::exclusive); }

// -EBUSY also where the holders have another tag.
int rbd_lock_shared(rbd_image_t image, const char* cookie, const char* tag) {
  return lock(image, cookie, tag, Kind::shared);
}

// -ENOENT where this client holds none with that cookie.
int rbd_unlock(rbd_image_t image, const char* cookie) {
  return guarded([&] {
    if (image == nullptr || cookie == nullptr) return -EINVAL;
    return Image::from(image)->change("image.lock.remove", {{"cookie", cookie}}).error;
  });
}

// `client` is "client.<id>" as rbd_list_lockers gives it: -EINVAL for another shape, -ENOENT where it holds none.
int rbd_break_lock(rbd_image_t image, const char* client, const char* cookie) {
  return guarded([&] {
    if (image == nullptr || client == nullptr || cookie == nullptr) return -EINVAL;
    Image& open = *Image::from(image);
    return open.change("image.lock.break", open.with_fencing({{"client", client}, {"cookie", cookie}})).error;
  });
}

// The number of holders. -ERANGE with all sizes where one of the buffers is too small.
ssize_t rbd_list_lockers(rbd_image_t image, int* exclusive, char* tag, size_t* tag_len, char* clients,
                         size_t* clients_len, char* cookies, size_t* cookies_len, char* addrs, size_t* addrs_len) {
  return guarded([&]() -> ssize_t {
    if (image == nullptr || exclusive == nullptr || tag_len == nullptr || clients_len == nullptr ||
        cookies_len == nullptr || addrs_len == nullptr) {
      return -EINVAL;
    }
    Reply reply = Image::from(image)->call("image.lock.list", Json::object());
    if (reply.error != 0) return reply.error;
    std::vector<std::string> names, keys, addresses;
    for (const Json& locker : reply.result->at("lockers")) {
      names.push_back(locker.at("client").get<std::string>());
      keys.push_back(locker.at("cookie").get<std::string>());
      addresses.push_back(locker.at("address").get<std::string>());
    }
    *exclusive = reply.result->value("exclusive", false) ? 1 : 0;
    bool fits = offer({reply.result->value("tag", "")}, tag, tag_len);
    fits = offer(names, clients, clients_len) && fits;
    fits = offer(keys, cookies, cookies_len) && fits;
    fits = offer(addresses, addrs, addrs_len) && fits;
    return fits ? static_cast<ssize_t>(names.size()) : -ERANGE;
  });
}

}  // extern "C"
