// A cluster handle's configuration: Ceph's options with their values, from where each came, and ceph.conf's syntax.
// It knows neither sessions nor pools.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/fork.h"
#include "rados/options.h"

namespace cbd::rados {

// The whole of a file. 0 or -errno.
int read_whole(const std::string& path, std::string& text);

class Config final : public control::ForkAware {
 public:
  // From where a value came; a later one wins over an earlier one, whenever it was set.
  enum Source { central, file, environment, command_line, override_, source_count };

  // `cluster` may be "": then the conf file's name decides, or it is "ceph".
  Config(std::string cluster, std::string entity_type, std::string entity_id);
  ~Config();

  const std::string& entity_type() const { return type_; }
  const std::string& entity_id() const { return id_; }
  std::string entity() const { return type_ + "." + id_; }

  // 0, -ENOENT (no such option), -EINVAL or -ERANGE (no value of it), -EPERM (not after connect).
  int set(std::string_view name, std::string_view value, Source source);
  // With metavariables replaced. False where there is no such option.
  bool get(std::string_view name, std::string& value) const;

  // The list of paths, joined by commas, or null for the places where librados looks. 0, -ENOENT (none that can
  // be read), -EINVAL (syntax), -ENOSYS (after connect).
  int read_file(const char* paths);

  // Takes the options that it knows out of `words` (words[0] is the program). 0 or -EINVAL.
  int parse_argv(std::vector<std::string>& words, Source source);
  // CEPH_KEYRING, and the variable's words as parse_argv takes them (null: CEPH_ARGS).
  int parse_environment(const char* variable);

  // From now on only what may change at run time changes.
  void freeze();
  // Back to before, after a failed connect.
  void thaw();

  void before_fork() override { mutex_.lock(); }
  void after_fork_in_parent() override { mutex_.unlock(); }
  void after_fork_in_child() override { mutex_.unlock(); }

 private:
  using Values = std::array<std::optional<std::string>, source_count>;

  int parse_argv_locked(std::vector<std::string>& words, Source source);
  int set_locked(std::string_view name, std::string_view value, Source source);
  std::string raw(const Option& option) const;
  std::string expand(std::string_view text, int depth) const;
  bool variable(const std::string& name, int depth, std::string& value) const;
  int take_file(const std::string& path, const std::string& text);

  mutable std::mutex mutex_;  // guards all below
  std::string cluster_;
  const std::string type_, id_;
  bool frozen_ = false;
  std::map<const Option*, Values> values_;
};

}  // namespace cbd::rados
