// The manners of librbd's functions that fill the caller's buffers: what is written, and which size is given back,
// when a buffer is too small (measured on 16.2.15, test/data/abi/measured).
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace cbd::rbd {

// A copy for the caller to free(). Throws bad_alloc.
inline char* duplicate(const std::string& text) {
  char* copy = static_cast<char*>(malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

// Empties a list of the caller's, before anything can fail: python3-rbd frees what its lists hold after an error as well,
// and gives memory that holds anything (where Ceph's own library crashes). `list` or `count` may be null.
template <class T, class Count>
void clear(T* list, const Count* count) {
  if (list != nullptr && count != nullptr && *count > 0) std::fill_n(list, *count, T{});
}

// Bytes that the texts take one after the other, each with its NUL.
inline size_t packed_size(const std::vector<std::string>& texts) {
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size() + 1;
  return bytes;
}

// Writes them so; the buffer must be large enough.
inline void pack(const std::vector<std::string>& texts, char* buffer) {
  for (const std::string& text : texts) {
    memcpy(buffer, text.c_str(), text.size() + 1);
    buffer += text.size() + 1;
  }
}

// Copies `text` with its NUL. Returns 0, leaving *length; -ERANGE with the size needed in *length where that is too small.
inline int copy_text(const std::string& text, char* buffer, size_t* length) {
  if (length == nullptr) return -EINVAL;
  size_t needed = text.size() + 1;
  if (buffer == nullptr || *length < needed) {
    *length = needed;
    return -ERANGE;
  }
  memcpy(buffer, text.c_str(), needed);
  return 0;
}

}  // namespace cbd::rbd
