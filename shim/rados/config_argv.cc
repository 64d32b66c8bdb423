// Options out of a command line, as librados takes them: --option value, --option=value, -m, -k, -K, -d, -f, and for
// a bool --option, --option true, --no-option.
#include <errno.h>

#include <algorithm>

#include "rados/config.h"

namespace cbd::rados {

namespace {

struct Short {
  std::string_view flag, option;
};
constexpr Short with_value[] = {{"-m", "mon_host"}, {"-k", "keyring"}, {"-K", "keyfile"}};

// What a word says: the option's name with `_`, and the value behind `=`.
struct Word {
  std::string name;
  std::optional<std::string> value;
};

std::optional<Word> read_word(const std::string& text) {
  Word word;
  size_t equals = text.find('=');
  std::string flag = text.substr(0, equals);
  if (equals != std::string::npos) word.value = text.substr(equals + 1);
  for (auto& [name, option] : with_value) {
    if (flag == name) {
      word.name = option;
      return word;
    }
  }
  if (!flag.starts_with("--") || flag.size() == 2) return {};
  word.name = flag.substr(2);
  std::replace(word.name.begin(), word.name.end(), '-', '_');
  return word;
}

}  // namespace

int Config::parse_argv(std::vector<std::string>& words, Source source) {
  std::lock_guard lock(mutex_);
  return parse_argv_locked(words, source);
}

int Config::parse_argv_locked(std::vector<std::string>& words, Source source) {
  std::vector<std::string> rest;
  size_t i = 0;
  if (!words.empty()) rest.push_back(words[i++]);
  int error = 0;
  for (; i < words.size() && error == 0; i++) {
    if (words[i] == "--") break;  // what follows is not for us
    if (words[i] == "-f" || words[i] == "--foreground" || words[i] == "-d") {
      set_locked("daemonize", "false", override_);
      if (words[i] != "-d") continue;
      set_locked("log_file", "", override_);
      set_locked("log_to_stderr", "true", override_);
      set_locked("err_to_stderr", "true", override_);
      continue;
    }
    if (words[i] == "--no-mon-config" || words[i] == "--mon-config") continue;
    auto word = read_word(words[i]);
    const Option* option = word ? find_option(word->name) : nullptr;
    bool negated = false;
    if (word && option == nullptr && word->name.starts_with("no_")) {
      option = find_option(std::string_view(word->name).substr(3));
      negated = option != nullptr && option->type == OptionType::boolean;
      if (!negated) option = nullptr;
    }
    if (option == nullptr) {
      rest.push_back(words[i]);
      continue;
    }
    std::string ignored;
    if (option->name == "keyfile") {  // unlike the option of that name, it is read at once, and only a key that is there counts
      if (!word->value && i + 1 < words.size()) word->value = words[++i];
      std::string text;
      if (!word->value) {
        error = -EINVAL;
      } else if (read_whole(*word->value, text) == 0) {
        set_locked("key", text.substr(0, text.find_last_not_of(" \t\r\n") + 1), source);
      }
    } else if (negated) {
      error = set_locked(option->name, "false", source);
    } else if (word->value) {
      error = set_locked(option->name, *word->value, source);
    } else if (option->type == OptionType::boolean) {
      bool has_value = i + 1 < words.size() && normalize(*option, words[i + 1], ignored) == 0;
      error = set_locked(option->name, has_value ? words[++i] : "true", source);
    } else if (i + 1 < words.size()) {
      error = set_locked(option->name, words[++i], source);
    } else {
      error = -EINVAL;  // an argument is missing
    }
  }
  rest.insert(rest.end(), words.begin() + static_cast<ptrdiff_t>(i), words.end());
  words = std::move(rest);
  return error == -ENOENT ? -EINVAL : error;
}

}  // namespace cbd::rados
