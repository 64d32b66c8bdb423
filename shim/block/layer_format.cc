// See docs/layers.md. Numbers are little-endian.
#include "block/layer_format.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace cbd::block::layer {
namespace {

constexpr char magic[16] = {'c', 'b', 'd', '2', 'r', 'b', 'd', ' ', 'l', 'a', 'y', 'e', 'r', '\n', 0x1a, 0};
constexpr uint32_t version = 1;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr auto table = make_table();

void put32(std::byte* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(value >> 8 * i);
}
void put64(std::byte* to, uint64_t value) {
  put32(to, static_cast<uint32_t>(value));
  put32(to + 4, static_cast<uint32_t>(value >> 32));
}
uint32_t get32(const std::byte* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= std::to_integer<uint32_t>(from[i]) << 8 * i;
  return value;
}

bool is_blank(const std::byte* from, size_t length) {
  return std::all_of(from, from + length, [](std::byte b) { return b == std::byte{0}; });
}

constexpr size_t header_used = 56;  // before the checksum

}  // namespace

uint32_t crc32c(const void* data, size_t length) {
  uint32_t crc = ~0u;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < length; ++i) crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
  return ~crc;
}

void encode_header(std::byte* to) {
  std::memset(to, 0, header_bytes);
  std::memcpy(to, magic, sizeof magic);
  put32(to + 16, version);
  put32(to + 20, static_cast<uint32_t>(block_bytes));
  put64(to + 24, map_offset);
  put64(to + 32, data_offset);
  put32(to + 40, static_cast<uint32_t>(sector_bytes));
  put32(to + 44, static_cast<uint32_t>(sector_head));
  put64(to + 48, 0);
  put32(to + header_used, crc32c(to, header_used));
}

Header check_header(const std::byte* from) {
  if (is_blank(from, header_bytes)) return Header::blank;
  std::byte expected[header_bytes];
  encode_header(expected);
  return std::memcmp(from, expected, header_bytes) == 0 ? Header::valid : Header::bad;
}

void encode_page(const std::byte* bits, std::byte* page) {
  constexpr size_t n = sector_bytes - sector_head;
  for (size_t s = 0; s < sectors_per_page; ++s, bits += n, page += sector_bytes) {
    std::memcpy(page + sector_head, bits, n);
    put64(page, 0);
    if (!is_blank(bits, n)) put32(page, crc32c(bits, n));
  }
}

bool decode_page(const std::byte* page, std::byte* bits) {
  constexpr size_t n = sector_bytes - sector_head;
  for (size_t s = 0; s < sectors_per_page; ++s, bits += n, page += sector_bytes) {
    std::memcpy(bits, page + sector_head, n);
    // An empty sector has no checksum: it may never have been written.
    const uint32_t expected = is_blank(bits, n) ? 0 : crc32c(bits, n);
    if (get32(page) != expected || get32(page + 4) != 0) return false;
    for (size_t i = 0; i < n; ++i) {
      const auto b = std::to_integer<unsigned>(bits[i]);
      if (b & b >> 1 & 0x55) return false;  // both bits of an entry
    }
  }
  return true;
}

}  // namespace cbd::block::layer
