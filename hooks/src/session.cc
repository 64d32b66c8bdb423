#include "session.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

namespace cbd::hooks {
namespace {

constexpr const char* default_socket = "/run/cbd2rbd/cbd2rbd.sock";

// How the Python binding words what rados_connect gave; `ceph` prints it.
const char* rados_words(int error) {
  switch (error) {
    case ENOENT: return "RADOS object not found";
    case EACCES: return "RADOS permission denied";
    case EPERM: return "RADOS permission error";
    case EINVAL: return "RADOS invalid argument";
    case ETIMEDOUT: return "RADOS timed out";
    default: return "RADOS error";
  }
}

bool is_name(const std::string& name) {
  const std::string type = name.substr(0, name.find('.'));
  if (type.size() == name.size()) return false;
  for (const char* known : {"auth", "mon", "osd", "mds", "mgr", "client"}) {
    if (type == known) return true;
  }
  return false;
}

bool is_ceph(const char* program) { return strcmp(program, "ceph") == 0; }

}  // namespace

Session::~Session() {
  if (cluster_ != nullptr) rados_shutdown(cluster_);
}

int Session::configure(const char* program, Arguments& arguments) {
  if (!is_name(arguments.name)) {
    if (is_ceph(program)) {
      fputs("Error initializing cluster client: Error('rados_initialize failed with error code: -22')\n", stderr);
    } else {
      fprintf(stderr, "error parsing '%s': expected string of the form TYPE.ID, valid types are: auth, mon, osd, mds, mgr, client\n", arguments.name.c_str());
    }
    return 1;
  }
  int made = rados_create2(&cluster_, arguments.cluster.empty() ? nullptr : arguments.cluster.c_str(),
                           arguments.name.c_str(), 0);
  if (made < 0) {
    cluster_ = nullptr;
    fprintf(stderr, "%s: %s is no name of a client: %s\n", program, arguments.name.c_str(), strerror(-made));
    return is_ceph(program) ? 1 : -made;
  }
  int read = rados_conf_read_file(cluster_, arguments.conf ? arguments.conf->c_str() : nullptr);
  if (read < 0 && arguments.conf) {
    if (is_ceph(program)) {
      fprintf(stderr, "Error initializing cluster client: ObjectNotFound('RADOS object not found (error calling conf_read_file)')\n");
    } else {
      fprintf(stderr, "global_init: unable to open config file from search list %s\n", arguments.conf->c_str());
    }
    return 1;
  }
  rados_conf_parse_env(cluster_, nullptr);

  std::vector<const char*> words{program};
  for (const std::string& word : arguments.rest) words.push_back(word.c_str());
  std::vector<const char*> left(words.size(), nullptr);
  int parsed = rados_conf_parse_argv_remainder(cluster_, static_cast<int>(words.size()), words.data(), left.data());
  if (parsed < 0) {
    fprintf(stderr, "%s: the options for the connection cannot be read: %s\n", program, strerror(-parsed));
    return is_ceph(program) ? 1 : -parsed;
  }
  std::vector<std::string> rest = std::move(arguments.kept);
  for (size_t at = 1; at < left.size() && left[at] != nullptr; ++at) rest.emplace_back(left[at]);
  arguments.rest = std::move(rest);
  if (arguments.connect_timeout) rados_conf_set(cluster_, "client_mount_timeout", arguments.connect_timeout->c_str());
  return 0;
}

// The socket that the library will use, and whether somebody listens there.
bool Session::is_anybody_there(std::string& socket_path) const {
  char value[sizeof(sockaddr_un::sun_path)] = "";
  if (rados_conf_get(cluster_, "cbd2rbd_socket", value, sizeof(value)) == 0 && value[0] != '\0') {
    socket_path = value;
  } else if (const char* environment = getenv("CBD2RBD_SOCKET"); environment != nullptr && *environment != '\0') {
    socket_path = environment;
  } else {
    socket_path = default_socket;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) return false;
  memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  bool answered = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  bool is_absent = !answered && (errno == ENOENT || errno == ECONNREFUSED);
  close(fd);
  return !is_absent;
}

int Session::open(const char* program, Arguments& arguments) {
  if (int code = configure(program, arguments); code != 0) return code;
  int result = rados_connect(cluster_);
  if (result == 0) return 0;
  std::string path;
  if (!is_anybody_there(path)) {
    fprintf(stderr, "%s: no cbd2rbd daemon answers at %s; start one with: cbd2rbd serve\n", program, path.c_str());
  }
  if (is_ceph(program)) {
    fprintf(stderr, "[errno %d] %s (error connecting to the cluster)\n", -result, rados_words(-result));
  } else {
    fprintf(stderr, "rbd: couldn't connect to the cluster!\n");
  }
  return is_ceph(program) ? -result : 1;
}

int Session::run(const char* program, const std::vector<std::string>& words, const std::string& input, Outcome& outcome) {
  nlohmann::json command{{"prefix", "cbd2rbd cli"}, {"program", program}, {"argv", words}};
  for (const char* name : {"RBD_POOL", "RBD_IMAGE", "TZ"}) {
    if (const char* value = getenv(name)) command["env"][name] = value;
  }
  // What the caller's own configuration says of clones; the daemon knows only the central one.
  char format[16] = "";
  if (rados_conf_get(cluster_, "rbd_default_clone_format", format, sizeof(format)) == 0) {
    command["env"]["RBD_DEFAULT_CLONE_FORMAT"] = format;
  }
  std::string text = command.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const char* list[] = {text.c_str()};
  char *out = nullptr, *err = nullptr;
  size_t out_length = 0, err_length = 0;
  int result = rados_mon_command(cluster_, list, 1, input.data(), input.size(), &out, &out_length, &err, &err_length);
  if (out != nullptr) outcome.out.assign(out, out_length);
  if (err != nullptr) outcome.err.assign(err, err_length);
  rados_buffer_free(out);
  rados_buffer_free(err);
  outcome.code = result < 0 ? -result : 0;
  return 0;
}

}  // namespace cbd::hooks
