// See keyless.h.
#include "control/keyless.h"

#include <errno.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "control/wire.h"

namespace cbd::control {

void tell_keyless(const std::string& socket_path, const std::string& entity, const std::string& why) {
  std::shared_ptr<Wire> wire;
  if (Wire::open(socket_path, wire) != 0) return;
  const nlohmann::json hello = {{"jsonrpc", "2.0"}, {"id", 0}, {"method", "session.hello"},
                                {"params", {{"protocol", 1}, {"pid", getpid()}, {"program", program_invocation_short_name}, {"entity", entity}, {"keyless", why}}}};
  // Paths may be in any encoding.
  wire->try_send(hello.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace cbd::control
