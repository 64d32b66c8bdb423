#include "rados/option_values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

namespace cbd::rados {

namespace {

// Decimal with an optional sign, nothing before and nothing after it.
std::optional<int64_t> whole_number(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return {};
  }
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return number;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_leading_blanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\n\v\f\r"), text.size()));
  return text;
}

// Thousands: 1K is 1000. Only the last letter is a unit.
std::optional<int64_t> with_si_prefix(std::string_view text) {
  constexpr std::string_view units = "KMGTPE";
  if (text.empty() || text.find_first_not_of("0123456789+-") == std::string_view::npos) return whole_number(text);
  size_t power = units.find(text.back());
  if (power == std::string_view::npos) return {};
  text.remove_suffix(1);
  auto number = whole_number(text);
  for (size_t i = 0; number && i <= power; i++) {
    int64_t product;
    if (__builtin_mul_overflow(*number, int64_t{1000}, &product)) return {};
    number = product;
  }
  return number;
}

// 1024s: 1K, 1Ki, 1KB (any second letter will do) are 1024; 1B is 1.
std::optional<uint64_t> with_iec_prefix(std::string_view text) {
  constexpr std::string_view units = "BKMGTPE";
  size_t end = std::min(text.find_first_not_of("0123456789+-"), text.size());
  std::string_view unit = text.substr(end);
  unsigned shift = 0;
  if (!unit.empty()) {
    if (unit.size() > 2 || unit == "Bi") return {};
    size_t power = units.find(unit.front());
    if (power == std::string_view::npos) return {};
    shift = static_cast<unsigned>(power) * 10;
  }
  auto number = whole_number(text.substr(0, end));
  if (!number || *number < 0 || static_cast<uint64_t>(*number) > UINT64_MAX >> shift) return {};
  return static_cast<uint64_t>(*number) << shift;
}

template <typename Number>
bool within(Number number, std::string_view lowest, std::string_view highest) {
  auto bound = [](std::string_view text) { return strtod(std::string(text).c_str(), nullptr); };
  return (lowest.empty() || static_cast<double>(number) >= bound(lowest)) &&
         (highest.empty() || static_cast<double>(number) <= bound(highest));
}

struct Unit {
  std::string_view names;  // joined by commas
  int64_t seconds;
};

constexpr Unit time_units[] = {{"s,sec,second,seconds", 1},
                               {"m,min,minute,minutes", 60},
                               {"h,hr,hour,hours", 3600},
                               {"d,day,days", 86400},
                               {"w,wk,week,weeks", 604800},
                               {"mo,month,months", 2592000},
                               {"y,yr,year,years", 31536000}};

constexpr std::string_view features[] = {"layering",  "striping",     "exclusive-lock", "object-map", "fast-diff",
                                         "deep-flatten", "journaling", "data-pool"};

}  // namespace

bool is_one_of(std::string_view word, std::string_view words) {
  for (;;) {
    size_t comma = words.find(',');
    if (words.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) return false;
    words.remove_prefix(comma + 1);
  }
}

bool normalize_boolean(std::string_view text, std::string& value) {
  std::string word(text);
  bool is_true = strcasecmp(word.c_str(), "true") == 0;
  if (!is_true && strcasecmp(word.c_str(), "false") != 0) {
    auto number = whole_number(without_leading_blanks(text));
    if (!number || *number < INT32_MIN || *number > INT32_MAX) return false;
    is_true = *number != 0;
  }
  value = is_true ? "true" : "false";
  return true;
}

bool normalize_integer(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value) {
  auto number = with_si_prefix(text);
  if (!number || !within(*number, lowest, highest)) return false;
  value = std::to_string(*number);
  return true;
}

bool normalize_unsigned(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value) {
  auto number = with_si_prefix(text);
  if (!number || *number < 0 || !within(*number, lowest, highest)) return false;
  value = std::to_string(*number);
  return true;
}

bool normalize_size(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value) {
  auto number = with_iec_prefix(text);
  if (!number || !within(*number, lowest, highest)) return false;
  value = std::to_string(*number);
  return true;
}

bool normalize_real(std::string_view text, std::string_view lowest, std::string_view highest, std::string& value) {
  std::string copy(text);
  char* end;
  double number = strtod(copy.c_str(), &end);
  if (end == copy.c_str() || *end != '\0' || !within(number, lowest, highest)) return false;
  char plain[512];
  snprintf(plain, sizeof plain, "%f", number);
  value = plain;
  return true;
}

bool normalize_seconds(std::string_view text, std::string& value) {
  int64_t sum = 0;
  bool bare = false;
  for (text = without_leading_blanks(text); !text.empty(); text = without_leading_blanks(text)) {
    if (bare) return false;  // a number without a unit stands alone
    size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) digits++;
    int64_t number;
    auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
    if (digits == 0 || error != std::errc()) return false;
    text = without_leading_blanks(text.substr(digits));
    size_t letters = 0;
    while (letters < text.size() && !is_digit(text[letters]) && text[letters] != ' ') letters++;
    std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    bare = name.empty();
    int64_t unit = bare ? 1 : 0;
    for (auto& candidate : time_units) {
      if (!bare && is_one_of(name, candidate.names)) unit = candidate.seconds;
    }
    // The real library wraps round; a nonsense time is refused here instead.
    if (unit == 0 || __builtin_mul_overflow(number, unit, &number) || __builtin_add_overflow(sum, number, &sum)) return false;
  }
  value = std::to_string(sum);
  return true;
}

bool normalize_milliseconds(std::string_view text, std::string& value) {
  auto number = whole_number(text);
  if (!number || *number < 0) return false;
  value = std::to_string(*number);
  return true;
}

bool normalize_address(std::string_view text, std::string& value) {
  if (text == "-") {
    value = text;
    return true;
  }
  if (text.starts_with('[') && text.find("v2:") == 1) {  // a list is kept as it is written
    value = text;
    return text.ends_with(']');
  }
  std::string_view protocol = "v2:";
  if (text.starts_with("v1:") || text.starts_with("v2:")) {
    protocol = text.substr(0, 3);
    text.remove_prefix(3);
  }
  bool is_v6 = text.starts_with('[');
  size_t end = is_v6 ? text.find(']') : std::min(text.find_first_of(":/"), text.size());
  if (end == std::string_view::npos) return false;
  std::string host(text.substr(is_v6 ? 1 : 0, is_v6 ? end - 1 : end));
  std::string_view rest = text.substr(is_v6 ? end + 1 : end);
  in6_addr ignored;
  if (inet_pton(is_v6 ? AF_INET6 : AF_INET, host.c_str(), &ignored) != 1) return false;
  uint64_t port = 0, nonce = 0;
  for (auto [mark, number] : {std::pair{':', &port}, std::pair{'/', &nonce}}) {
    if (!rest.starts_with(mark)) continue;
    auto [stop, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), *number);
    if (error != std::errc()) return false;
    rest.remove_prefix(static_cast<size_t>(stop - rest.data()));
  }
  if (!rest.empty() || port > 65535) return false;
  value = std::string(protocol) + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" +
          std::to_string(nonce);
  return true;
}

bool normalize_uuid(std::string_view text, std::string& value) {
  if (text.size() != 36) return false;
  value.clear();
  for (size_t i = 0; i < text.size(); i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !isxdigit(static_cast<unsigned char>(text[i]))) return false;
    value += static_cast<char>(tolower(static_cast<unsigned char>(text[i])));
  }
  return true;
}

bool normalize_features(std::string_view text, std::string& value) {
  uint64_t mask = 0;
  if (text.empty()) text = "61";
  std::string_view number = text;
  while (number.ends_with(' ')) number.remove_suffix(1);
  if (auto sum = whole_number(number)) {
    if (*sum < 0 || *sum > 255) return false;
    mask = static_cast<uint64_t>(*sum);
  } else {
    for (std::string_view rest = text;;) {
      size_t comma = rest.find(',');
      size_t bit = 0;
      while (bit < std::size(features) && features[bit] != rest.substr(0, comma)) bit++;
      if (bit == std::size(features)) return false;
      mask |= uint64_t{1} << bit;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  value = std::to_string(mask);
  return true;
}

int normalize_debug(std::string_view text, std::string& value) {
  std::string copy(text);
  int log, gather;
  int read = sscanf(copy.c_str(), "%d/%d", &log, &gather);
  if (read < 1) return -EINVAL;
  if (read == 1) gather = log;
  if (log < 0 || log > 99 || gather < 0 || gather > 99) return -ERANGE;
  value = std::to_string(log) + "/" + std::to_string(gather);
  return 0;
}

bool is_valid_unsigned(std::string_view option, std::string_view value) {
  if (option != "rbd_discard_granularity_bytes") return true;
  uint64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return std::has_single_bit(number);
}

}  // namespace cbd::rados
