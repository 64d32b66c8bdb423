// Measures what our layer adds to a request on a real Ceph: the same requests on the stand-in, which ends them at once, through us and
// directly, by turns. Prints nanoseconds a request: "direct N", "through N". Not a test.
#include <dlfcn.h>
#include <rbd/librbd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "pool_there.h"

namespace {

constexpr int kBatch = 2000;
constexpr int kRounds = 200;

// As fio drives librbd: a completion for each request, with a callback.
struct Library {
  decltype(&rbd_aio_create_completion) create = rbd_aio_create_completion;
  decltype(&rbd_aio_read) read = rbd_aio_read;
  decltype(&rbd_aio_get_return_value) result = rbd_aio_get_return_value;
  decltype(&rbd_aio_release) release = rbd_aio_release;
};

template <class Function>
void bind(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

void ended(rbd_completion_t, void* counter) { ++*static_cast<int*>(counter); }

double batch(const Library& library, rbd_image_t image) {
  char data[512];
  int count = 0;
  const auto began = std::chrono::steady_clock::now();
  for (int at = 0; at < kBatch; at++) {
    rbd_completion_t completion = nullptr;
    library.create(&count, ended, &completion);
    if (library.read(image, 512 * (at % 100), sizeof data, data, completion) < 0 || library.result(completion) != sizeof data) exit(1);
    library.release(completion);
  }
  if (count != kBatch) exit(1);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began).count() / kBatch;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main() {
  setenv("CBD2RBD_CEPH_LIBS", STAND_IN, 1);
  Place place;
  rbd_image_t through = nullptr, direct = nullptr;
  void* const there = dlopen(STAND_IN "/ceprbd.so.1", RTLD_NOW | RTLD_LOCAL);
  if (there == nullptr || rbd_open(&place.io, "there at once", &through, nullptr) < 0) return 1;
  Library stand_in;
  bind(there, "rbd_aio_create_completion", stand_in.create);
  bind(there, "rbd_aio_read", stand_in.read);
  bind(there, "rbd_aio_get_return_value", stand_in.result);
  bind(there, "rbd_aio_release", stand_in.release);
  decltype(&rbd_open) open_there = nullptr;
  decltype(&rbd_close) close_there = nullptr;
  bind(there, "rbd_open", open_there);
  bind(there, "rbd_close", close_there);
  if (open_there(nullptr, "there at once", &direct, nullptr) < 0) return 1;
  std::vector<double> times[2];
  for (int round = 0; round < kRounds; round++) {
    for (const int which : {round % 2, 1 - round % 2}) times[which].push_back(which == 0 ? batch(stand_in, direct) : batch(Library(), through));
  }
  printf("direct %.0f\nthrough %.0f\n", median(times[0]), median(times[1]));
  close_there(direct);
  return rbd_close(through) < 0 ? 1 : 0;
}
