// Whole files, with the caller's own rights.
#pragma once

#include <string>
#include <string_view>

namespace cbd::hooks {

// Reads a file, or standard input for "-". 0 or -errno.
int read_whole(const std::string& path, std::string& out);

// Writes everything to a descriptor; 0 or -errno (-EPIPE where nobody reads any more).
int write_whole(int fd, std::string_view text);

// Prints the answer of a command that ends in `code`, and returns that; 1, and says why, where it cannot be printed. A reader
// who went away had enough, as Ceph's programs have it.
int print_answer(const char* program, std::string_view text, int code);

// The same where writing the answer gave `result`, -errno.
int complain_of_output(const char* program, int result, int code);

// Writes a file anew, or standard output for "-". 0 or -errno.
int write_file(const std::string& path, std::string_view text);

}  // namespace cbd::hooks
