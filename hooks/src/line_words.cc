#include "line_words.h"

namespace cbd::hooks {

std::optional<std::vector<std::string>> split_line(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool is_open = false;  // in a word, be it an empty one in quotes
  char quote = '\0';
  for (size_t at = 0; at < line.size(); ++at) {
    const char one = line[at];
    const bool has_next = at + 1 < line.size();
    if (quote == '\'' && one != quote) {
      word += one;
    } else if (quote != '\0' && one == quote) {
      quote = '\0';
    } else if (one == '\\') {
      if (!has_next) return std::nullopt;
      if (quote == '"' && line[at + 1] != '"' && line[at + 1] != '\\') word += one;
      word += line[++at];
      is_open = true;
    } else if (quote != '\0') {
      word += one;
    } else if (one == '\'' || one == '"') {
      quote = one;
      is_open = true;
    } else if (one == ' ' || one == '\t' || one == '\r') {
      if (is_open) words.push_back(word);
      word.clear();
      is_open = false;
    } else {
      word += one;
      is_open = true;
    }
  }
  if (quote != '\0') return std::nullopt;
  if (is_open) words.push_back(word);
  return words;
}

}  // namespace cbd::hooks
