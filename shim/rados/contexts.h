// Which rados_config_t are ours: rados_create_with_context may be given one of the real libceph-common.
#pragma once

#include <memory>

#include "rados/config.h"

namespace cbd::rados {

void remember_context(const std::shared_ptr<Config>& config);
// Null where it is not ours, or gone.
std::shared_ptr<Config> find_context(const void* context);

}  // namespace cbd::rados
