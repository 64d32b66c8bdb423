// The C functions that show what of an image holds data.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>

#include "rbd/data_requests.h"
#include "rbd/diff.h"
#include "rbd/guard.h"

namespace cbd::rbd {

namespace {

using block::Extent;

// How much of an image is looked at in one go: bounds the memory that a walk over a large image takes. What turned out to be few
// pieces goes on in larger ones: each may cost a question to the daemon.
constexpr uint64_t kWindow = uint64_t{1} << 30, kLargestWindow = 16 * kWindow;
constexpr size_t kFewPieces = 1000;
constexpr uint64_t kBlock = 4096;

using Show = int (*)(uint64_t, size_t, int, void*);

struct Walk {
  uint64_t offset, length;
  bool whole_object;
  bool with_parent;
  Show show;
  void* arg;
  uint64_t object = 0;
  bool shows_zeroes = false;  // what was data at the older snapshot and is none now

  bool shows(const Extent& extent) const {
    return extent.kind == Extent::Kind::data || (shows_zeroes && extent.kind == Extent::Kind::zero);
  }
};

// Shows extents, cut where objects end.
int show_exactly(const Walk& walk, const std::vector<Extent>& extents) {
  for (const Extent& extent : extents) {
    if (!walk.shows(extent)) continue;
    const int exists = extent.kind == Extent::Kind::data ? 1 : 0;
    for (uint64_t at = extent.offset, end = extent.offset + extent.length; at < end;) {
      const uint64_t to = std::min(end, (at / walk.object + 1) * walk.object);
      int result = walk.show(at, to - at, exists, walk.arg);
      if (result < 0) return result;
      at = to;
    }
  }
  return 0;
}

// Whether any of that part of the image is data: 1 or 0, or -errno.
int holds_data(Image& image, uint64_t offset, uint64_t length) {
  std::vector<Extent> extents;
  if (int error = image.io().extents(offset, length, extents)) return error;
  return std::any_of(extents.begin(), extents.end(), [](const Extent& extent) { return extent.kind == Extent::Kind::data; }) ? 1 : 0;
}

// Shows all of each object that has an extent to show. It exists where any of it is data, be it among these or not: whoever takes
// over what changed takes one that does not exist for zeroes.
int show_objects(Image& image, const Walk& walk, const std::vector<Extent>& extents) {
  uint64_t current = UINT64_MAX;
  int exists = 0;
  auto show_current = [&] {
    if (current == UINT64_MAX) return 0;
    const uint64_t from = std::max(current * walk.object, walk.offset);
    const uint64_t to = std::min((current + 1) * walk.object, walk.offset + walk.length);
    if (exists == 0) exists = holds_data(image, from, to - from);
    return exists < 0 ? exists : std::min(walk.show(from, to - from, exists, walk.arg), 0);
  };
  for (const Extent& extent : extents) {
    if (!walk.shows(extent)) continue;
    const uint64_t last = (extent.offset + extent.length - 1) / walk.object;
    for (uint64_t object = extent.offset / walk.object; object <= last; object++) {
      if (object != current) {
        if (int result = show_current()) return result;
        current = object;
        exists = 0;
      }
      if (extent.kind == Extent::Kind::data) exists = 1;
    }
  }
  return show_current();
}

// Chains can be compared only with leave to read; a read asks for it, and waits.
int ensure_readable(Image& image) {
  if (image.io().own() != Own::none) return 0;
  char byte;
  iovec vector = {&byte, 1};
  IoRequest request;
  request.op = block::Op::read;
  request.length = 1;
  request.iov = &vector;
  request.iovcnt = 1;
  return image.io().run(request);
}

// So often a comparison begins anew because layers were merged meanwhile. After that it shows what may be more than differs.
constexpr int kMostTries = 10;

std::vector<std::string> frozen_layers(const ImageState& state) {
  std::vector<std::string> ids;
  for (const LayerState& layer : state.layers) {
    if (layer.is_frozen) ids.push_back(layer.id);
  }
  return ids;
}

// `open(older)` reads the chain to compare with, as it is now.
template <class Open>
int diff_since(Image& image, Open&& open, const Walk& walk) {
  std::unique_ptr<OlderChain> from;
  if (int error = open(from)) return error;
  std::vector<Extent> extents;
  const uint64_t window = std::max(kWindow, walk.object);
  for (uint64_t at = walk.offset; at < walk.offset + walk.length;) {
    const uint64_t end = std::min(walk.offset + walk.length, (at / window + 1) * window);
    int error = -ESTALE;
    for (int tries = 0; error == -ESTALE; tries++) {
      extents.clear();
      error = changes_since(image, &from->chain, at, end - at, extents, tries < kMostTries ? from->beside : std::vector<std::string>());
      if (error != -ESTALE) break;
      if (int failed = image.refresh()) return failed;
      if (int failed = open(from)) return failed;
    }
    if (error == 0) error = walk.whole_object ? show_objects(image, walk, extents) : show_exactly(walk, extents);
    if (error != 0) return error;
    at = end;
  }
  return 0;
}

int diff_whole(Image& image, const Walk& walk) {
  return for_each_window(image, walk.offset, walk.length, std::max(kWindow, walk.object),
                         [&](const std::vector<Extent>& extents) {
                           return walk.whole_object ? show_objects(image, walk, extents) : show_exactly(walk, extents);
                         });
}

// The first look at the whole objects of an image with fast-diff brings the real library's automatic lock where nobody has it; a handle tries
// that once (as 16.2.15 does it, shown by test/conformance/cases/automatic-lock.ts).
void look_with_lock(Image& image) {
  const bool has_map = (image.state()->features & RBD_FEATURE_FAST_DIFF) != 0;
  if (has_map && !image.is_read_only() && image.lacks_lock() && image.is_first_look()) image.take_free_lock();
}

// `find(state)` gives the older snapshot, null for none (then `is_from_nothing`).
template <class Find>
int diff(rbd_image_t handle, bool is_from_nothing, Find&& find, Walk walk) {
  return guarded([&] {
    if (handle == nullptr || walk.show == nullptr) return -EINVAL;
    Image& image = *Image::from(handle);
    auto state = image.state();
    const SnapState* from = is_from_nothing ? nullptr : find(*state);
    if (from == nullptr && !is_from_nothing) return -ENOENT;
    // A newer snapshot cannot be the older one.
    if (from != nullptr && state->snap_id && from->id > *state->snap_id) return -EINVAL;
    if (int error = clip(image, walk.offset, walk.length)) return error;
    if (from != nullptr && state->snap_id && from->id == *state->snap_id) return 0;
    if (from == nullptr && walk.whole_object) look_with_lock(image);
    walk.object = uint64_t{1} << state->order;
    walk.shows_zeroes = from != nullptr;
    const bool inherits = std::any_of(state->layers.begin(), state->layers.end(),
                                      [](const LayerState& layer) { return layer.is_inherited; });
    if (from == nullptr && (walk.with_parent || !inherits)) return diff_whole(image, walk);
    auto open = [&](std::unique_ptr<OlderChain>& older) {
      older = std::make_unique<OlderChain>(image);
      return from != nullptr ? older->open_snap(image, from->id) : older->open_inherited(image);
    };
    return diff_since(image, open, walk);
  });
}

}  // namespace

OlderChain::OlderChain(Image& image) : volumes(image.io().volumes()), chain([](bool) {}) {}

int OlderChain::open_inherited(Image& image) { return open(image, {image.state()->snap_id, true}); }

int OlderChain::open_snap(Image& image, uint64_t snap_id) { return open(image, {snap_id, false}); }

// Layers may be merged between what the image was told of its chain and the answer here. Then they have other ids in the
// two, and all that is in them would count as changed.
int OlderChain::open(Image& image, const Wanted& wanted) {
  for (int tries = 0;; tries++) {
    beside = frozen_layers(*image.state());
    if (int error = read(image, wanted)) return error;
    if (int error = image.refresh()) return error;
    const std::vector<std::string> now = frozen_layers(*image.state());
    const auto is_there = [&](const std::string& id) { return std::find(now.begin(), now.end(), id) != now.end(); };
    if (tries == kMostTries || std::all_of(beside.begin(), beside.end(), is_there)) return 0;
  }
}

// The daemon is asked also for what the image has: it keeps these layers as they are while the handle is open.
int OlderChain::read(Image& image, const Wanted& wanted) {
  Json params = {{"have", volumes.ids()}};
  params["snapId"] = wanted.snap_id ? Json(*wanted.snap_id) : Json();
  Reply reply = image.call("layer.chain", std::move(params));
  if (reply.error != 0) return reply.error;
  std::vector<LayerState> layers;
  int error = parse_layers(reply.result->at("layers"), layers);
  if (wanted.only_inherited) std::erase_if(layers, [](const LayerState& layer) { return !layer.is_inherited; });
  std::vector<block::LayerSpec> specs;
  if (error == 0) error = volumes.update(layers, std::move(reply.fds), specs);
  if (error == 0) error = chain.set_layers(std::move(specs), reply.result->at("size"), block::Chain::Leave::read);
  return error;
}

int changes_since(Image& image, block::Chain* older, uint64_t offset, uint64_t length, std::vector<Extent>& out,
                  const std::vector<std::string>& beside) {
  if (int error = ensure_readable(image)) return error;
  // Chains are compared in whole blocks.
  const uint64_t begin = offset / kBlock * kBlock, end = (offset + length + kBlock - 1) / kBlock * kBlock;
  std::vector<Extent> found;
  if (int error = image.io().chain().changes_since(older, begin, end - begin, found, beside)) return error;
  for (const Extent& extent : found) {
    const uint64_t from = std::max(extent.offset, offset);
    const uint64_t to = std::min(extent.offset + extent.length, offset + length);
    if (from < to) out.push_back({extent.kind, from, to - from});
  }
  return 0;
}

int for_each_window(Image& image, uint64_t offset, uint64_t length, uint64_t window,
                    const std::function<int(const std::vector<Extent>&)>& look) {
  std::vector<Extent> extents;
  uint64_t windows = 1;
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t end = std::min(offset + length, (at / window + windows) * window);
    extents.clear();
    int error = image.io().extents(at, end - at, extents);
    if (error == 0) error = look(extents);
    if (error != 0) return error;
    at = end;
    const bool may_grow = extents.size() < kFewPieces && windows * 2 * window <= kLargestWindow;
    windows = extents.size() >= kFewPieces ? 1 : may_grow ? windows * 2 : windows;
  }
  return 0;
}

}  // namespace cbd::rbd

using namespace cbd::rbd;

extern "C" {

int rbd_diff_iterate(rbd_image_t image, const char* fromsnapname, uint64_t ofs, uint64_t len, Show cb, void* arg) {
  return rbd_diff_iterate2(image, fromsnapname, ofs, len, 1, 0, cb, arg);
}

// Shows each extent that holds data, or that changed since the older snapshot, in order, object by object; a negative
// result of `cb` ends it and is returned. -EINVAL where the range begins at or past the end, -ENOENT for a snapshot that
// is not there.
int rbd_diff_iterate2(rbd_image_t image, const char* fromsnapname, uint64_t ofs, uint64_t len,
                      uint8_t include_parent, uint8_t whole_object, Show cb, void* arg) {
  auto find = [&](const ImageState& state) { return find_snap(state, std::string(fromsnapname)); };
  return diff(image, fromsnapname == nullptr, find, {ofs, len, whole_object != 0, include_parent != 0, cb, arg});
}

// The same by a snapshot's id, 0 for none.
int rbd_diff_iterate3(rbd_image_t image, uint64_t from_snap_id, uint64_t ofs, uint64_t len, uint32_t flags, Show cb,
                      void* arg) {
  constexpr uint32_t known = RBD_DIFF_ITERATE_FLAG_INCLUDE_PARENT | RBD_DIFF_ITERATE_FLAG_WHOLE_OBJECT;
  if ((flags & ~known) != 0) return -EINVAL;
  auto find = [&](const ImageState& state) { return find_snap(state, from_snap_id); };
  const bool whole_object = (flags & RBD_DIFF_ITERATE_FLAG_WHOLE_OBJECT) != 0;
  const bool with_parent = (flags & RBD_DIFF_ITERATE_FLAG_INCLUDE_PARENT) != 0;
  return diff(image, from_snap_id == 0, find, {ofs, len, whole_object, with_parent, cb, arg});
}

}  // extern "C"
