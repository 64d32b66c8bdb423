// Random I/O on an open image through librbd's C functions, by several threads, checked against plain memory byte by byte.
#pragma once

#include <rbd/librbd.h>

#include <cstdint>
#include <random>
#include <vector>

namespace cbd::test {

using Bytes = std::vector<unsigned char>;

// rbd_discard_granularity_bytes of the clients: the least that it can be.
constexpr uint64_t kDiscardUnit = 4096;

struct Round {
  // The handles to use, one a thread; the threads' parts of the image do not overlap, and where the handles belong to
  // different clients the borders lie between blocks.
  std::vector<rbd_image_t> handles;
  uint64_t operations = 0;  // of all threads
  uint32_t seed = 0;
  uint64_t grain = 1;  // of the borders
  bool discards = true;
};

// Carries out the round on an image that holds `model`, and brings `model` up to date; `touched` says of each byte whether the round
// changed it. False at the first mismatch or error, which is printed.
bool run_round(const Round& round, Bytes& model, Bytes& touched);

// Whether the image (or snapshot) that is open reads as `model`, all of it and no more.
bool reads_as(rbd_image_t handle, const Bytes& model, const char* what);

}  // namespace cbd::test
