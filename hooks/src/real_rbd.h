// Commands about pools on a real Ceph: Ceph's own rbd carries them out.
#pragma once

#include <string>

namespace cbd::hooks {

// The exit code by which the daemon asks for that (src/ceph/rbd/elsewhere.ts).
inline constexpr int elsewhere_code = 66;

// Becomes Ceph's own rbd: $CBD2RBD_REAL_RBD, /usr/bin/rbd.distrib (where our package moves it) or /usr/bin/rbd. `arguments` is a JSON
// list. Returns only where there is none, with the exit code, having said so.
int run_real_rbd(const std::string& arguments);

}  // namespace cbd::hooks
