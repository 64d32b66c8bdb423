// flock(2) for the daemon, so that two of them never run on one store.
#include "addon/files.h"

#include <sys/file.h>

#include <cerrno>

#include "addon/error.h"

namespace cbd::addon {
namespace {

Napi::Value try_lock(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = -1;
  if (info.Length() < 1 || !take_fd(info[0], fd)) return fail(env, "tryLock", EBADF);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return Napi::Boolean::New(env, true);
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(env, false);
  return fail(env, "flock", errno);
}

}  // namespace

void export_files(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New(env, try_lock, "tryLock"));
}

}  // namespace cbd::addon
