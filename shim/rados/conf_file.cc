#include "rados/conf_file.h"

#include "rados/options.h"

namespace cbd::rados {

namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
  size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool is_comment(char c) { return c == '#' || c == ';'; }

// The next line; a backslash right before the LF joins it with the one after, except behind a comment's mark.
bool next_line(std::string_view& text, std::string& line) {
  line.clear();
  bool in_comment = false;
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '\n') {
      text.remove_prefix(i + 1);
      return true;
    }
    if (c == '\\' && !in_comment && i + 1 < text.size()) {
      if (text[i + 1] != '\n') {
        line += c;
        line += text[i + 1];
      }
      i++;
      continue;
    }
    if (is_comment(c)) in_comment = true;
    line += c;
  }
  return false;
}

// A value between quotes: nothing but blanks after it, no comment marks inside unless escaped.
bool quoted(std::string_view text, std::string& value) {
  char quote = text.front();
  value.clear();
  for (size_t i = 1; i < text.size(); i++) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      value += text[++i];
    } else if (text[i] == quote) {
      return trim(text.substr(i + 1)).empty();
    } else if (is_comment(text[i])) {
      return false;
    } else {
      value += text[i];
    }
  }
  return false;
}

// Up to a comment; a backslash takes the next character as it is.
void unquoted(std::string_view text, std::string& value) {
  value.clear();
  size_t kept = 0;  // length without blanks at the end
  for (size_t i = 0; i < text.size() && !is_comment(text[i]); i++) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      value += text[++i];
      kept = value.size();
      continue;
    }
    value += text[i];
    if (blanks.find(text[i]) == std::string_view::npos) kept = value.size();
  }
  value.resize(kept);
}

bool section(std::string_view line, std::string& name) {
  size_t end = line.find(']');
  if (end == std::string_view::npos || end == 1) return false;
  std::string_view rest = trim(line.substr(end + 1));
  if (!rest.empty() && !is_comment(rest.front())) return false;
  name = line.substr(1, end - 1);
  return true;
}

}  // namespace

bool parse_conf(std::string_view text, std::vector<ConfEntry>& entries) {
  std::string current = "global", line;
  while (!text.empty()) {
    if (!next_line(text, line)) return false;
    std::string_view trimmed = trim(line);
    if (trimmed.empty() || is_comment(trimmed.front())) continue;
    if (line.front() == '[') {
      if (!section(line, current)) return false;
      continue;
    }
    size_t equals = line.find('=');
    if (equals == std::string::npos || std::string_view(line).substr(0, equals).find_first_of("#;[") != std::string_view::npos) return false;
    ConfEntry entry{current, plain_name(std::string_view(line).substr(0, equals)), ""};
    std::string_view value = trim(std::string_view(line).substr(equals + 1));
    if (entry.name.empty()) return false;
    if (!value.empty() && (value.front() == '"' || value.front() == '\'')) {
      if (!quoted(value, entry.value)) return false;
    } else {
      unquoted(value, entry.value);
    }
    entries.push_back(std::move(entry));
  }
  return true;
}

}  // namespace cbd::rados
