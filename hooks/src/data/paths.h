// The files that data commands read and write; "-" is standard input and output.
#pragma once

#include <cstdint>
#include <string>

#include "control/unique_fd.h"

namespace cbd::hooks {

// A file to read.
class Source {
 public:
  explicit Source(const std::string& path);
  // 0, or -errno where it could not be opened (-EISDIR for a directory).
  int error() const { return error_; }
  int fd() const { return fd_; }
  // Its size is known only at its end.
  bool is_stream() const { return is_stream_; }
  // 0 where it is not known.
  uint64_t size() const { return size_; }

 private:
  UniqueFd owned_;
  int fd_ = -1;
  int error_ = 0;
  bool is_stream_ = false;
  uint64_t size_ = 0;
};

// A file that is made anew; what was written goes away again unless finish() was called.
class Target {
 public:
  explicit Target(const std::string& path);
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  // 0 or -errno (-EEXIST: nothing is overwritten).
  int error() const { return error_; }
  int fd() const { return fd_; }
  bool is_stream() const { return path_.empty(); }
  // Keeps the file. 0 or -errno of its close.
  int finish();

 private:
  std::string path_;  // "" for standard output
  UniqueFd owned_;
  int fd_ = -1;
  int error_ = 0;
  bool is_finished_ = false;
};

}  // namespace cbd::hooks
