// Whole files, with the caller's own rights.
#pragma once

#include <string>
#include <string_view>

namespace cbd::hooks {

// Reads a file, or standard input for "-". 0 or -errno.
int read_whole(const std::string& path, std::string& out);

// Writes everything to a descriptor; 0 or -errno (-EPIPE where nobody reads any more).
int write_whole(int fd, std::string_view text);

// Writes a file anew, or standard output for "-". 0 or -errno.
int write_file(const std::string& path, std::string_view text);

}  // namespace cbd::hooks
