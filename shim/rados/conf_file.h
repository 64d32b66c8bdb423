// The syntax of ceph.conf, as librados 16.2.15 reads it. It knows no options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cbd::rados {

struct ConfEntry {
  std::string section;  // "global" before the first section
  std::string name;     // blanks inside as `_`
  std::string value;
};

// False where a line is no section, no entry, no comment and not empty, or the last line does not end.
bool parse_conf(std::string_view text, std::vector<ConfEntry>& entries);

}  // namespace cbd::rados
