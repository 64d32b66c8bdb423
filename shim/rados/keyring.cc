#include "rados/keyring.h"

#include <errno.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "control/proof.h"
#include "rados/conf_file.h"

namespace cbd::rados {

namespace {

// False with errno where it cannot be read.
bool read_text(const std::string& path, std::string& text) {
  errno = 0;
  std::ifstream in(path);
  if (!in) {
    if (errno == 0) errno = ENOENT;
    return false;
  }
  std::ostringstream all;
  all << in.rdbuf();
  text = all.str();
  if (!text.ends_with('\n')) text += '\n';
  return true;
}

int decode(const std::string& text, std::string& secret) { return control::decode_key(text, secret) ? 0 : -EINVAL; }

// The key of `entity` in a keyring; false where it has none.
bool key_in(const std::string& text, const std::string& entity, std::string& key) {
  std::vector<ConfEntry> entries;
  if (!parse_conf(text, entries)) return false;
  for (const ConfEntry& entry : entries) {
    if (entry.section != entity || entry.name != "key") continue;
    key = entry.value;
    return true;
  }
  return false;
}

}  // namespace

int find_secret(const Config& config, std::string& secret, std::string& why) {
  secret.clear();
  why.clear();
  std::string key, path, text;
  auto note = [&](const std::string& where, const char* what) { why += (why.empty() ? "" : "; ") + where + ": " + what; };
  config.get("key", key);
  if (!key.empty()) {
    note("the option key", "that is no key");
    return decode(key, secret);
  }
  config.get("keyfile", path);
  if (!path.empty()) {
    if (!read_text(path, text)) {
      const int error = errno;
      note(path, strerror(error));
      return -error;
    }
    note(path, "it holds no key");
    return decode(text, secret);
  }

  std::string list;
  config.get("keyring", list);
  int refused = 0;
  while (!list.empty()) {
    size_t end = list.find_first_of(",; ");
    path = list.substr(0, end);
    list.erase(0, end == std::string::npos ? list.size() : end + 1);
    if (path.empty()) continue;
    if (!read_text(path, text)) {
      const int error = errno;
      note(path, strerror(error));
      if (error != ENOENT && error != ENOTDIR) refused = -error;
      continue;
    }
    const bool is_there = key_in(text, config.entity(), key);
    note(path, is_there ? "its key is none" : ("it has no [" + config.entity() + "]").c_str());
    // As the real library: a bad `key` option is EINVAL, a bad key in a keyring EIO.
    if (is_there) return decode(key, secret) == 0 ? 0 : -EIO;
  }
  return refused;
}

}  // namespace cbd::rados
