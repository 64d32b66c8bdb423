#include "data/extents.h"

#include <algorithm>

namespace cbd::hooks {

int list_extents(const Image& image, const std::string& from, bool with_parent, std::vector<Extent>& out, bool whole_objects) {
  auto note = [](uint64_t offset, size_t length, int exists, void* into) {
    auto& list = *static_cast<std::vector<Extent>*>(into);
    if (!list.empty() && list.back().offset + list.back().length == offset && list.back().exists == (exists != 0)) {
      list.back().length += length;
    } else {
      list.push_back({offset, length, exists != 0});
    }
    return 0;
  };
  return rbd_diff_iterate2(image.handle(), from.empty() ? nullptr : from.c_str(), 0, image.size(), with_parent ? 1 : 0,
                           whole_objects ? 1 : 0, note, &out);
}

std::vector<Extent> split_at(const std::vector<Extent>& extents, uint64_t size) {
  std::vector<Extent> pieces;
  for (const Extent& extent : extents) {
    const uint64_t end = extent.offset + extent.length;
    for (uint64_t at = extent.offset; at < end;) {
      const uint64_t next = std::min(end, (at / size + 1) * size);
      pieces.push_back({at, next - at, extent.exists});
      at = next;
    }
  }
  return pieces;
}

}  // namespace cbd::hooks
