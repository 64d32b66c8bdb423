// What is known of a chain without reading data: from maps, and from what a plain layer's volume says of
// itself.
#include <errno.h>

#include <algorithm>
#include <map>

#include "block/blocking.h"
#include "block/chain_state.h"

namespace cbd::block {

using layer::block_bytes;

// What the volumes of plain layers say of a range of bytes, each asked once: CurveBS's have to ask the daemon.
class PlainExtents {
 public:
  PlainExtents(uint64_t begin, uint64_t end) : begin_(begin), end_(end) {}
  // `found` is good as long as this is. Returns 0 or -errno.
  int of(Layer& layer, const std::vector<Extent>*& found);

 private:
  const uint64_t begin_, end_;
  std::map<const Layer*, std::vector<Extent>> known_;
};

namespace {

// So many bytes at a time, so that the list of pieces stays short.
constexpr uint64_t window = 1ull << 30;

uint64_t round_up(uint64_t bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

void add(std::vector<Extent>& out, size_t from, Extent::Kind kind, uint64_t offset, uint64_t length) {
  if (!length) return;
  if (out.size() > from && out.back().kind == kind && out.back().offset + out.back().length == offset) {
    out.back().length += length;
  } else {
    out.push_back({kind, offset, length});
  }
}

// resolve() with the maps read as needed, on this thread.
int resolve_now(std::mutex& lock, const LayerSet& set, size_t first, size_t last, uint64_t offset,
                uint64_t end, std::vector<Piece>& out) {
  out.clear();
  for (;;) {
    Missing missing;
    {
      std::lock_guard<std::mutex> guard(lock);
      const uint64_t at = out.empty() ? offset : out.back().offset + out.back().length;
      missing = resolve(set, first, last, at, end, out);
    }
    if (!missing.layer) return 0;
    if (int rc = load_missing(lock, missing)) return rc;
  }
}

// What a volume says of the data that a piece points at.
int data_extents(const Piece& piece, PlainExtents& plain, std::vector<Extent>& out, size_t from) {
  Layer& layer = *piece.layer;
  if (layer.is_cow) {
    add(out, from, Extent::Kind::data, piece.offset, piece.length);
    return 0;
  }
  const std::vector<Extent>* inner = nullptr;
  if (int rc = plain.of(layer, inner)) return rc;
  const uint64_t stop = piece.offset + piece.length;
  uint64_t at = piece.offset;
  auto first = std::partition_point(inner->begin(), inner->end(),
                                    [&](const Extent& e) { return e.offset + e.length <= at; });
  for (; first != inner->end() && first->offset < stop; ++first) {
    const Extent& e = *first;
    if (e.kind != Extent::Kind::data) continue;
    // A block that has any data is data.
    const uint64_t begin = std::max(at, e.offset / block_bytes * block_bytes);
    const uint64_t until = std::min(stop, round_up(e.offset + e.length));
    if (begin >= until) continue;
    add(out, from, Extent::Kind::zero, at, begin - at);
    add(out, from, Extent::Kind::data, begin, until - begin);
    at = until;
  }
  add(out, from, Extent::Kind::zero, at, stop - at);
  return 0;
}

}  // namespace

int PlainExtents::of(Layer& layer, const std::vector<Extent>*& found) {
  auto [known, is_new] = known_.try_emplace(&layer);
  found = &known->second;
  const uint64_t end = std::min(end_, layer.volume->size());
  if (!is_new || end <= begin_) return 0;
  const uint64_t grain = layer.volume->block_size();
  return layer.volume->extents(begin_, (end - begin_) / grain * grain, known->second);
}

int Chain::readable(Look& look) {
  State& s = state_.get();
  for (;;) {
    look.held = std::shared_lock<std::shared_mutex>(s.looking);
    {
      std::lock_guard<std::mutex> guard(s.lock);
      if (s.may(false) || lone_.load()) {
        look.set = s.set;
        return 0;
      }
    }
    look.held.unlock();
    // Waiting for leave is what a read does.
    alignas(block_bytes) std::byte block[block_bytes];
    if (size() == 0) return -EINVAL;
    if (int rc = read_blocking(*this, 0, block, block_bytes)) return rc;
  }
}

int Chain::extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) {
  const uint64_t end = offset + length;
  if (end < offset || end > size()) return -EINVAL;
  if (lone_.load(std::memory_order_acquire)) {
    // Other than a request, this may run while the layers change.
    State& s = state_.get();
    std::shared_lock<std::shared_mutex> look(s.looking);
    std::shared_ptr<Device> lone;
    {
      std::lock_guard<std::mutex> guard(s.lock);
      lone = lone_keeper_;
    }
    if (lone) return lone->extents(offset, length, out);
  }
  if ((offset | length) % block_bytes) return -EINVAL;
  Look look;
  if (!length) return 0;
  if (int rc = readable(look)) return rc;
  const size_t from = out.size();
  PlainExtents plain(offset, end);
  for (uint64_t at = offset; at < end; at += std::min(window, end - at)) {
    if (int rc = known_extents(*look.set, at, at + std::min(window, end - at), plain, out, from)) return rc;
  }
  return 0;
}

int Chain::known_extents(const LayerSet& set, uint64_t offset, uint64_t end, PlainExtents& plain,
                         std::vector<Extent>& out, size_t from) {
  std::vector<Piece> pieces;
  if (int rc = resolve_now(state_.get().lock, set, 0, set.items.size(), offset, end, pieces)) return rc;
  for (const Piece& piece : pieces) {
    if (piece.kind != Piece::Kind::data) {
      const auto kind = piece.kind == Piece::Kind::zero ? Extent::Kind::zero : Extent::Kind::absent;
      add(out, from, kind, piece.offset, piece.length);
    } else if (int rc = data_extents(piece, plain, out, from)) {
      return rc;
    }
  }
  return 0;
}

int Chain::changes_since(Chain* from, uint64_t offset, uint64_t length, std::vector<Extent>& out,
                         const std::vector<std::string>& layers) {
  const uint64_t end = offset + length;
  if (end < offset || (offset | length) % block_bytes) return -EINVAL;
  Look look, look_then;
  if (from) {
    if (int rc = from->readable(look_then)) return rc;
  }
  if (int rc = readable(look)) return rc;
  const std::shared_ptr<const LayerSet>&mine = look.set, &theirs = look_then.set;
  for (const std::string& id : layers) {
    const auto has_id = [&](const LayerSet::Item& item) { return item.layer->id == id; };
    if (std::none_of(mine->items.begin(), mine->items.end(), has_id)) return -ESTALE;
  }
  // The layers above the newest that both have are what tells them apart.
  size_t above_mine = mine->items.size(), above_theirs = theirs->items.size();
  for (size_t i = 0; i < mine->items.size() && above_mine == mine->items.size(); ++i) {
    for (size_t j = 0; j < theirs->items.size(); ++j) {
      if (mine->items[i].layer->id == theirs->items[j].layer->id) {
        above_mine = i;
        above_theirs = j;
        break;
      }
    }
  }
  auto counted = [](const LayerSet& set, size_t item) {
    return item < set.items.size() ? set.items[item].size : uint64_t{0};
  };
  // Where one lets less of the common layers count, the rest of them is a difference too.
  const uint64_t cut_from =
      std::min(counted(*mine, above_mine), counted(*theirs, above_theirs)) / block_bytes * block_bytes;
  const uint64_t cut_to = counted(*mine, above_mine) == counted(*theirs, above_theirs)
                              ? cut_from
                              : std::max(counted(*mine, above_mine), counted(*theirs, above_theirs));

  std::mutex& my_lock = state_.get().lock;
  std::mutex& their_lock = from ? from->state_.get().lock : my_lock;
  const size_t had = out.size();
  PlainExtents plain(offset, end), plain_then(offset, end);
  std::vector<Piece> own, other;
  std::vector<Extent> now;
  for (uint64_t at = offset; at < end; at += std::min(window, end - at)) {
    const uint64_t to = at + std::min(window, end - at);
    if (int rc = resolve_now(my_lock, *mine, 0, above_mine, at, to, own)) return rc;
    if (int rc = resolve_now(their_lock, *theirs, 0, above_theirs, at, to, other)) return rc;
    // Stretches that either of them owns, or that count in one only.
    std::vector<std::pair<uint64_t, uint64_t>> changed;
    for (const auto* list : {&own, &other}) {
      for (const Piece& piece : *list) {
        if (piece.kind != Piece::Kind::absent)
          changed.emplace_back(piece.offset, piece.offset + piece.length);
      }
    }
    if (cut_from < cut_to && cut_from < to && cut_to > at) {
      changed.emplace_back(std::max(cut_from, at), std::min(round_up(cut_to), to));
    }
    std::sort(changed.begin(), changed.end());
    uint64_t done = at;
    for (auto [begin, stop] : changed) {
      begin = std::max(begin, done);
      if (begin >= stop) continue;
      done = stop;
      now.clear();
      if (int rc = known_extents(*mine, begin, stop, plain, now, 0)) return rc;
      for (const Extent& e : now) {
        if (e.kind == Extent::Kind::data) {
          add(out, had, Extent::Kind::data, e.offset, e.length);
        } else if (from) {
          if (int rc = from->data_lost(*theirs, e, plain_then, out, had)) return rc;
        }
      }
    }
  }
  return 0;
}

// Adds as zero what of `hole`, which holds nothing now, held data in `set`, these layers of ours.
int Chain::data_lost(const LayerSet& set, const Extent& hole, PlainExtents& plain, std::vector<Extent>& out,
                     size_t from) {
  std::vector<Extent> then;
  if (int rc = known_extents(set, hole.offset, hole.offset + hole.length, plain, then, 0)) return rc;
  for (const Extent& e : then) {
    if (e.kind == Extent::Kind::data) add(out, from, Extent::Kind::zero, e.offset, e.length);
  }
  return 0;
}

}  // namespace cbd::block
