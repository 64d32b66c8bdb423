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

int InStream::text(std::string& value, uint64_t most) {
  uint64_t length = 0;
  if (int result = number(length, 4); result != 0) return result;
  if (length > most) return -EINVAL;
  value.resize(length);
  return read(value.data(), length);
}

int InStream::pass_over(uint64_t length) {
  char buffer[4096];
  while (length > 0) {
    const size_t now = std::min<uint64_t>(length, sizeof(buffer));
    if (int result = read(buffer, now); result != 0) return result;
    length -= now;
  }
  return 0;
}

int decoded(int result, std::string& message, const char* what) {
  if (result != 0 && result != -EINTR) message += std::string("rbd: failed to decode ") + what + "\n";
  return result;
}

int read_banner(InStream& in, std::string_view banner, std::string* found) {
  std::string head(banner.size(), '\0');
  if (int result = in.read(head.data(), head.size()); result != 0) return result;
  const bool is_right = head == banner;
  if (found != nullptr) *found = std::move(head);
  return is_right ? 0 : -EINVAL;
}

std::string banner_message(int result) {
  return result == -EINVAL ? "rbd: invalid or unexpected diff banner\n" : result == -EINTR ? "" : "rbd: failed to decode diff banner\n";
}

int DiffReader::next(DiffRecord& record, std::string& message) {
  for (;;) {
    record = DiffRecord();
    uint64_t length = 0;
    if (int result = decoded(in_->read(&record.tag, 1), message, "tag"); result != 0 || record.tag == 'e') return result;
    if (version_ == 2) {
      if (int result = decoded(in_->number(length, 8), message, "tag length"); result != 0) return result;
    }
    switch (record.tag) {
      case 'f': return decoded(in_->text(record.name), message, "start snap name");
      case 't': return decoded(in_->text(record.name), message, "end snap name");
      case 's': return decoded(in_->number(record.size, 8), message, "image size");
      case 'w':
      case 'z':
        if (int result = decoded(in_->number(record.offset, 8), message, "IO length"); result != 0) return result;
        return decoded(in_->number(record.length, 8), message, "IO length");
      case 'p': {
        // Says in the second version that it has eight bytes and has one, in what Ceph writes and reads.
        char flag = 0;
        int result = decoded(in_->read(&flag, 1), message, "snap protection status");
        record.flag = flag != 0;
        return result;
      }
      default: break;
    }
    if (version_ != 2) {
      message += "unrecognized tag byte " + std::to_string(static_cast<unsigned char>(record.tag)) + " in stream; aborting\n";
      return -EINVAL;
    }
    if (int result = in_->pass_over(length); result != 0) return result;
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
