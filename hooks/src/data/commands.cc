#include "data/commands.h"

#include <cerrno>

#include "data/words.h"

namespace cbd::hooks {
namespace {

struct Named {
  const char* name;
  DataCommand run;
};

const Named commands[] = {
    {"import", run_import},           {"export", run_export}, {"export-diff", run_export_diff}, {"import-diff", run_import_diff},
    {"diff", run_diff},               {"cp", run_copy},       {"copy", run_copy},               {"du", run_disk_usage},
    {"disk-usage", run_disk_usage},
};

}  // namespace

DataCommand find_data_command(const std::vector<std::string>& words, std::vector<std::string>& rest) {
  // Options may stand before the command; "-p pool" is the one whose value could be taken for it.
  for (size_t at = 0; at < words.size(); ++at) {
    if (words[at] == "-p" || words[at] == "--pool" || words[at] == "--namespace" || words[at] == "--image" || words[at] == "--snap") {
      ++at;
      continue;
    }
    if (words[at].size() > 1 && words[at][0] == '-') continue;
    for (const Named& command : commands) {
      if (words[at] != command.name) continue;
      rest = words;
      rest.erase(rest.begin() + static_cast<long>(at));
      return command.run;
    }
    return nullptr;
  }
  return nullptr;
}

}  // namespace cbd::hooks
