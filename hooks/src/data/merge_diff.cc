// rbd merge-diff: two differences that follow each other become one. No cluster is asked.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "data/commands.h"
#include "data/diff_format.h"
#include "data/flow.h"
#include "data/image.h"
#include "data/paths.h"

namespace cbd::hooks {
namespace {

constexpr uint64_t piece_bytes = uint64_t{1} << 20;

const std::vector<Option> options = {{"path"}, {"no-progress", 0, true}};

// One of the two differences: what is at its head, and the range at which it stands.
class Side {
 public:
  Side(const std::string& path, const char* which) : source_(path), in_(source_.fd()), reader_(in_, 1), which_(which) {
    if (source_.error() != 0) throw Failure{-source_.error(), "rbd: error opening " + path + "\n"};
    std::string found;
    const int wrong = read_banner(in_, diff_banner_v1, &found);
    if (wrong == -EINVAL) throw Failure{EINVAL, "invalid banner '" + found + "', expected '" + diff_banner_v1 + "'\nrbd: failed to parse " + which + " diff header\n"};
    if (wrong != 0) throw Failure{wrong == -EBADMSG ? EDOM : -wrong, std::string("rbd: failed to parse ") + which + " diff header\n"};
  }

  // Reads up to the first range, which begin() judges. 0 or -errno.
  int read_head() {
    for (;;) {
      const int result = reader_.next(range, message);
      const bool is_in_head = strchr("fts", range.tag) != nullptr;  // a tag that is not there is 0, and in it
      if (result != 0 && is_in_head) return says("failed to parse", "diff header", result);
      first_result_ = result;
      if (result != 0) return 0;
      switch (range.tag) {
        case 'f': from = range.name; break;
        case 't': to = range.name; break;
        case 's': size = range.size; break;
        default: return 0;
      }
    }
  }

  // 0 where a sound range or the end comes first, or -errno.
  int begin() {
    if (first_result_ != 0 && first_result_ != -EINVAL) return says("failed to read", "diff data chunk header", first_result_);
    return range.tag == 'e' || (first_result_ == 0 && is_sound()) ? 0 : refuse_chunk();
  }

  // The image grows behind this difference: what it grows by reads as zeroes, whatever was there before.
  void grow_to(uint64_t later_size) {
    grown_ = later_size;
    if (range.tag == 'e') show_growth(size);
  }

  bool has_range() const { return range.tag == 'w' || range.tag == 'z'; }
  uint64_t end() const { return range.offset + range.length; }

  // Writes the range up to `limit`, its data with it (`writer` null: passes them over), and goes on. 0 or -errno.
  int take(uint64_t limit, DiffWriter* writer) {
    const uint64_t length = std::min(limit, end()) - range.offset;
    if (writer != nullptr && length > 0) {
      if (int result = writer->range(range.tag == 'w', range.offset, length); result != 0) return result;
    }
    if (range.tag == 'w') {
      if (int result = carry(length, writer); result != 0) return result;
    }
    range.offset += length;
    range.length -= length;
    return range.length == 0 ? advance() : 0;
  }

  uint64_t position() const { return in_.position(); }
  uint64_t length() const { return source_.size(); }

  std::string from, to, message;
  uint64_t size = 0;
  DiffRecord range;

 private:
  // Adds what the real one says of a wrong diff, and gives its errno for one that ends too soon.
  int says(const char* verb, const char* what, int result) {
    message = std::string("rbd: ") + verb + " " + which_ + " " + what + "\n";
    return result == -EBADMSG ? -EDOM : result;
  }

  // Its end is behind its beginning.
  bool is_sound() const { return has_range() && end() > range.offset; }

  int refuse_chunk() { return says("failed to read", "diff data chunk header", -EOPNOTSUPP); }

  // To the next range, which begins where the last one ended or later.
  int advance() {
    const uint64_t before = range.offset;
    if (is_at_end_) {
      range = DiffRecord();
      return 0;
    }
    if (int result = reader_.next(range, message); result != 0) return says("failed to read", "diff data chunk header", result);
    if (range.tag == 'e') {
      show_growth(std::max(before, size));
      return 0;
    }
    if (!is_sound()) return refuse_chunk();
    if (range.offset >= before) return 0;
    message = std::string("rbd: out-of-order offset from ") + which_ + " diff (" + std::to_string(before) + " > " + std::to_string(range.offset) + ")\n";
    return -EOPNOTSUPP;
  }

  // Behind the last range.
  void show_growth(uint64_t from) {
    is_at_end_ = true;
    range = DiffRecord();
    if (from >= grown_) return;
    range.tag = 'z';
    range.offset = from;
    range.length = grown_ - from;
  }

  int carry(uint64_t length, DiffWriter* writer) {
    std::vector<char> buffer(std::min(length, piece_bytes));
    while (length > 0) {
      const uint64_t now = std::min<uint64_t>(length, buffer.size());
      int result = in_.read(buffer.data(), now);
      if (result == -EBADMSG) {
        message = "rbd: failed to merge diff chunk\n";
        return -EDOM;
      }
      if (result == 0 && writer != nullptr) result = writer->data({buffer.data(), now});
      if (result != 0) return result;
      length -= now;
    }
    return 0;
  }

  Source source_;
  InStream in_;
  DiffReader reader_;
  const char* which_;
  int first_result_ = 0;
  uint64_t grown_ = 0;
  bool is_at_end_ = false;
};

int merge(Side& first, Side& second, DiffWriter& writer, Progress& progress) {
  while (first.has_range() || second.has_range()) {
    if (is_interrupted()) return -EINTR;
    int result;
    if (first.has_range() && (!second.has_range() || first.range.offset < second.range.offset)) {
      // What is behind the end of the later size does not exist any more.
      const uint64_t limit = second.has_range() ? std::min(second.range.offset, first.end()) : first.end();
      result = first.range.offset < second.size ? first.take(std::min(limit, second.size), &writer) : first.take(limit, nullptr);
    } else {
      const uint64_t end = second.end();
      result = second.take(end, &writer);
      while (result == 0 && first.has_range() && first.range.offset < end) result = first.take(end, nullptr);
    }
    if (result != 0) return result;
    if (first.length() != 0 && second.length() != 0) progress.update(first.position() + second.position(), first.length() + second.length());
  }
  return writer.end();
}

int merge_files(const std::string& one, const std::string& two, const std::string& path, Progress& progress) {
  Side first(one, "first"), second(two, "second");
  int result = first.read_head();
  if (result == 0) result = second.read_head();
  if (result == 0 && first.to != second.from) {
    first.message = "The first TO snapshot must be equal with the second FROM snapshot, aborting\n";
    result = -EINVAL;
  }
  if (result == 0) result = first.begin();
  if (result == 0) result = second.begin();
  if (result == 0) {
    Target target(path);
    if (target.error() != 0) throw Failure{-target.error(), "rbd: error create " + path + "\n"};
    first.grow_to(second.size);
    DiffWriter writer(target.fd(), 1);
    result = writer.head(first.from, second.to, false, second.size);
    if (result == 0) result = merge(first, second, writer, progress);
    if (result == 0) result = target.finish();
  }
  fputs((first.message + second.message).c_str(), stderr);
  return result;
}

}  // namespace

int run_merge_diff(rados_t, const std::vector<std::string>& argv) {
  Words words(options, argv, 3);
  auto word = [&](size_t at, const char* what) {
    if (auto text = words.word(at); text && !text->empty()) return *text;
    throw Failure{EINVAL, std::string("rbd: ") + what + " was not specified\n"};
  };
  const std::string one = word(0, "first diff"), two = word(1, "second diff");
  const std::string path = words.has("path") ? *words.text("path") : word(2, "path");
  if (two == "-") throw Failure{EINVAL, "rbd: the second diff cannot come from standard input\n"};
  Progress progress("Merging image diff", !words.has("no-progress"));
  watch_interrupts();
  int result;
  try {
    result = merge_files(one, two, path, progress);
  } catch (const Failure& failure) {
    fputs(failure.text.c_str(), stderr);
    result = -failure.code;
  }
  if (result != 0) {
    progress.fail();
    throw Failure{-result, "rbd: merge-diff error\n"};
  }
  progress.finish();
  return 0;
}

}  // namespace cbd::hooks
