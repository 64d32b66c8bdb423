// The words of a line that somebody types: quoted as in a shell, and nothing more of a shell than that.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cbd::hooks {

// Blanks part words; '...' and "..." hold them together, and a backslash takes the next character for itself (in "..." only before " and
// backslash), as Python's shlex.split has it. None where a quotation, or the line behind a backslash, does not end.
std::optional<std::vector<std::string>> split_line(const std::string& line);

}  // namespace cbd::hooks
