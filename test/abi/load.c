// Loads the libraries that it is given as LD_BIND_NOW does and says what that did to the process: "threads N
// fds N" before and after, one line a library between. Exits with 1 where a library does not load.
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>

static int entries(const char* path) {
  DIR* dir = opendir(path);
  if (dir == NULL) return -1;
  int count = -2;  // . and ..
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

static void report(void) {
  printf("threads %d fds %d\n", entries("/proc/self/task"), entries("/proc/self/fd"));
}

int main(int argc, char** argv) {
  int failed = 0;
  report();
  for (int i = 1; i < argc; i++) {
    void* library = dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL);
    printf("%s %s\n", library != NULL ? "loaded" : "failed", library != NULL ? argv[i] : dlerror());
    if (library == NULL) failed = 1;
  }
  report();
  return failed;
}
