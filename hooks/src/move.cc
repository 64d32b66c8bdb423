// `cbd2rbd-move FROM TO`: what `cbd2rbd image move` runs, since data goes through librbd and not through the daemon. Prints the
// outcome as one line of JSON.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "data/flow.h"
#include "move/move.h"
#include "session.h"

namespace {

using namespace cbd::hooks;

Spec end_of(const Words& words, size_t at) {
  const std::string text = words.word(at).value_or("");
  Spec spec = parse_spec(text);
  if (!spec.snap.empty() || spec.image.empty()) throw Failure{EINVAL, "rbd: " + text + " is no image: [POOL/[NAMESPACE/]]IMAGE\n"};
  if (spec.pool.empty()) spec.pool = "rbd";
  return spec;
}

int move(rados_t cluster, const std::vector<std::string>& argv) {
  const Words words({{"remove", 0, true}, {"abort", 0, true}, {"no-progress", 0, true}}, argv, 2);
  watch_interrupts();
  Move move(cluster, {end_of(words, 0), end_of(words, 1), words.has("remove"), !words.has("no-progress")});
  nlohmann::json outcome = nlohmann::json::object();
  if (words.has("abort")) {
    move.abort();
  } else {
    const Moved moved = move.run();
    outcome = {{"size", moved.size}, {"snapshots", moved.snapshots}};
    if (!moved.trash_id.empty()) outcome["trashId"] = moved.trash_id;
  }
  puts(outcome.dump().c_str());
  return 0;
}

// Failures are worded as rbd's; here another program speaks.
void complain(const std::string& text) {
  const size_t skip = text.rfind("rbd: ", 0) == 0 ? strlen("rbd: ") : 0;
  fprintf(stderr, "cbd2rbd: %s", text.c_str() + skip);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  std::string error;
  if (!split(words_of(getenv("CEPH_ARGS"), argc, argv), false, arguments, error)) {
    complain(error + "\n");
    return EINVAL;
  }
  Session session;
  if (const int code = session.open("cbd2rbd", arguments); code != 0) return code;
  rados_conf_set(session.cluster(), "rbd_disable_zero_copy_writes", "false");
  try {
    return move(session.cluster(), arguments.rest);
  } catch (const Failure& failure) {
    complain(failure.text);
    return failure.code;
  }
}
