// The objects behind rados_t and rados_ioctx_t. librbd.so reads them (both libraries are of one build), and calls
// nothing of librados.so but through the virtual functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/client.h"

namespace cbd::rados {

class Cluster;  // rados/cluster.h: rados_t; only librados.so knows more

// rados_ioctx_t points at one of these. It keeps its cluster's session alive: an ioctx may be destroyed before the
// images that were opened through it, and librbd copies what it needs.
struct IoCtx {
  std::shared_ptr<control::Client> client;
  uint64_t pool_id = 0;
  std::string pool_name;
  std::string name_space;  // "" is the default one
  Cluster* cluster = nullptr;
};

}  // namespace cbd::rados
