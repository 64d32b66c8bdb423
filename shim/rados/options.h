// What an option may hold, and how its values read: the rules of librados 16.2.15, measured (test/data/abi/measured).
// It knows no values; those are in config.h.
#pragma once

#include <string>
#include <string_view>

namespace cbd::rados {

enum class OptionType { text, boolean, integer, unsigned_integer, real, size, seconds, milliseconds, address, addresses, uuid, debug };

struct Option {
  std::string_view name;
  OptionType type;
  std::string_view default_value;
  std::string_view lowest, highest;  // "" is none
  std::string_view allowed;          // words, joined by commas; "" is any
  bool changes_at_runtime;           // may be changed after connect
};

// By its name as written in C calls: with `_`. Null where there is none.
const Option* find_option(std::string_view name);

// A name as a file or a call may write it: blanks around it do not count, those inside stand for one `_` each run.
std::string plain_name(std::string_view name);

// Brings a value to the form that rados_conf_get shows ("1K" to "1024", "1" to "true"). 0, -EINVAL or -ERANGE.
int normalize(const Option& option, std::string_view text, std::string& value);

}  // namespace cbd::rados
