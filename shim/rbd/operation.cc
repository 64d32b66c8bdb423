// See operation.h.
#include "rbd/operation.h"

#include <sys/random.h>

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace cbd::rbd {

std::string new_operation_id() {
  uint64_t words[2] = {};
  if (getrandom(words, sizeof words, 0) != sizeof words) throw std::bad_alloc();
  char text[33];
  snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(words[0]),
           static_cast<unsigned long long>(words[1]));
  return text;
}

nlohmann::json at_json(const rados::IoCtx& at) { return {{"pool", at.pool_id}, {"namespace", at.name_space}}; }

}  // namespace cbd::rbd
