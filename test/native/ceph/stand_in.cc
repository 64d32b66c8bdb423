// A librbd of its own kind: one image in memory, whose requests end on threads of their own, in any order. What it hands out is on the
// heap, so that a sanitizer sees what is used too long or never given back.
#include <pthread.h>
#include <rbd/librbd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Completion {
  rbd_callback_t callback;
  void* argument;
  ssize_t result = 0;
  std::atomic<int> references{1};
};

struct Image {
  std::mutex lock;  // guards all below
  std::condition_variable changed;
  std::string bytes = std::string(1 << 20, '\0');
  std::deque<Completion*> ended;  // for polling
  int flying = 0;
  bool announces = false;
  bool ends_at_once = false;  // requests end within the call
};

// As libceph-common has it: loading needs a stack of nearly 1 MiB.
__attribute__((constructor)) void take_stack() {
  volatile char frame[990'000];
  for (size_t at = 0; at < sizeof frame; at += 4096) frame[at] = 1;
}

// A thread of the library's, which its pool must not end on: named so that a test can tell.
template <class Work>
void on_thread(Work work) {
  std::thread([work] {
    pthread_setname_np(pthread_self(), "stand-in");
    work();
  }).detach();
}

void drop(Completion* completion) {
  if (completion->references.fetch_sub(1) == 1) delete completion;
}

// Carries `work` out on a thread of its own, then ends the request.
template <class Work>
int start(Image* image, rbd_completion_t handle, Work work) {
  auto* const completion = static_cast<Completion*>(handle);
  if (image->ends_at_once) {
    completion->result = work();
    if (completion->callback != nullptr) completion->callback(completion, completion->argument);
    return 0;
  }
  completion->references.fetch_add(1);
  {
    std::lock_guard<std::mutex> hold(image->lock);
    image->flying++;
  }
  on_thread([image, completion, work] {
    {
      std::lock_guard<std::mutex> hold(image->lock);
      completion->result = work();
    }
    if (completion->callback != nullptr) completion->callback(completion, completion->argument);
    std::lock_guard<std::mutex> hold(image->lock);
    // As in librbd, the list holds no reference: the client's own one keeps a completion until it was polled.
    if (image->announces) image->ended.push_back(completion);
    drop(completion);
    image->flying--;
    image->changed.notify_all();
  });
  return 0;
}

}  // namespace

extern "C" {

int rbd_open(rados_ioctx_t, const char* name, rbd_image_t* image, const char*) {
  const bool ends_at_once = strcmp(name, "there at once") == 0;
  if (strcmp(name, "there") != 0 && !ends_at_once) return -ENOENT;
  auto* const made = new Image;
  made->ends_at_once = ends_at_once;
  *image = made;
  return 0;
}

int rbd_close(rbd_image_t handle) {
  auto* const image = static_cast<Image*>(handle);
  {
    std::unique_lock<std::mutex> hold(image->lock);
    image->changed.wait(hold, [&] { return image->flying == 0; });
  }
  delete image;
  return 0;
}

int rbd_aio_close(rbd_image_t handle, rbd_completion_t end) {
  auto* const completion = static_cast<Completion*>(end);
  completion->references.fetch_add(1);
  on_thread([=] {
    rbd_close(handle);
    completion->callback(completion, completion->argument);
    drop(completion);
  });
  return 0;
}

int rbd_get_size(rbd_image_t handle, uint64_t* size) {
  *size = static_cast<Image*>(handle)->bytes.size();
  return 0;
}

int rbd_aio_create_completion(void* argument, rbd_callback_t callback, rbd_completion_t* out) {
  *out = new Completion{callback, argument};
  return 0;
}

ssize_t rbd_aio_get_return_value(rbd_completion_t completion) { return static_cast<Completion*>(completion)->result; }
void* rbd_aio_get_arg(rbd_completion_t completion) { return static_cast<Completion*>(completion)->argument; }
void rbd_aio_release(rbd_completion_t completion) { drop(static_cast<Completion*>(completion)); }

int rbd_aio_write(rbd_image_t handle, uint64_t offset, size_t length, const char* data, rbd_completion_t completion) {
  auto* const image = static_cast<Image*>(handle);
  if (offset == 1) return -EROFS;  // a refusal at the call: no callback comes
  return start(image, completion, [=]() -> ssize_t {
    if (offset + length > image->bytes.size()) return -EINVAL;
    memcpy(image->bytes.data() + offset, data, length);
    return 0;
  });
}

int rbd_aio_read(rbd_image_t handle, uint64_t offset, size_t length, char* data, rbd_completion_t completion) {
  auto* const image = static_cast<Image*>(handle);
  return start(image, completion, [=]() -> ssize_t {
    memcpy(data, image->bytes.data() + offset, length);
    return static_cast<ssize_t>(length);
  });
}

int rbd_aio_open(rados_ioctx_t, const char* name, rbd_image_t* out, const char*, rbd_completion_t handle) {
  auto* const completion = static_cast<Completion*>(handle);
  completion->references.fetch_add(1);
  on_thread([=, is_there = strcmp(name, "there") == 0] {
    if (is_there) *out = new Image;
    completion->result = is_there ? 0 : -ENOENT;
    completion->callback(completion, completion->argument);
    drop(completion);
  });
  return 0;
}

int rbd_set_image_notification(rbd_image_t handle, int, int) {
  static_cast<Image*>(handle)->announces = true;
  return 0;
}

int rbd_poll_io_events(rbd_image_t handle, rbd_completion_t* out, int room) {
  auto* const image = static_cast<Image*>(handle);
  std::lock_guard<std::mutex> hold(image->lock);
  int count = 0;
  while (count < room && !image->ended.empty()) {
    out[count++] = image->ended.front();
    image->ended.pop_front();
  }
  return count;
}

}  // extern "C"
