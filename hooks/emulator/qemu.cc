// An emulator for libvirt that is QEMU with our libraries preloaded, for hosts where the distribution's own librbd stays in place.
// libvirt starts emulators with a clean environment, so the variable must be set here. It is the program of its own name without
// the prefix: cbd2rbd-qemu-system-x86_64 runs qemu-system-x86_64 of the same folder, or of /usr/bin.
#include <limits.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr const char* prefix = "cbd2rbd-";
// Seen from this program's folder: as installed, and in a build.
constexpr const char* folders[] = {"../lib/cbd2rbd/preload", "../../lib"};
constexpr const char* libraries[] = {"librados.so.2", "librbd.so.1"};

std::string own_folder() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length < 0) return "/usr/bin";
  path[length] = '\0';
  return std::string(path, strrchr(path, '/') - path);
}

// The list for LD_PRELOAD, "" where the libraries are in none of the folders.
std::string preload(const std::string& home) {
  for (const char* folder : folders) {
    std::string list;
    for (const char* name : libraries) {
      std::string path = home + "/" + folder + "/" + name;
      char resolved[PATH_MAX];
      if (realpath(path.c_str(), resolved) == nullptr) break;
      if (!list.empty()) list += ':';
      list += resolved;
      if (name == libraries[1]) return list;
    }
  }
  return "";
}

}  // namespace

int main(int, char** arguments) {
  const char* slash = strrchr(arguments[0], '/');
  std::string name = slash != nullptr ? slash + 1 : arguments[0];
  if (name.compare(0, strlen(prefix), prefix) != 0) {
    fprintf(stderr, "%s: must be called %s and the name of an emulator\n", arguments[0], prefix);
    return 126;
  }
  name.erase(0, strlen(prefix));

  std::string home = own_folder();
  std::string list = preload(home);
  if (list.empty()) {
    // QEMU would run with Ceph's librbd and find none of our pools: better not at all.
    fprintf(stderr, "%s: no librbd.so.1 and librados.so.2 in %s/%s\n", arguments[0], home.c_str(), folders[0]);
    return 127;
  }
  if (const char* given = getenv("LD_PRELOAD"); given != nullptr && *given != '\0') {
    list += ':';
    list += given;
  }
  setenv("LD_PRELOAD", list.c_str(), 1);

  for (std::string path : {home, std::string("/usr/bin")}) {
    path += '/';
    path += name;
    if (access(path.c_str(), X_OK) == 0) execv(path.c_str(), arguments);
  }
  perror(name.c_str());
  return 127;
}
