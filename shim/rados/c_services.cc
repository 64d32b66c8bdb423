// The C functions by which a program shows itself in a cluster's service map (tcmu-runner will not open an image without). There is no
// such map here: what is registered is checked and kept by the handle, and shown to nobody. And the questions whose true answer is "none".
#include <errno.h>
#include <string.h>

#include <nlohmann/json.hpp>

#include "rados/cluster.h"
#include "rados/watch.h"
#include "rados/completion.h"

using cbd::control::Json;
using cbd::rados::Cluster;
using cbd::rados::Completion;
using cbd::rados::result_of;

extern "C" {

// -EEXIST the second time; may come before rados_connect.
int rados_service_register(rados_t handle, const char* service, const char* daemon, const char* metadata) {
  if (service == nullptr || daemon == nullptr || metadata == nullptr) return result_of(-EINVAL);
  return result_of(Cluster::from(handle)->register_service());
}

int rados_service_update_status(rados_t handle, const char* status) {
  if (status == nullptr) return result_of(-EINVAL);
  return Cluster::from(handle)->is_connected() ? 0 : result_of(-ENOTCONN);
}

// Returns when the callbacks of watches that run have returned.
int rados_watch_flush(rados_t) {
  cbd::rados::Watches::all().flush();
  return 0;
}

int rados_aio_watch_flush(rados_t, rados_completion_t completion) {
  Completion::from(completion)->start();
  cbd::rados::Watches::all().flush();
  Completion::from(completion)->finish(0);
  return 0;
}

// There are no placement groups to be inconsistent. Returns the length of the empty list.
int rados_inconsistent_pg_list(rados_t handle, int64_t pool, char* buffer, size_t length) {
  if (pool < 0) return result_of(-ENOENT);
  auto reply = Cluster::from(handle)->call("pool.lookup", {{"id", pool}});
  if (reply.error != 0) return result_of(reply.error);
  if (buffer != nullptr) memset(buffer, 0, length);
  return 1;
}

}  // extern "C"
