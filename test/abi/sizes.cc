// Prints the size of each type of the C API as ceph_api.h declares it, in the form of
// test/data/abi/struct-sizes.tsv.
#include <cstdio>

#include "abi/ceph_api.h"

#define SIZE(type) std::printf("%s\t%zu\n", #type, sizeof(type))

int main() {
  SIZE(rados_checksum_type_t);
  SIZE(rbd_child_info_t);
  SIZE(rbd_config_option_t);
  SIZE(rbd_config_source_t);
  SIZE(rbd_encryption_algorithm_t);
  SIZE(rbd_encryption_format_t);
  SIZE(rbd_encryption_luks1_format_options_t);
  SIZE(rbd_encryption_luks2_format_options_t);
  SIZE(rbd_encryption_luks_format_options_t);
  SIZE(rbd_encryption_spec_t);
  SIZE(rbd_group_image_info_t);
  SIZE(rbd_group_image_snap_info_t);
  SIZE(rbd_group_image_state_t);
  SIZE(rbd_group_info_t);
  SIZE(rbd_group_snap_info2_t);
  SIZE(rbd_group_snap_info_t);
  SIZE(rbd_group_snap_namespace_type_t);
  SIZE(rbd_group_snap_state_t);
  SIZE(rbd_image_info_t);
  SIZE(rbd_image_migration_state_t);
  SIZE(rbd_image_migration_status_t);
  SIZE(rbd_image_spec_t);
  SIZE(rbd_image_watcher_t);
  SIZE(rbd_linked_image_spec_t);
  SIZE(rbd_lock_mode_t);
  SIZE(rbd_mirror_image_global_status_t);
  SIZE(rbd_mirror_image_info_t);
  SIZE(rbd_mirror_image_mode_t);
  SIZE(rbd_mirror_image_site_status_t);
  SIZE(rbd_mirror_image_state_t);
  SIZE(rbd_mirror_image_status_state_t);
  SIZE(rbd_mirror_mode_t);
  SIZE(rbd_mirror_peer_direction_t);
  SIZE(rbd_mirror_peer_site_t);
  SIZE(rbd_pool_stat_option_t);
  SIZE(rbd_snap_group_namespace_t);
  SIZE(rbd_snap_info_t);
  SIZE(rbd_snap_mirror_namespace_t);
  SIZE(rbd_snap_mirror_state_t);
  SIZE(rbd_snap_namespace_type_t);
  SIZE(rbd_snap_spec_t);
  SIZE(rbd_snap_trash_namespace_t);
  SIZE(rbd_trash_image_info_t);
  SIZE(rbd_trash_image_source_t);
  SIZE(struct rados_cluster_stat_t);
  SIZE(struct rados_pool_stat_t);
}
