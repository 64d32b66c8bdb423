#include "data/diff_format.h"

#include <endian.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/flow.h"
#include "files.h"

namespace cbd::hooks {
namespace {

constexpr size_t banner_bytes = sizeof(diff_banner_v1) - 1;
constexpr uint64_t most_text_bytes = 4096;

}  // namespace

void put_number(std::string& into, uint64_t number, size_t bytes) {
  uint64_t little = htole64(number);
  into.append(reinterpret_cast<const char*>(&little), bytes);
}

void put_text(std::string& into, std::string_view text) {
  put_number(into, text.size(), 4);
  into += text;
}

int InStream::read(char* into, size_t length) {
  while (length > 0) {
    ssize_t got = ::read(fd_, into, length);
    if (got < 0 && errno == EINTR && !is_interrupted()) continue;
    if (got <= 0) return got == 0 ? -EBADMSG : -errno;
    into += got;
    length -= static_cast<size_t>(got);
    position_ += static_cast<uint64_t>(got);
  }
  return 0;
}

int InStream::number(uint64_t& value, size_t bytes) {
  uint64_t little = 0;
  int result = read(reinterpret_cast<char*>(&little), bytes);
  value = le64toh(little);
  return result;
}

int InStream::text(std::string& value) {
  uint64_t length = 0;
  if (int result = number(length, 4); result != 0) return result;
  if (length > most_text_bytes) return -EINVAL;
  value.resize(length);
  return read(value.data(), length);
}

int InStream::skip(uint64_t length) {
  char buffer[4096];
  while (length > 0) {
    const size_t now = std::min<uint64_t>(length, sizeof(buffer));
    if (int result = read(buffer, now); result != 0) return result;
    length -= now;
  }
  return 0;
}

int DiffReader::banner(InStream& in, std::string* found) {
  char head[banner_bytes];
  if (int result = in.read(head, banner_bytes); result != 0) return result;
  if (found != nullptr) found->assign(head, banner_bytes);
  if (memcmp(head, diff_banner_v1, banner_bytes) == 0) return 1;
  return memcmp(head, diff_banner_v2, banner_bytes) == 0 ? 2 : -EINVAL;
}

int DiffReader::next(DiffRecord& record, std::string& message) {
  for (;;) {
    record = DiffRecord();
    uint64_t length = 0;
    if (int result = in_->read(&record.tag, 1); result != 0) return result;
    if (record.tag == 'e') return 0;
    if (version_ == 2) {
      if (int result = in_->number(length, 8); result != 0) return result;
    }
    switch (record.tag) {
      case 'f':
      case 't': return in_->text(record.name);
      case 's': return in_->number(record.size, 8);
      case 'w':
      case 'z':
        if (int result = in_->number(record.offset, 8); result != 0) return result;
        return in_->number(record.length, 8);
      case 'p':
        if (version_ == 2) {
          // Says that it has eight bytes and has one, in what Ceph writes and reads.
          char flag = 0;
          int result = in_->read(&flag, 1);
          record.flag = flag != 0;
          return result;
        }
        [[fallthrough]];
      default: break;
    }
    if (version_ != 2) {
      message = "unrecognized tag byte " + std::to_string(static_cast<unsigned char>(record.tag)) + " in stream; aborting\n";
      return -EINVAL;
    }
    // The second version tells how long what we do not know is.
    if (int result = in_->skip(length); result != 0) return result;
  }
}

void DiffWriter::put_record(std::string& into, char tag, std::string_view content) const {
  into += tag;
  if (version_ == 2) put_number(into, content.size(), 8);
  into += content;
}

int DiffWriter::head(const std::string& from, const std::string& to, bool is_protected, uint64_t size) {
  std::string text = version_ == 2 ? diff_banner_v2 : diff_banner_v1;
  std::string content;
  auto put = [&](char tag) {
    put_record(text, tag, content);
    content.clear();
  };
  if (!from.empty()) {
    put_text(content, from);
    put('f');
  }
  if (!to.empty()) {
    put_text(content, to);
    put('t');
    if (version_ == 2) {
      // As Ceph writes it: the length is not that of the one byte behind it.
      text += 'p';
      put_number(text, 8, 8);
      text += is_protected ? '\1' : '\0';
    }
  }
  put_number(content, size, 8);
  put('s');
  return write_whole(fd_, text);
}

int DiffWriter::range(bool has_data, uint64_t offset, uint64_t length) {
  std::string text(1, has_data ? 'w' : 'z');
  if (version_ == 2) put_number(text, 16 + (has_data ? length : 0), 8);
  put_number(text, offset, 8);
  put_number(text, length, 8);
  return write_whole(fd_, text);
}

int DiffWriter::data(std::string_view bytes) { return write_whole(fd_, bytes); }

int DiffWriter::end() { return write_whole(fd_, "e"); }

}  // namespace cbd::hooks
