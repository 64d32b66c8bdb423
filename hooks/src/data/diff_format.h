// Ceph's formats of differences, "rbd diff v1" and "rbd diff v2" (doc/dev/rbd-diff.rst of Ceph describes the first; the second puts a
// length in front of each record): a banner, then records of a tag and little-endian numbers: f from-snapshot, t to-snapshot,
// s size, p protected, w data, z zeroes, e end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cbd::hooks {

constexpr char diff_banner_v1[] = "rbd diff v1\n";
constexpr char diff_banner_v2[] = "rbd diff v2\n";

void put_number(std::string& into, uint64_t number, size_t bytes);
// A length of four bytes and the text.
void put_text(std::string& into, std::string_view text);

// A stream of numbers and texts.
class InStream {
 public:
  explicit InStream(int fd) : fd_(fd) {}

  // Each: 0, -EBADMSG where the stream ends too soon, -errno, -EINTR where the user wants no more.
  int read(char* into, size_t length);
  int number(uint64_t& value, size_t bytes);
  // -EINVAL where it says that it is longer than `most`.
  int text(std::string& value, uint64_t most = 4096);
  int pass_over(uint64_t length);
  // Bytes that were read.
  uint64_t position() const { return position_; }

 private:
  int fd_;
  uint64_t position_ = 0;
};

// Adds to `message` what could not be read, as rbd words it, and hands the result of reading on; nothing after an interruption.
int decoded(int result, std::string& message, const char* what);

// Reads a banner: 0, -EBADMSG (too short), -EINVAL (another). `found`, where not null, gets what stands there.
int read_banner(InStream& in, std::string_view banner, std::string* found = nullptr);
// What rbd says of a banner that read_banner did not take.
std::string banner_message(int result);

struct DiffRecord {
  char tag = 0;
  std::string name;                 // f, t
  uint64_t size = 0;                // s
  bool flag = false;                // p
  uint64_t offset = 0, length = 0;  // w, z; behind a `w` its data are still to be read
};

class DiffReader {
 public:
  DiffReader(InStream& in, int version) : in_(&in), version_(version) {}
  // The next record. 0 or -errno, with `message` set as rbd words it. Ceph passes over records that it does not know in the
  // second version, which tells how long they are.
  int next(DiffRecord& record, std::string& message);

 private:
  InStream* in_;
  int version_;
};

class DiffWriter {
 public:
  DiffWriter(int fd, int version) : fd_(fd), version_(version) {}
  // `from`, `to`: "" for none. Each returns 0 or -errno.
  int head(const std::string& from, const std::string& to, bool is_protected, uint64_t size);
  // The beginning of a record; behind that of data its bytes follow with data().
  int range(bool has_data, uint64_t offset, uint64_t length);
  int data(std::string_view bytes);
  int end();

 private:
  void put_record(std::string& into, char tag, std::string_view content) const;

  int fd_;
  int version_;
};

}  // namespace cbd::hooks
