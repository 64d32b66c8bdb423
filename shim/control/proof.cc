#include "control/proof.h"

#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <sys/random.h>

#include <cerrno>

namespace cbd::control {

namespace {

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What a cephx key's text holds: le16 type, le32 seconds, le32 nanoseconds, le16 length, then the secret.
constexpr size_t header_size = 12;
constexpr size_t secret_size = 16;

}  // namespace

bool decode_key(std::string_view text, std::string& secret) {
  std::string raw;
  if (!from_base64(text, raw) || raw.empty()) return false;
  if (raw.size() == header_size + secret_size) {
    size_t length = static_cast<uint8_t>(raw[10]) | static_cast<uint8_t>(raw[11]) << 8;
    if (length == secret_size) raw.erase(0, header_size);
  }
  secret = std::move(raw);
  return true;
}

std::string to_hex(std::string_view bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    hex += digits[c >> 4];
    hex += digits[c & 15];
  }
  return hex;
}

bool from_hex(std::string_view hex, std::string& bytes) {
  if (hex.size() % 2 != 0) return false;
  bytes.clear();
  for (size_t i = 0; i < hex.size(); i += 2) {
    int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes += static_cast<char>(high << 4 | low);
  }
  return true;
}

std::string to_base64(std::string_view bytes) {
  std::string text(BASE64_ENCODE_RAW_LENGTH(bytes.size()), '\0');
  base64_encode_raw(text.data(), bytes.size(), bytes_of(bytes));
  return text;
}

bool from_base64(std::string_view text, std::string& bytes) {
  base64_decode_ctx context;
  base64_decode_init(&context);
  bytes.resize(BASE64_DECODE_LENGTH(text.size()));
  size_t length = bytes.size();
  if (!base64_decode_update(&context, &length, reinterpret_cast<uint8_t*>(bytes.data()), text.size(), text.data()) ||
      !base64_decode_final(&context)) {
    return false;
  }
  bytes.resize(length);
  return true;
}

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  size_t done = 0;
  while (done < count) {
    ssize_t n = getrandom(bytes.data() + done, count - done, 0);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return bytes;
}

std::string proof_of(std::string_view secret, std::string_view daemon_nonce, std::string_view client_nonce,
                     std::string_view entity) {
  hmac_sha256_ctx context;
  hmac_sha256_set_key(&context, secret.size(), bytes_of(secret));
  for (std::string_view part : {daemon_nonce, client_nonce, entity}) {
    hmac_sha256_update(&context, part.size(), bytes_of(part));
  }
  uint8_t digest[SHA256_DIGEST_SIZE];
  hmac_sha256_digest(&context, sizeof digest, digest);
  return to_hex({reinterpret_cast<char*>(digest), sizeof digest});
}

}  // namespace cbd::control
