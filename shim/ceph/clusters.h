// The connections to real Ceph clusters: which of our rados_t has which, and with which of its client's
// options. Knows the real librados, and nothing of images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ceph/rados.h"

namespace cbd::ceph {

// Connects `io` to the real pool that its `ceph_pool` names; nothing to do where it names none. `cluster` is
// the rados_t that it belongs to. Returns 0 or what the real library said; -ENOPKG where that is not
// installed.
int connect_pool(rados_t cluster, rados_ioctx_t io);

// The client of `cluster` set an option: what is about images and time limits goes to its real clusters too,
// now and later.
void remember_option(rados_t cluster, const char* name, const char* value);

// The real rados_t of every cluster that `cluster` is connected to; they stay connected while this is held.
using RealClusters = std::vector<std::shared_ptr<void>>;
RealClusters real_clusters(rados_t cluster);

// `cluster` is being shut down.
void forget_cluster(rados_t cluster);

}  // namespace cbd::ceph
