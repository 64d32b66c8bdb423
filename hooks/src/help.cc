#include "help.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace cbd::hooks {
namespace {

struct RbdHelp {
  const char* name;
  const char* help;
  const char* words;
};

struct RbdGroup {
  const char* name;
  const char* overview;
};

struct CephHelp {
  const char* name;
  const char* entry;
};

#include "hooks/help_texts.inc"

bool asks_for_help(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--") return false;
    if (word == "--help" || word == "-h") return true;
  }
  return false;
}

// The words that are no options, from `first` on, as one text.
std::string joined(const std::vector<std::string>& words, size_t first) {
  std::string text;
  for (size_t at = first; at < words.size(); ++at) {
    if (words[at].rfind('-', 0) != 0) text += (text.empty() ? "" : " ") + words[at];
  }
  return text;
}

bool begins_with_words(const std::string& text, const char* words) {
  const size_t length = strlen(words);
  return text.compare(0, length, words) == 0 && (text.size() == length || text[length] == ' ');
}

// The command whose name is the longest that `text` begins with.
const RbdHelp* find_command(const std::string& text) {
  const RbdHelp* best = nullptr;
  for (const RbdHelp& one : rbd_commands) {
    if (begins_with_words(text, one.name) && (best == nullptr || strlen(one.name) > strlen(best->name))) best = &one;
  }
  return best;
}

const char* group_overview(const std::string& text) {
  for (const RbdGroup& group : rbd_groups) {
    if (text == group.name) return group.overview;
  }
  return rbd_overview;
}

int print(const char* text) { return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? 1 : 0; }

int unknown(const std::string& text) {
  fprintf(stderr, "error: unknown option '%s'\n\n", text.c_str());
  print(group_overview(text));
  return 1;
}

int help_on(const std::string& text) {
  if (text.empty()) return print(rbd_overview);
  const RbdHelp* command = find_command(text);
  return command != nullptr ? print(command->help) : unknown(text);
}

// Options and their values may stand in front of the command: it is looked for from each word on.
int help_beside_command(const std::vector<std::string>& words) {
  for (size_t at = 0; at < words.size(); ++at) {
    if (const RbdHelp* command = find_command(joined(words, at)); command != nullptr && words[at].rfind('-', 0) != 0) return print(command->help);
  }
  return print(group_overview(joined(words, 0)));
}

}  // namespace

std::optional<int> answer_rbd_help(const std::vector<std::string>& words) {
  if (words.empty()) return print(rbd_overview);
  if (words[0] == "help") return help_on(joined(words, 1));
  if (words[0] == "bash-completion") {
    const std::string text = joined(words, 1);
    const RbdHelp* command = find_command(text);
    return print(command != nullptr && text == command->name ? command->words : rbd_words);
  }
  if (asks_for_help(words)) return help_beside_command(words);
  // Lines with options are left to who knows which of them have values.
  const bool has_options = std::any_of(words.begin(), words.end(), [](const std::string& word) { return word.rfind('-', 0) == 0; });
  return has_options || find_command(joined(words, 0)) != nullptr ? std::nullopt : std::optional<int>(unknown(joined(words, 0)));
}

std::optional<int> answer_ceph_help(const std::vector<std::string>& words) {
  if (!asks_for_help(words)) return std::nullopt;
  std::string wanted = joined(words, 0);
  auto is_wanted = [&](const CephHelp& one) { return strncmp(one.name, wanted.c_str(), wanted.size()) == 0; };
  auto count = [&] {
    size_t found = 0;
    for (const CephHelp& one : ceph_commands) found += is_wanted(one) ? 1 : 0;
    return found;
  };
  // What stands behind a command's name are arguments.
  while (count() == 0) wanted.resize(wanted.find_last_of(' ') == std::string::npos ? 0 : wanted.find_last_of(' '));
  if (wanted.empty()) fputs(ceph_general, stdout);
  fputs(ceph_heading, stdout);
  for (const CephHelp& one : ceph_commands) {
    if (is_wanted(one)) fputs(one.entry, stdout);
  }
  return fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace cbd::hooks
