#include "arguments.h"

#include <cstdio>
#include <sstream>

namespace cbd::hooks {
namespace {

// What an option's value is for; null where the option is not one of the connection.
std::optional<std::string>* place(const std::string& option, bool is_ceph, Arguments& out, std::optional<std::string>& id,
                                  std::optional<std::string>& name, std::optional<std::string>& cluster) {
  if (option == "-c" || option == "--conf") return &out.conf;
  if (option == "--id" || option == "--user") return &id;
  if (option == "-n" || option == "--name") return &name;
  if (option == "--cluster") return &cluster;
  if (!is_ceph) return nullptr;
  if (option == "-i" || option == "--in-file") return &out.input;
  if (option == "-o" || option == "--out-file") return &out.output;
  if (option == "--connect-timeout") return &out.connect_timeout;
  return nullptr;
}

bool is_whole(const std::string& text) {
  const size_t digits = text.find_first_not_of("+-") == 1 ? 1 : 0;
  return text.size() > digits && text.find_first_not_of("0123456789", digits) == std::string::npos;
}

}  // namespace

std::vector<std::string> words_of(const char* ceph_args, int argc, char** argv) {
  std::vector<std::string> words;
  if (ceph_args != nullptr) {
    std::istringstream text(ceph_args);
    for (std::string word; text >> word;) words.push_back(word);
  }
  words.insert(words.end(), argv + 1, argv + argc);
  return words;
}

bool split(const std::vector<std::string>& words, bool is_ceph, Arguments& out, std::string& error) {
  std::optional<std::string> id, name, cluster;
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "--") {
      out.rest.insert(out.rest.end(), words.begin() + static_cast<long>(at), words.end());
      break;
    }
    size_t equals = word.rfind("--", 0) == 0 ? word.find('=') : std::string::npos;
    std::optional<std::string>* target = place(word.substr(0, equals), is_ceph, out, id, name, cluster);
    if (is_ceph && word.rfind("--format=", 0) == 0) {
      out.kept.push_back(word);
    } else if (is_ceph && (word == "-f" || word == "--format")) {
      if (at + 1 == words.size()) {
        error = "argument -f/--format: expected one argument";
        return false;
      }
      out.kept.push_back(word);
      out.kept.push_back(words[++at]);
    } else if (target == nullptr) {
      out.rest.push_back(word);
    } else if (equals != std::string::npos) {
      *target = word.substr(equals + 1);
    } else if (at + 1 < words.size()) {
      *target = words[++at];
    } else {
      error = "Option " + word + " requires an argument.";
      return false;
    }
  }
  if (out.connect_timeout && !is_whole(*out.connect_timeout)) {
    error = "argument --connect-timeout: invalid int value: '" + *out.connect_timeout + "'";
    return false;
  }
  if (id) out.name = "client." + *id;
  if (name) out.name = *name;
  if (cluster) out.cluster = *cluster;
  return true;
}

bool answer_version(const Arguments& arguments) {
  if (arguments.rest.size() != 1 || (arguments.rest[0] != "--version" && arguments.rest[0] != "-v")) return false;
  puts("ceph version 16.2.15 (cbd2rbd-" CBD_PACKAGE_VERSION ") pacific (stable)");
  return true;
}

}  // namespace cbd::hooks
