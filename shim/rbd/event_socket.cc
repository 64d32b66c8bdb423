// See event_socket.h; and the two C functions.
#include "rbd/event_socket.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "rbd/guard.h"
#include "rbd/image.h"

namespace cbd::rbd {
namespace {

bool is_readable(int fd) {
  pollfd wanted{fd, POLLIN, 0};
  return poll(&wanted, 1, 0) == 1;
}

}  // namespace

EventSocket::~EventSocket() {
  for (Completion* completion : ended_) completion->release();
}

int EventSocket::set(int fd, int type) {
  if (fd < 0 || (type != EVENT_TYPE_PIPE && type != EVENT_TYPE_EVENTFD)) return -EINVAL;
  std::lock_guard<std::mutex> guard(lock_);
  if (is_set()) return -EINVAL;
  type_ = type;
  fd_.store(fd, std::memory_order_release);
  return 0;
}

void EventSocket::announce(Completion& completion, Heard heard) {
  completion.retain();
  {
    std::lock_guard<std::mutex> guard(lock_);
    ended_.push_back(&completion);
  }
  if (heard == Heard::fetches) return;
  const int fd = fd_.load(std::memory_order_acquire);
  // What he was told is still there: he has not come, and will find this one.
  if (heard == Heard::early && is_readable(fd)) return;
  // A descriptor that is full has been readable for long; one that fails is the client's own affair.
  const uint64_t one = 1;
  ssize_t written = type_ == EVENT_TYPE_EVENTFD ? write(fd, &one, sizeof one) : write(fd, "i", 1);
  static_cast<void>(written);
}

int EventSocket::fetch(rbd_completion_t* out, int room) {
  std::lock_guard<std::mutex> guard(lock_);
  int count = 0;
  for (; count < room && !ended_.empty(); count++) {
    out[count] = ended_.front();
    ended_.front()->release();
    ended_.pop_front();
  }
  return count;
}

}  // namespace cbd::rbd

using cbd::rbd::guarded;
using cbd::rbd::Image;

extern "C" {

int rbd_set_image_notification(rbd_image_t image, int fd, int type) {
  if (image == nullptr) return -EINVAL;
  const int error = Image::from(image)->events().set(fd, type);
  if (error == 0 && type == EVENT_TYPE_EVENTFD) Image::from(image)->io().ring().listen(fd);
  return error;
}

int rbd_poll_io_events(rbd_image_t image, rbd_completion_t* comps, int numcomp) {
  return guarded([&] {
    if (image == nullptr || comps == nullptr || numcomp < 1) return -EINVAL;
    Image& self = *Image::from(image);
    // A callback that runs here may close the image.
    self.begin_use();
    self.io().ring().help();
    const int count = self.events().fetch(comps, numcomp);
    self.end_use();
    return count;
  });
}

}  // extern "C"
