// The objects behind rados_t and rados_ioctx_t. librbd.so reads them (both libraries are of one build), and calls
// nothing of librados.so but through the virtual functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/client.h"

namespace cbd::rados {

class Cluster;  // rados/cluster.h: rados_t; only librados.so knows more

// How to reach the real Ceph pool behind a pool whose backend is `ceph`: pool.lookup's `ceph` object. Empty means Ceph's own default.
struct CephPool {
  std::string conf;
  std::string user;
  std::string keyring;
  std::string pool;
};

// rados_ioctx_t points at one of these. It keeps its cluster's session alive: an ioctx may be destroyed before the
// images that were opened through it, and librbd copies what it needs.
struct IoCtx {
  std::shared_ptr<control::Client> client;
  uint64_t pool_id = 0;
  std::string pool_name;
  std::string name_space;  // "" is the default one
  Cluster* cluster = nullptr;
  // What object calls refuse to do, and say so: another place for objects, and reading as of a snapshot (-2: the head).
  std::string locator_key;
  uint64_t read_snap = static_cast<uint64_t>(-2);
  // rados_ioctx_create sets it where the backend is `ceph`; shim/ceph then makes `ceph` from it, the real rados_ioctx_t, which
  // keeps its cluster's connection. Calls on such an IoCtx are the real library's, but for those that ask for names and ids.
  std::shared_ptr<const CephPool> ceph_pool;
  std::shared_ptr<void> ceph;
};

}  // namespace cbd::rados
