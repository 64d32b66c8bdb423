// The words of a data command: options, image specs, sizes, and how failures are worded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cbd::hooks {

// Ends a command: `text` has been made ready for standard error, `code` is the exit code. Never crosses the C ABI.
struct Failure {
  int code;
  std::string text;
};

// "rbd: <what>: (2) No such file or directory", code 2. `result` is -errno.
Failure failure(const std::string& what, int result);

struct Option {
  const char* name;
  char letter = 0;
  bool is_switch = false;
  bool is_many = false;  // may be given several times
};

class Words {
 public:
  // Throws Failure (code 1) for what Ceph's own rbd would not take.
  Words(const std::vector<Option>& options, const std::vector<std::string>& argv, size_t most_words);

  bool has(const std::string& name) const { return found_.count(name) != 0; }
  std::optional<std::string> text(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::optional<std::string> word(size_t at) const;

 private:
  std::map<std::string, std::vector<std::string>> found_;
  std::vector<std::string> words_;
};

// [pool/[namespace/]]image[@snap]
struct Spec {
  std::string pool, name_space, image, snap;  // "" where not given
};

// Throws Failure (code 22) for too many or empty parts.
Spec parse_spec(const std::string& text);

// Bytes of "4096", "64K", "4M", below 2^63; throws Failure (code 1) naming the option.
uint64_t parse_bytes(const std::string& option, const std::string& text);

// A whole number as boost reads one of 64 bits: with a sign, of which - counts down from 2^64. Throws Failure (code 1) naming the option.
uint64_t parse_count(const std::string& option, const std::string& text);

// "rbd: the argument for option '--size' is invalid", code 1.
Failure bad_argument(const std::string& option);

// "19 B", "4 KiB", "4.1 MiB": as Ceph's commands show sizes.
std::string show_bytes(uint64_t bytes);

}  // namespace cbd::hooks
