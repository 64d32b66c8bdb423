// Tells the daemon of a client that found no key, for its log: such a client ends with an errno alone, and it is the one who configured
// it that must know where the key was looked for.
#pragma once

#include <string>

namespace cbd::control {

// Waits for nothing and says nothing of failures: there may be no daemon either. `why` names files, never a key.
void tell_keyless(const std::string& socket_path, const std::string& entity, const std::string& why);

}  // namespace cbd::control
