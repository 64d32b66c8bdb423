// How a client proves that it has its key (docs/protocol.md, "Session").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cbd::control {

// The secret in a cephx key's base64 text: the 16 bytes behind the 12-byte header, or all bytes of a key of another
// shape. False where the text is not base64 or empty.
bool decode_key(std::string_view text, std::string& secret);

std::string to_hex(std::string_view bytes);
bool from_hex(std::string_view hex, std::string& bytes);

std::string to_base64(std::string_view bytes);
// Blanks are skipped. False where it is not base64.
bool from_base64(std::string_view text, std::string& bytes);

// `count` bytes that nobody can guess.
std::string random_bytes(size_t count);

// HMAC-SHA256(secret, daemon nonce + client nonce + entity), in hex.
std::string proof_of(std::string_view secret, std::string_view daemon_nonce, std::string_view client_nonce,
                     std::string_view entity);

}  // namespace cbd::control
