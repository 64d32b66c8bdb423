#include "ceph/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <string>

namespace cbd::ceph {

namespace {

// The folder that this library was loaded from, with a slash at its end; "" where the loader does not say.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&bind_library), &info) == 0 || info.dli_fname == nullptr) return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// Without it some twenty of their calls to themselves would come to us. The sanitizers refuse it; what their tests load makes none.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kBinding = 0;
#else
constexpr int kBinding = RTLD_DEEPBIND;
#endif

void* open_copy(const char* file) {
  const char* const chosen = getenv("CBD2RBD_CEPH_LIBS");
  const std::string folders[] = {chosen != nullptr ? chosen : "", own_folder() + "cbd2rbd-ceph",
                                 "/usr/lib/cbd2rbd/ceph"};
  for (const std::string& folder : folders) {
    if (folder.empty()) continue;
    const std::string path = folder + "/" + file;
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | kBinding)) return library;
  }
  return nullptr;
}

}  // namespace

namespace {

// libceph-common's initialisers need nearly 1 MiB of stack (16.2.15: one function's frame has 990,200 bytes), and the first call
// about a pool may come on a coroutine's stack (QEMU: 1 MiB) or a small thread's. So they run on a thread of their own.
constexpr size_t kStack = 8 << 20;

struct Opening {
  const char* const file;
  void* library = nullptr;
};

void* run_opening(void* argument) {
  auto* const opening = static_cast<Opening*>(argument);
  opening->library = open_copy(opening->file);
  return nullptr;
}

void* open_on_own_stack(const char* file) {
  Opening opening{file};
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return nullptr;
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const bool is_started = pthread_create(&thread, &attributes, run_opening, &opening) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (is_started) pthread_join(thread, nullptr);
  return opening.library;
}

}  // namespace

bool bind_library(const char* file, const char* const* names, void** functions, size_t count) {
  void* const library = open_on_own_stack(file);
  if (library == nullptr) return false;
  for (size_t i = 0; i < count; i++) functions[i] = dlsym(library, names[i]);
  return true;
}

}  // namespace cbd::ceph
