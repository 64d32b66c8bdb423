// Two bits a block, four blocks a byte.
#include "block/layer_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cbd::block {

using layer::Entry;

namespace {

constexpr unsigned fourfold(Entry entry) {
  return static_cast<unsigned>(entry) * 0x55;
}

Entry entry_of(std::byte byte, uint64_t index) {
  return static_cast<Entry>(std::to_integer<unsigned>(byte) >> 2 * (index % 4) & 3);
}

}  // namespace

uint64_t LayerMap::chunk_length(uint64_t chunk) {
  return std::min(chunk_bytes, layer::data_offset - chunk_offset(chunk));
}

bool LayerMap::install(uint64_t chunk, const std::byte* from) {
  if (is_known(chunk)) return true;
  const uint64_t count = chunk_length(chunk) / layer::page_bytes;
  std::vector<std::pair<uint64_t, std::shared_ptr<Bits>>> fresh;
  for (uint64_t i = 0; i < count; ++i) {
    const std::byte* page = from + i * layer::page_bytes;
    if (page[0] == std::byte{0} && std::memcmp(page, page + 1, layer::page_bytes - 1) == 0) continue;
    auto bits = std::make_shared<Bits>();
    if (!layer::decode_page(page, bits->data())) return false;
    fresh.emplace_back(chunk * pages_per_chunk + i, std::move(bits));
  }
  for (auto& [page, bits] : fresh) pages_[page] = std::move(bits);
  if (known_.size() <= chunk) known_.resize(chunk + 1);
  known_[chunk] = true;
  return true;
}

Entry LayerMap::run(uint64_t block, uint64_t limit, uint64_t& length) const {
  uint64_t index = block % layer::blocks_per_page;
  limit = std::min(limit, layer::blocks_per_page - index);
  const auto found = pages_.find(block / layer::blocks_per_page);
  if (found == pages_.end()) {
    length = limit;
    return Entry::absent;
  }
  const Bits& bits = *found->second;
  const Entry entry = entry_of(bits[index / 4], index);
  const uint64_t end = index + limit;
  const auto whole = static_cast<std::byte>(fourfold(entry));
  uint64_t at = index + 1;
  while (at < end) {
    if (at % 4 == 0 && bits[at / 4] == whole) {
      at += 4;
    } else if (entry_of(bits[at / 4], at) == entry) {
      ++at;
    } else {
      break;
    }
  }
  length = std::min(at, end) - index;
  return entry;
}

bool LayerMap::is_all(uint64_t block, uint64_t count, Entry entry) const {
  while (count) {
    uint64_t length;
    if (run(block, count, length) != entry) return false;
    block += length;
    count -= length;
  }
  return true;
}

void LayerMap::set(uint64_t block, uint64_t count, Entry entry) {
  while (count) {
    const uint64_t page = block / layer::blocks_per_page;
    uint64_t index = block % layer::blocks_per_page;
    const uint64_t n = std::min(count, layer::blocks_per_page - index);
    dirty_.insert(page);
    block += n;
    count -= n;
    auto& bits = pages_[page];
    if (n == layer::blocks_per_page && entry == Entry::zero) {
      if (!all_zero_) {
        all_zero_ = std::make_shared<Bits>();
        all_zero_->fill(static_cast<std::byte>(fourfold(Entry::zero)));
      }
      bits = all_zero_;
      continue;
    }
    if (!bits) bits = std::make_shared<Bits>();
    if (bits == all_zero_) bits = std::make_shared<Bits>(*all_zero_);
    for (uint64_t end = index + n; index < end;) {
      if (index % 4 == 0 && end - index >= 4) {
        (*bits)[index / 4] = static_cast<std::byte>(fourfold(entry));
        index += 4;
      } else {
        const unsigned shift = 2 * (index % 4);
        const unsigned others = std::to_integer<unsigned>((*bits)[index / 4]) & ~(3u << shift);
        (*bits)[index / 4] = static_cast<std::byte>(others | static_cast<unsigned>(entry) << shift);
        ++index;
      }
    }
  }
}

uint64_t LayerMap::memory_bytes() const {
  uint64_t bytes = known_.size() / 8;
  for (const auto& [page, bits] : pages_) bytes += sizeof(bits) + 32 + (bits == all_zero_ ? 0 : sizeof(Bits));
  return bytes;
}

std::vector<LayerMap::Image> LayerMap::take_dirty() {
  std::vector<Image> images(dirty_.size());
  size_t i = 0;
  for (uint64_t page : dirty_) {
    images[i].page = page;
    layer::encode_page(pages_.at(page)->data(), images[i].bytes.data());
    ++i;
  }
  dirty_.clear();
  return images;
}

void LayerMap::put_back(const std::vector<Image>& images) {
  for (const Image& image : images) dirty_.insert(image.page);
}

uint64_t LayerMap::count_data() const {
  uint64_t count = 0;
  for (const auto& [page, bits] : pages_) {
    for (std::byte b : *bits)
      count += static_cast<uint64_t>(std::popcount(std::to_integer<unsigned>(b) & 0x55u));
  }
  return count;
}

}  // namespace cbd::block
