// Preloaded into `cbd2rbd image move`: kills the process right after its CBD_DIE_AFTER-th call that changes an image's name, size,
// snapshots or metadata, as a crash at that moment would.
#include <dlfcn.h>
#include <rbd/librbd.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace {

std::atomic<int> calls{0};

template <class... Arguments>
int pass_on(const char* name, Arguments... arguments) {
  using Function = int (*)(Arguments...);
  const int result = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name))(arguments...);
  const char* const last = getenv("CBD_DIE_AFTER");
  if (last != nullptr && ++calls == atoi(last)) kill(getpid(), SIGKILL);
  return result;
}

}  // namespace

extern "C" {

int rbd_create4(rados_ioctx_t io, const char* name, uint64_t size, rbd_image_options_t options) { return pass_on("rbd_create4", io, name, size, options); }
int rbd_resize2(rbd_image_t image, uint64_t size, bool allow_shrink, librbd_progress_fn_t progress, void* argument) {
  return pass_on("rbd_resize2", image, size, allow_shrink, progress, argument);
}
int rbd_metadata_set(rbd_image_t image, const char* key, const char* value) { return pass_on("rbd_metadata_set", image, key, value); }
int rbd_metadata_remove(rbd_image_t image, const char* key) { return pass_on("rbd_metadata_remove", image, key); }
int rbd_snap_create(rbd_image_t image, const char* name) { return pass_on("rbd_snap_create", image, name); }
int rbd_snap_remove(rbd_image_t image, const char* name) { return pass_on("rbd_snap_remove", image, name); }
int rbd_snap_protect(rbd_image_t image, const char* name) { return pass_on("rbd_snap_protect", image, name); }
int rbd_snap_unprotect(rbd_image_t image, const char* name) { return pass_on("rbd_snap_unprotect", image, name); }
int rbd_rename(rados_ioctx_t io, const char* from, const char* to) { return pass_on("rbd_rename", io, from, to); }
int rbd_remove(rados_ioctx_t io, const char* name) { return pass_on("rbd_remove", io, name); }
int rbd_trash_move(rados_ioctx_t io, const char* name, uint64_t delay) { return pass_on("rbd_trash_move", io, name, delay); }
int rbd_flush(rbd_image_t image) { return pass_on("rbd_flush", image); }

}  // extern "C"
