#include "data/commands.h"

#include <algorithm>

#include "data/words.h"

namespace cbd::hooks {
namespace {

struct Named {
  const char* name;
  DataCommand run;
};

const Named commands[] = {
    {"import", run_import},
    {"export", run_export},
    {"export-diff", run_export_diff},
    {"import-diff", run_import_diff},
    {"merge-diff", run_merge_diff},
    {"diff", run_diff},
    {"cp", run_copy},
    {"copy", run_copy},
    {"deep cp", run_deep_copy},
    {"deep copy", run_deep_copy},
    {"du", run_disk_usage},
    {"disk-usage", run_disk_usage},
    {"bench", run_bench},
    {"bench-write", run_bench_write},
    {"watch", run_watch},
    {"sparsify", run_sparsify},
};

// Options with a value that may stand in front of a command.
bool takes_value(const std::string& option) {
  for (const char* one : {"-p", "--pool", "--namespace", "--image", "--snap", "--path", "--format", "--dest", "--dest-pool", "--io-type"}) {
    if (option == one) return true;
  }
  return false;
}

}  // namespace

DataCommand find_data_command(const std::vector<std::string>& words, std::vector<std::string>& rest) {
  std::string name;
  rest.clear();
  for (size_t at = 0; at < words.size(); ++at) {
    rest.push_back(words[at]);
    if (takes_value(words[at]) && at + 1 < words.size()) {
      rest.push_back(words[++at]);
      continue;
    }
    if (words[at].size() > 1 && words[at][0] == '-') continue;
    rest.pop_back();
    name += (name.empty() ? "" : " ") + words[at];
    if (name == "deep") continue;
    rest.insert(rest.end(), words.begin() + static_cast<long>(at) + 1, words.end());
    if (name == "create" && std::find(rest.begin(), rest.end(), "--thick-provision") != rest.end()) return run_create_thick;
    for (const Named& command : commands) {
      if (name == command.name) return command.run;
    }
    return nullptr;
  }
  return nullptr;
}

}  // namespace cbd::hooks
