// Carries completions and image options over to the real librbd.
#include <cerrno>
#include <new>
#include <string>

#include "ceph/rbd.h"
#include "rbd/completion.h"
#include "rbd/image_options.h"

namespace cbd::ceph {

namespace {

constinit Library<RbdFunctions> library{"ceprbd.so.1", kRbdNames};

void release_real(void* real) {
  rbd()->rbd_aio_release(real);
}

// The real completion has ended: so does ours. A real one whose image announces completions stays for as long as ours, since the
// real library hands out its handle when it is polled for, if it ever is.
void carried_end(rbd_completion_t real, void* argument) {
  auto* const ours = rbd::Completion::from(argument);
  const bool is_polled_for = ours->wants_event();
  ours->set_result(rbd()->rbd_aio_get_return_value(real));
  if (is_polled_for) ours->keep(real, release_real);
  ours->run();
  if (!is_polled_for) rbd()->rbd_aio_release(real);
}

}  // namespace

const RbdFunctions* rbd() {
  return library.get();
}
const RbdFunctions* loaded_rbd() {
  return library.loaded();
}

Carried::Carried(rbd_completion_t ours, rbd_image_t image) : ours_(ours) {
  if (rbd()->rbd_aio_create_completion(ours, carried_end, &real_) < 0) {
    real_ = nullptr;
    return;
  }
  rbd::Completion::from(ours)->start(nullptr, image != nullptr && image_of(image)->announces);
}

void Carried::submitted(ssize_t result) {
  if (result >= 0) return;
  rbd()->rbd_aio_release(real_);
  rbd::Completion::from(ours_)->release();
}

Options::Options(rbd_image_options_t ours) : ours_(ours) {
  if (ours == nullptr) return;
  const auto* const options = rbd::ImageOptions::from(ours);
  rbd()->rbd_image_options_create(&real_);
  for (int option = 0; rbd::ImageOptions::is_known(option) && error_ >= 0; option++) {
    if (!options->has(option)) continue;
    uint64_t number = 0;
    if (options->get(option, number) == 0) {
      error_ = rbd()->rbd_image_options_set_uint64(real_, option, number);
      continue;
    }
    std::string text;
    error_ = options->get(option, text);
    if (error_ == 0) error_ = rbd()->rbd_image_options_set_string(real_, option, text.c_str());
  }
}

Options::~Options() {
  if (real_ == nullptr) return;
  try {
    hand_back();
  } catch (const std::bad_alloc&) {
    // The call has been made; the caller misses what it wrote down.
  }
  rbd()->rbd_image_options_destroy(real_);
}

void Options::hand_back() {
  auto* const options = rbd::ImageOptions::from(ours_);
  for (int option = 0; rbd::ImageOptions::is_known(option); option++) {
    uint64_t number = 0;
    char text[4096];
    if (rbd()->rbd_image_options_get_uint64(real_, option, &number) == 0) {
      options->set(option, number);
    } else if (rbd()->rbd_image_options_get_string(real_, option, text, sizeof text) == 0) {
      options->set(option, std::string(text));
    } else {
      options->unset(option);
    }
  }
}

}  // namespace cbd::ceph
