// The C functions that list a pool's objects, by namespace or all (LIBRADOS_ALL_NSPACES), sorted by name.
#include <errno.h>

#include <deque>

#include "rados/cluster.h"
#include "rados/object_call.h"
#include "rados/object_iterators.h"

using cbd::rados::io_from;
using cbd::rados::Json;
using cbd::rados::result_of;

namespace {

struct Listing {
  uint64_t magic = cbd::rados::list_magic;
  std::shared_ptr<cbd::control::Client> client;
  uint64_t pool = 0;
  Json name_space;  // null: all
  std::deque<std::pair<std::string, std::string>> page;  // name, namespace
  std::pair<std::string, std::string> current;           // what the caller was shown last
  Json next;                                             // null: nothing behind this page
  bool begun = false;
};

Listing* from(rados_list_ctx_t handle) { return static_cast<Listing*>(handle); }

int fetch(Listing& listing) {
  Json params = {{"pool", listing.pool}, {"namespace", listing.name_space}, {"max", 1000}};
  if (listing.begun) params["after"] = listing.next;
  auto reply = listing.client->call("object.list", std::move(params));
  if (reply.error != 0) return reply.error;
  try {
    for (const Json& object : reply.result->at("objects")) {
      listing.page.emplace_back(object.at("name").get<std::string>(), object.at("namespace").get<std::string>());
    }
    listing.next = reply.result->at("next");
    listing.begun = true;
  } catch (const Json::exception&) {
    return -EPROTO;
  }
  return 0;
}

}  // namespace

extern "C" {

int rados_nobjects_list_open(rados_ioctx_t io, rados_list_ctx_t* handle) {
  auto listing = std::make_unique<Listing>();
  listing->client = io_from(io).client;
  listing->pool = io_from(io).pool_id;
  if (io_from(io).name_space != LIBRADOS_ALL_NSPACES) listing->name_space = io_from(io).name_space;
  *handle = listing.release();
  return 0;
}

// -ENOENT at the end. What it points at lives until the next call.
int rados_nobjects_list_next2(rados_list_ctx_t handle, const char** entry, const char** key, const char** name_space,
                              size_t* entry_length, size_t* key_length, size_t* name_space_length) {
  Listing& listing = *from(handle);
  if (listing.page.empty() && (!listing.begun || !listing.next.is_null())) {
    int error = fetch(listing);
    if (error != 0) return result_of(error);
  }
  if (listing.page.empty()) return result_of(-ENOENT);
  listing.current = std::move(listing.page.front());
  listing.page.pop_front();
  *entry = listing.current.first.c_str();
  if (key != nullptr) *key = nullptr;  // no object has a locator key
  if (name_space != nullptr) *name_space = listing.current.second.c_str();
  if (entry_length != nullptr) *entry_length = listing.current.first.size();
  if (key_length != nullptr) *key_length = 0;
  if (name_space_length != nullptr) *name_space_length = listing.current.second.size();
  return 0;
}

int rados_nobjects_list_next(rados_list_ctx_t handle, const char** entry, const char** key, const char** name_space) {
  return rados_nobjects_list_next2(handle, entry, key, name_space, nullptr, nullptr, nullptr);
}

void rados_nobjects_list_close(rados_list_ctx_t handle) { delete from(handle); }

}  // extern "C"
