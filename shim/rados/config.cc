#include "rados/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/unique_fd.h"
#include "rados/conf_file.h"

namespace cbd::rados {

namespace {

constexpr const char* default_paths = "/etc/ceph/$cluster.conf,$home/.ceph/$cluster.conf,$cluster.conf";
constexpr int max_depth = 10;  // of metavariables that name options that hold metavariables

std::vector<std::string> split(std::string_view text, std::string_view marks) {
  std::vector<std::string> parts;
  while (true) {
    size_t begin = text.find_first_not_of(marks);
    if (begin == std::string_view::npos) return parts;
    text.remove_prefix(begin);
    size_t end = std::min(text.find_first_of(marks), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// "/etc/ceph/east.conf" is cluster "east".
std::string cluster_of(std::string_view path) {
  path = path.substr(path.find_last_of('/') + 1);
  if (path.size() <= 5 || !path.ends_with(".conf")) return "ceph";
  return std::string(path.substr(0, path.size() - 5));
}

bool is_word(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; }

}  // namespace

int read_whole(const std::string& path, std::string& text) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return -errno;
  text.clear();
  char part[8192];
  ssize_t n;
  while ((n = ::read(fd.get(), part, sizeof part)) != 0) {
    if (n > 0) text.append(part, static_cast<size_t>(n));
    if (n < 0 && errno != EINTR) return -errno;
  }
  return 0;
}

Config::Config(std::string cluster, std::string entity_type, std::string entity_id)
    : cluster_(std::move(cluster)), type_(std::move(entity_type)), id_(std::move(entity_id)) {
  control::register_for_fork(this);
}

Config::~Config() { control::unregister_for_fork(this); }

int Config::set(std::string_view name, std::string_view value, Source source) {
  std::lock_guard lock(mutex_);
  return set_locked(plain_name(name), value, source);
}

int Config::set_locked(std::string_view name, std::string_view value, Source source) {
  const Option* option = find_option(name);
  if (option == nullptr) return -ENOENT;
  std::string plain;
  int error = normalize(*option, value, plain);
  if (error != 0) return error;
  if (frozen_ && !option->changes_at_runtime && plain != raw(*option)) return -EPERM;
  values_[option][source] = std::move(plain);
  return 0;
}

std::string Config::raw(const Option& option) const {
  auto found = values_.find(&option);
  if (found != values_.end()) {
    for (int source = source_count - 1; source >= 0; source--) {
      if (found->second[static_cast<size_t>(source)]) return *found->second[static_cast<size_t>(source)];
    }
  }
  std::string value(option.default_value);
  if (option.name == "rbd_default_features") normalize(option, option.default_value, value);
  return value;
}

bool Config::get(std::string_view name, std::string& value) const {
  const Option* option = find_option(plain_name(name));
  if (option == nullptr) return false;
  std::lock_guard lock(mutex_);
  value = expand(raw(*option), 0);
  return true;
}

bool Config::variable(const std::string& name, int depth, std::string& value) const {
  if (name == "type") {
    value = type_;
  } else if (name == "cluster") {
    value = cluster_.empty() ? "ceph" : cluster_;
  } else if (name == "name") {
    value = type_ + "." + id_;
  } else if (name == "id" || name == "num") {
    value = id_;
  } else if (name == "pid") {
    value = std::to_string(getpid());
  } else if (name == "cctid") {
    value = std::to_string(reinterpret_cast<uintptr_t>(this));
  } else if (name == "home") {
    const char* home = getenv("HOME");
    value = home != nullptr ? home : "";
  } else if (name == "host") {
    const Option* host = find_option("host");
    value = raw(*host);
    if (value.empty()) {
      char text[256] = "";
      gethostname(text, sizeof text - 1);
      value = std::string_view(text).substr(0, std::string_view(text).find('.'));
    }
  } else {
    const Option* option = find_option(name);
    if (option == nullptr) return false;
    value = expand(raw(*option), depth + 1);
  }
  return true;
}

std::string Config::expand(std::string_view text, int depth) const {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '$' || depth > max_depth) {
      out += text[i++];
      continue;
    }
    size_t begin = i + 1, end, after;
    if (begin < text.size() && text[begin] == '{') {
      begin++;
      end = std::min(text.find('}', begin), text.size());
      after = std::min(end + 1, text.size());
    } else {
      end = begin;
      while (end < text.size() && is_word(text[end])) end++;
      after = end;
    }
    std::string value;
    if (end > begin && variable(std::string(text.substr(begin, end - begin)), depth, value)) {
      out += value;
      i = after;
    } else {
      out += text[i++];  // no variable of ours: it stays as it is written
    }
  }
  return out;
}

int Config::take_file(const std::string& path, const std::string& text) {
  std::vector<ConfEntry> entries;
  if (!parse_conf(text, entries)) return -EINVAL;
  if (cluster_.empty()) cluster_ = cluster_of(path);
  // The more particular section wins, whatever the order in the file. Values that an option cannot hold are passed over.
  for (const std::string& section : {std::string("global"), type_, type_ + "." + id_}) {
    for (const ConfEntry& entry : entries) {
      if (entry.section == section) set_locked(entry.name, entry.value, file);
    }
  }
  return 0;
}

int Config::read_file(const char* paths) {
  std::lock_guard lock(mutex_);
  const char* variable = getenv("CEPH_CONF");
  std::string list = paths != nullptr ? paths : variable != nullptr ? variable : default_paths;
  if (frozen_) return -ENOSYS;  // as the real library says after connect
  for (const std::string& entry : split(list, ", ;")) {
    std::string path = expand(entry, 0), text;
    if (read_whole(path, text) == 0) return take_file(path, text);
  }
  return -ENOENT;  // also for one that cannot be read
}

int Config::parse_environment(const char* variable) {
  std::lock_guard lock(mutex_);
  if (const char* keyring = getenv("CEPH_KEYRING")) set_locked("keyring", keyring, environment);
  const char* arguments = getenv(variable != nullptr ? variable : "CEPH_ARGS");
  if (arguments == nullptr) return 0;
  std::vector<std::string> words = split(arguments, " \t\n");
  words.insert(words.begin(), "");
  return parse_argv_locked(words, environment);
}

void Config::freeze() {
  std::lock_guard lock(mutex_);
  frozen_ = true;
}

void Config::thaw() {
  std::lock_guard lock(mutex_);
  frozen_ = false;
}

}  // namespace cbd::rados
