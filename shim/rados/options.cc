#include "rados/options.h"

#include <errno.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "rados/option_values.h"

namespace cbd::rados {

namespace {

constexpr std::string_view table =
#include "rados/option_table.inc"
    ;

// Ours: where the daemon's socket is; "" is the default place.
constexpr Option own_options[] = {{"cbd2rbd_socket", OptionType::text, "", "", "", "", false}};

OptionType type_of(std::string_view word) {
  static constexpr std::pair<std::string_view, OptionType> types[] = {
      {"bool", OptionType::boolean},       {"int", OptionType::integer},
      {"uint", OptionType::unsigned_integer}, {"float", OptionType::real},
      {"size", OptionType::size},          {"secs", OptionType::seconds},
      {"millisecs", OptionType::milliseconds}, {"addr", OptionType::address},
      {"addrvec", OptionType::addresses},  {"uuid", OptionType::uuid},
      {"debug", OptionType::debug}};
  for (auto& [name, type] : types) {
    if (name == word) return type;
  }
  return OptionType::text;
}

std::vector<Option> read_table() {
  std::vector<Option> options(std::begin(own_options), std::end(own_options));
  options.reserve(2000);
  std::string_view rest = table;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    std::string_view fields[7];
    for (auto& field : fields) {
      size_t tab = line.find('\t');
      field = line.substr(0, tab);
      line.remove_prefix(tab == std::string_view::npos ? line.size() : tab + 1);
    }
    options.push_back({fields[0], type_of(fields[1]), fields[2], fields[3], fields[4], fields[5], fields[6] == "r"});
  }
  std::sort(options.begin(), options.end(), [](auto& a, auto& b) { return a.name < b.name; });
  return options;
}

}  // namespace

const Option* find_option(std::string_view name) {
  static const std::vector<Option>& options = *new std::vector<Option>(read_table());
  auto found = std::lower_bound(options.begin(), options.end(), name,
                                [](const Option& option, std::string_view wanted) { return option.name < wanted; });
  return found != options.end() && found->name == name ? &*found : nullptr;
}

std::string plain_name(std::string_view name) {
  std::string plain;
  bool gap = false;
  for (char c : name) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      gap = !plain.empty();
      continue;
    }
    if (std::exchange(gap, false)) plain += '_';
    plain += c;
  }
  return plain;
}

int normalize(const Option& option, std::string_view text, std::string& value) {
  bool fine = true;
  switch (option.type) {
    case OptionType::text:
      if (option.name == "rbd_default_features") {
        fine = normalize_features(text, value);
        break;
      }
      fine = option.allowed.empty() || is_one_of(text, option.allowed);
      value = text;
      break;
    case OptionType::boolean: fine = normalize_boolean(text, value); break;
    case OptionType::integer: fine = normalize_integer(text, option.lowest, option.highest, value); break;
    case OptionType::unsigned_integer:
      fine = normalize_unsigned(text, option.lowest, option.highest, value) && is_valid_unsigned(option.name, value);
      break;
    case OptionType::size:
      fine = normalize_size(text, option.lowest, option.highest, value) && is_valid_unsigned(option.name, value);
      break;
    case OptionType::real: fine = normalize_real(text, option.lowest, option.highest, value); break;
    case OptionType::seconds: fine = normalize_seconds(text, value); break;
    case OptionType::milliseconds: fine = normalize_milliseconds(text, value); break;
    case OptionType::address:
    case OptionType::addresses: fine = normalize_address(text, value); break;
    case OptionType::uuid: fine = normalize_uuid(text, value); break;
    case OptionType::debug: return normalize_debug(text, value);
  }
  return fine ? 0 : -EINVAL;
}

}  // namespace cbd::rados
