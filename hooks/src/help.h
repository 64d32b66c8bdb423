// What the commands say of themselves, and completion. Needs neither a daemon nor a configuration: the texts are built in, made from the
// tables that answer the commands (tools/hooks-help.ts).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cbd::hooks {

// Answers `rbd`, `rbd help ...`, `rbd bash-completion ...`, what asks for --help, and what is no command: the exit code, or nothing where the
// words ask for something else.
std::optional<int> answer_rbd_help(const std::vector<std::string>& words);

// The same for `ceph --help` and `ceph WORDS --help`.
std::optional<int> answer_ceph_help(const std::vector<std::string>& words);

}  // namespace cbd::hooks
