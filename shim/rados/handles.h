// The objects behind rados_t and rados_ioctx_t. librbd.so reads them (both libraries are of one build), and calls
// nothing of librados.so but through the virtual functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/client.h"

namespace cbd::ceph {

// A pool on a real Ceph cluster, connected, as shim/ceph in librados.so made it. librbd.so calls it through this.
class Pool {
 public:
  virtual ~Pool() = default;
  // The real library's rados_ioctx_t. A child of fork() gets one on a connection of its own, made by its first call here; null
  // where that cannot be made.
  virtual void* ioctx() = 0;
  // A null or empty name is the default one.
  virtual void set_namespace(const char* name) = 0;
  // How many forks lie between this process and the one that loaded librados. What the real library made under another number is
  // a parent's, and must not be touched here.
  virtual unsigned generation() const = 0;
};

}  // namespace cbd::ceph

namespace cbd::rados {

class Cluster;        // rados/cluster.h: rados_t; only librados.so knows more
class ObjectTraffic;  // rados/object_call.h

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
  std::shared_ptr<ObjectTraffic> objects;  // the object calls under way; librados.so's own
  // rados_ioctx_create sets `ceph_pool` where the backend is `ceph`; shim/ceph then makes `ceph` from it. Calls on such an IoCtx
  // are the real library's, but for those that ask for names and ids.
  std::shared_ptr<const CephPool> ceph_pool;
  std::shared_ptr<ceph::Pool> ceph;
};

}  // namespace cbd::rados
