#include "ceph/library.h"

#include <dlfcn.h>

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

bool bind_library(const char* file, const char* const* names, void** functions, size_t count) {
  void* const library = open_copy(file);
  if (library == nullptr) return false;
  for (size_t i = 0; i < count; i++) functions[i] = dlsym(library, names[i]);
  return true;
}

}  // namespace cbd::ceph
