// Where a client's key is: the options `key`, `keyfile` and `keyring`, as librados looks for it.
#pragma once

#include <string>

#include "rados/config.h"

namespace cbd::rados {

// The key's secret bytes, "" where there is no key. 0, or -EINVAL (a key that is none), -EACCES and the like (a file that
// is there and cannot be read). `why` is for people: where a key that is not to be had was looked for.
int find_secret(const Config& config, std::string& secret, std::string& why);

}  // namespace cbd::rados
