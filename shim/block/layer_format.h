// A cow layer's volume on disk (docs/layers.md): two copies of a header, a map of two bits a block, data from
// 1 GiB. Only bytes; no I/O.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cbd::block::layer {

constexpr uint64_t block_bytes = 4096;
constexpr uint64_t data_offset = 1ull << 30;
constexpr uint64_t header_bytes = 4096;
constexpr uint64_t header_offsets[2] = {0, 32768};
constexpr uint64_t map_offset = 65536;

// The map is made of sectors, each with a checksum of its own, so that a write torn between sectors leaves
// good ones.
constexpr uint64_t sector_bytes = 512;
constexpr uint64_t sector_head = 8;
constexpr uint64_t page_bytes = 4096;  // of the volume; what is written at once
constexpr uint64_t sectors_per_page = page_bytes / sector_bytes;
constexpr uint64_t page_bits_bytes = sectors_per_page * (sector_bytes - sector_head);
constexpr uint64_t blocks_per_page = page_bits_bytes * 4;
constexpr uint64_t image_bytes_per_page = blocks_per_page * block_bytes;  // 63 MiB
constexpr uint64_t most_pages = (data_offset - map_offset) / page_bytes;
// The largest image that a layer can hold.
constexpr uint64_t most_bytes = most_pages * image_bytes_per_page;

// What the map says of a block.
enum class Entry : uint8_t { absent = 0, data = 1, zero = 2 };

uint32_t crc32c(const void* data, size_t length);

void encode_header(std::byte* to);  // header_bytes

enum class Header : uint8_t { valid, blank, bad };
Header check_header(const std::byte* from);

// Bits (page_bits_bytes) to a page of the volume (page_bytes) and back. decode_page is false where a checksum
// is wrong or an entry is none of the three.
void encode_page(const std::byte* bits, std::byte* page);
bool decode_page(const std::byte* page, std::byte* bits);

}  // namespace cbd::block::layer
