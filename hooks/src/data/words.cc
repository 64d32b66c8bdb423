#include "data/words.h"

#include <charconv>
#include <cstdio>
#include <cstring>

namespace cbd::hooks {
namespace {

Failure misspelt(const std::string& text) { return Failure{1, "rbd: " + text + "\n"}; }

// The decimal number that begins at `from`; none without a digit, or where 64 bits do not hold it.
std::optional<uint64_t> digits_of(const std::string& text, size_t from) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data() + from, text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() + from) return std::nullopt;
  return number;
}

}  // namespace

Failure bad_argument(const std::string& option) { return misspelt("the argument for option '--" + option + "' is invalid"); }

Failure failure(const std::string& what, int result) {
  return Failure{-result, "rbd: " + what + ": (" + std::to_string(-result) + ") " + strerror(-result) + "\n"};
}

Words::Words(const std::vector<Option>& options, const std::vector<std::string>& argv, size_t most_words) {
  for (size_t at = 0; at < argv.size(); ++at) {
    const std::string& word = argv[at];
    if (word == "--") {
      words_.insert(words_.end(), argv.begin() + static_cast<long>(at) + 1, argv.end());
      break;
    }
    // A lone "-" is standard input or output.
    if (word.size() < 2 || word[0] != '-') {
      words_.push_back(word);
      continue;
    }
    bool is_long = word[1] == '-';
    size_t equals = is_long ? word.find('=') : std::string::npos;
    std::string name = is_long ? word.substr(2, equals == std::string::npos ? equals : equals - 2) : word.substr(1, 1);
    const Option* option = nullptr;
    for (const Option& one : options) {
      if (is_long ? name == one.name : name[0] == one.letter) option = &one;
    }
    if (option == nullptr) throw misspelt("unrecognised option '" + word + "'");
    std::string value;
    if (!option->is_switch) {
      if (equals != std::string::npos) {
        value = word.substr(equals + 1);
      } else if (!is_long && word.size() > 2) {
        value = word.substr(2);
      } else if (at + 1 < argv.size()) {
        value = argv[++at];
      } else {
        throw misspelt(std::string("the required argument for option '--") + option->name + "' is missing");
      }
    }
    std::vector<std::string>& values = found_[option->name];
    if (!values.empty() && !option->is_many) throw misspelt(std::string("option '--") + option->name + "' cannot be specified more than once");
    values.push_back(value);
  }
  if (words_.size() > most_words) throw misspelt("too many arguments");
}

std::optional<std::string> Words::text(const std::string& name) const {
  auto at = found_.find(name);
  if (at == found_.end()) return std::nullopt;
  return at->second.back();
}

std::vector<std::string> Words::texts(const std::string& name) const {
  auto at = found_.find(name);
  return at == found_.end() ? std::vector<std::string>{} : at->second;
}

std::optional<std::string> Words::word(size_t at) const {
  if (at >= words_.size()) return std::nullopt;
  return words_[at];
}

Spec parse_spec(const std::string& text) {
  Spec spec;
  std::string path = text;
  auto bad = [&] { return Failure{22, "rbd: invalid spec '" + text + "'\n"}; };
  if (size_t at = path.find('@'); at != std::string::npos) {
    spec.snap = path.substr(at + 1);
    path.resize(at);
    if (spec.snap.empty() || spec.snap.find_first_of("/@") != std::string::npos) throw bad();
  }
  std::vector<std::string> parts;
  for (size_t from = 0;;) {
    size_t slash = path.find('/', from);
    parts.push_back(path.substr(from, slash == std::string::npos ? slash : slash - from));
    if (slash == std::string::npos) break;
    from = slash + 1;
  }
  if (parts.size() > 3) throw bad();
  for (const std::string& part : parts) {
    if (part.empty()) throw bad();
  }
  spec.image = parts.back();
  if (parts.size() > 1) spec.pool = parts[0];
  if (parts.size() > 2) spec.name_space = parts[1];
  return spec;
}

uint64_t parse_bytes(const std::string& option, const std::string& text) {
  const size_t first = !text.empty() && text[0] == '+' ? 1 : 0;
  const std::optional<uint64_t> number = digits_of(text, first);
  const size_t digits = text.find_first_not_of("0123456789", first);
  std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  if (unit.size() == 2 && unit[1] == 'B') unit.resize(1);
  const size_t power = unit.empty() ? 0 : std::string("BKMGTPE").find(unit);
  if (!number || power == std::string::npos || unit.size() > 1 || *number > static_cast<uint64_t>(INT64_MAX) >> (10 * power)) throw bad_argument(option);
  return *number << (10 * power);
}

uint64_t parse_count(const std::string& option, const std::string& text) {
  if (text.empty()) throw bad_argument(option);
  const bool has_sign = text[0] == '+' || text[0] == '-';
  const std::optional<uint64_t> number = digits_of(text, has_sign ? 1 : 0);
  if (!number || text.find_first_not_of("0123456789", has_sign ? 1 : 0) != std::string::npos) {
    throw misspelt("the argument ('" + text + "') for option '--" + option + "' is invalid");
  }
  return text[0] == '-' ? -*number : *number;
}

std::string show_bytes(uint64_t bytes) {
  static const char* const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  int power = 0;
  while (power < 6 && bytes >= (uint64_t{1} << (10 * (power + 1)))) ++power;
  uint64_t unit = uint64_t{1} << (10 * power);
  if (bytes % unit == 0) return std::to_string(bytes / unit) + units[power];
  char text[64];
  for (int digits = 2; digits >= 0; --digits) {
    int length = snprintf(text, sizeof(text), "%.*f%s", digits, static_cast<double>(bytes) / static_cast<double>(unit), units[power]);
    if (length <= 7) break;
  }
  return text;
}

}  // namespace cbd::hooks
