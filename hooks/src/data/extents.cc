#include "data/extents.h"

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

}  // namespace cbd::hooks
