// The bytes of a move: one snapshot's worth into the copy, and a comparison of the two. Knows nothing of names and stages.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/image.h"

namespace cbd::hooks {

using Seen = std::function<void(uint64_t offset)>;

struct Piece {
  std::string base;       // the target is what this snapshot of the view's image was; "" where it is all zeroes
  uint64_t begin = 0;     // what lies before is copied already
  bool is_empty = false;  // nothing has been written to the target yet
};

// Makes `target` what `view` is. `saved` is called now and then with an offset before which everything is on disk; `moving`
// after each request. 0 or -errno; all of it is on disk on 0.
int copy_view(const Image& view, const Piece& piece, const Image& target, const Seen& saved, const Seen& moving);

// Gives `image` another size, a smaller one too. 0 or -errno.
int resize_to(const Image& image, uint64_t size);

// Compares the contents of two images of one size; where they differ, calls `differs` with the range and `view`'s bytes
// there. 0, -errno, or what `differs` returned where that is not 0.
int compare_views(const Image& view, const Image& copy, const std::function<int(uint64_t offset, const char* data, size_t length)>& differs,
                  const Seen& moving);

}  // namespace cbd::hooks
