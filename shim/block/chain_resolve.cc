// Who owns which block, by the maps; and reading maps that are not known yet.
#include <errno.h>

#include <algorithm>
#include <cstdlib>

#include "block/blocking.h"
#include "block/chain_state.h"

namespace cbd::block {

using layer::block_bytes;
using layer::Entry;

namespace {

uint64_t round_up(uint64_t bytes) {
  return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

}  // namespace

const std::vector<uint16_t>* LayerSet::owners(uint64_t page) const {
  constexpr size_t worth_it = 4;
  if (items.size() <= worth_it || items.size() > UINT16_MAX) return nullptr;
  if (page < list_of_page_.size() && list_of_page_[page]) return &lists_[list_of_page_[page] - 1u];
  std::vector<uint16_t> found;
  for (size_t i = 0; i < items.size(); ++i) {
    const Layer& layer = *items[i].layer;
    if (layer.is_cow && items[i].is_frozen) {
      if (!layer.header_is_known || !layer.map.is_known(page / LayerMap::pages_per_chunk)) return nullptr;
      if (layer.map.is_page_empty(page)) continue;
    }
    found.push_back(static_cast<uint16_t>(i));
  }
  // There are few different lists.
  auto same = std::find(lists_.begin(), lists_.end(), found);
  if (same == lists_.end()) {
    if (lists_.size() >= UINT16_MAX - 1) return nullptr;
    same = lists_.insert(lists_.end(), std::move(found));
  }
  if (list_of_page_.size() <= page) list_of_page_.resize(page + 1);
  list_of_page_[page] = static_cast<uint16_t>(same - lists_.begin() + 1);
  return &*same;
}

Missing resolve(const LayerSet& set, size_t first, size_t last, uint64_t offset, uint64_t end,
                std::vector<Piece>& out) {
  while (offset < end) {
    uint64_t blocks = (end - offset) / block_bytes;
    uint64_t counted = UINT64_MAX;  // what the layers so far let count
    Piece piece{Piece::Kind::absent, nullptr, offset, 0, 0};
    const uint64_t block = offset / block_bytes;
    const std::vector<uint16_t>* owners = set.owners(block / layer::blocks_per_page);
    if (owners) blocks = std::min(blocks, layer::blocks_per_page - block % layer::blocks_per_page);
    const size_t candidates = owners ? owners->size() : last;
    for (size_t c = owners ? 0 : first; c < candidates; ++c) {
      const size_t i = owners ? (*owners)[c] : c;
      if (i < first || i >= last) continue;
      const LayerSet::Item& item = set.items[i];
      Layer& found = *item.layer;
      if (offset >= item.size) {
        piece.kind = Piece::Kind::zero;
        break;
      }
      counted = std::min(counted, item.size);
      blocks = std::min(blocks, (round_up(item.size) - offset) / block_bytes);
      if (!found.is_cow) {
        piece.kind = Piece::Kind::data;
        piece.layer = &found;
        break;
      }
      if (!found.header_is_known || !found.map.is_known(LayerMap::chunk_of(block))) {
        return {item.layer, LayerMap::chunk_of(block)};
      }
      const Entry entry = found.map.run(block, blocks, blocks);
      if (entry == Entry::absent) continue;
      piece.kind = entry == Entry::data ? Piece::Kind::data : Piece::Kind::zero;
      piece.layer = entry == Entry::data ? &found : nullptr;
      break;
    }
    piece.length = blocks * block_bytes;
    piece.valid = std::min(piece.length, counted - std::min(counted, offset));
    Piece* before = out.empty() ? nullptr : &out.back();
    if (before && before->kind == piece.kind && before->layer == piece.layer &&
        before->offset + before->length == offset && before->valid == before->length) {
      before->length += piece.length;
      before->valid += piece.valid;
    } else {
      out.push_back(piece);
    }
    offset += piece.length;
  }
  return {};
}

int load_missing(std::mutex& lock, const Missing& missing) {
  Layer& layer = *missing.layer;
  bool reads_head;
  {
    std::lock_guard<std::mutex> guard(lock);
    reads_head = !layer.header_is_known;
    if (!reads_head && layer.map.is_known(missing.chunk)) return 0;
  }
  const uint64_t length = reads_head ? Layer::head_bytes : LayerMap::chunk_length(missing.chunk);
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, length) != 0) return -ENOMEM;
  const auto* bytes = static_cast<const std::byte*>(memory);
  int rc =
      read_blocking(*layer.volume, reads_head ? 0 : LayerMap::chunk_offset(missing.chunk), memory, length);
  if (rc == 0) {
    std::lock_guard<std::mutex> guard(lock);
    if (!reads_head) {
      rc = layer.map.install(missing.chunk, bytes) ? 0 : -EIO;
    } else if (!layer.header_is_known) {
      rc = layer.take_head(bytes);
    }
  }
  std::free(memory);
  return rc;
}

Chain::Loader::~Loader() {
  std::free(buffer);
}

void Chain::Loader::start() {
  const uint64_t length = reads_head ? Layer::head_bytes : LayerMap::chunk_length(chunk);
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, length) != 0) return finish(-ENOMEM);
  buffer = static_cast<std::byte*>(memory);
  iov = {buffer, length};
  inner.op = Op::read;
  inner.offset = reads_head ? 0 : LayerMap::chunk_offset(chunk);
  inner.length = length;
  inner.iov = &iov;
  inner.iovcnt = 1;
  inner.context = this;
  inner.done = [](Request* self, int result) { static_cast<Loader*>(self->context)->finish(result); };
  layer->volume->submit(inner);
}

void Chain::Loader::finish(int result) {
  std::unique_ptr<Loader> self;
  {
    std::lock_guard<std::mutex> guard(state->lock);
    if (result == 0) {
      if (!reads_head) {
        result = layer->map.install(chunk, buffer) ? 0 : -EIO;
      } else if (!layer->header_is_known) {
        result = layer->take_head(buffer);
      }
    }
    auto& all = state->loaders;
    const auto at = std::find_if(all.begin(), all.end(), [this](const auto& l) { return l.get() == this; });
    self = std::move(*at);
    all.erase(at);
  }
  while (Work* work = waiting) {
    waiting = work->next;
    if (result) {
      work->finish(result);
    } else {
      work->step();
    }
  }
}

}  // namespace cbd::block
