// See docs/layers.md for the order of writes.
#include "block/layer.h"

#include <errno.h>

#include <cstdlib>
#include <memory>

#include "block/blocking.h"

namespace cbd::block {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<std::byte[], Free>;

Buffer make_buffer(uint64_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 4096, bytes) != 0) return nullptr;
  return Buffer(static_cast<std::byte*>(memory));
}

}  // namespace

int Layer::take_head(const std::byte* from) {
  using layer::Header;
  const Header first = layer::check_header(from + layer::header_offsets[0]);
  const Header second = layer::check_header(from + layer::header_offsets[1]);
  if (second == Header::valid) {
    // The first is written before the second, so it was whole once; it is only read again, never needed.
    has_header = true;
  } else if (second == Header::blank) {
    // The map is written after both, so it is blank: whatever became of the first, the layer owns nothing
    // yet.
    map.set_fresh();
  } else if (first == Header::valid) {
    // The second was torn while it was written, or damaged later. If the latter there is a map to be read.
    has_header = false;
  } else {
    return -EIO;
  }
  header_is_known = true;
  return 0;
}

int Layer::load_head() {
  if (!is_cow || header_is_known) return 0;
  Buffer buffer = make_buffer(head_bytes);
  if (!buffer) return -ENOMEM;
  if (int rc = read_blocking(*volume, 0, buffer.get(), head_bytes)) return rc;
  return take_head(buffer.get());
}

int Layer::load_chunk(uint64_t chunk) {
  if (map.is_known(chunk)) return 0;
  const uint64_t length = LayerMap::chunk_length(chunk);
  Buffer buffer = make_buffer(length);
  if (!buffer) return -ENOMEM;
  if (int rc = read_blocking(*volume, LayerMap::chunk_offset(chunk), buffer.get(), length)) return rc;
  return map.install(chunk, buffer.get()) ? 0 : -EIO;
}

int Layer::load(uint64_t offset, uint64_t length) {
  if (!is_cow || !length) return 0;
  if (int rc = load_head()) return rc;
  const uint64_t last = LayerMap::chunk_of((offset + length - 1) / layer::block_bytes);
  for (uint64_t chunk = LayerMap::chunk_of(offset / layer::block_bytes); chunk <= last; ++chunk) {
    if (int rc = load_chunk(chunk)) return rc;
  }
  return 0;
}

int Layer::write_header() {
  if (has_header) return 0;
  Buffer buffer = make_buffer(layer::header_bytes);
  if (!buffer) return -ENOMEM;
  layer::encode_header(buffer.get());
  for (uint64_t offset : layer::header_offsets) {
    if (int rc = write_blocking(*volume, offset, buffer.get(), layer::header_bytes)) return rc;
    if (int rc = plain_blocking(*volume, Op::flush)) return rc;
  }
  has_header = true;
  return 0;
}

int Layer::write_back() {
  const std::vector<LayerMap::Image> images = map.take_dirty();
  auto write = [&] {
    if (int rc = plain_blocking(*volume, Op::flush)) return rc;
    if (images.empty()) return 0;
    if (int rc = write_header()) return rc;
    for (const auto& image : images) {
      const uint64_t offset = layer::map_offset + image.page * layer::page_bytes;
      if (int rc = write_blocking(*volume, offset, image.bytes.data(), layer::page_bytes)) return rc;
    }
    return plain_blocking(*volume, Op::flush);
  };
  const int rc = write();
  if (rc) map.put_back(images);
  return rc;
}

}  // namespace cbd::block
