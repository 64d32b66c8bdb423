// The options that a pool or an image may override (rbd_* of librbd 16.2.15), their types and defaults. It knows no image.

type Kind = 'bool' | 'number' | 'float' | 'text' | readonly string[];

/** Name -> kind and default, in the order in which `rbd config pool list` shows them. */
export const configOptions: Readonly<Record<string, readonly [Kind, string]>> = {
  rbd_atime_update_interval: ['number', '60'],
  rbd_balance_parent_reads: ['bool', 'false'],
  rbd_balance_snap_reads: ['bool', 'false'],
  rbd_blkin_trace_all: ['bool', 'false'],
  rbd_blocklist_expire_seconds: ['number', '0'],
  rbd_blocklist_on_break_lock: ['bool', 'true'],
  rbd_cache: ['bool', 'true'],
  rbd_cache_block_writes_upfront: ['bool', 'false'],
  rbd_cache_max_dirty: ['number', '25165824'],
  rbd_cache_max_dirty_age: ['float', '1.000000'],
  rbd_cache_max_dirty_object: ['number', '0'],
  rbd_cache_policy: [['writethrough', 'writeback', 'writearound'], 'writearound'],
  rbd_cache_size: ['number', '33554432'],
  rbd_cache_target_dirty: ['number', '16777216'],
  rbd_cache_writethrough_until_flush: ['bool', 'false'],
  rbd_clone_copy_on_read: ['bool', 'false'],
  rbd_compression_hint: [['none', 'compressible', 'incompressible'], 'none'],
  rbd_concurrent_management_ops: ['number', '10'],
  rbd_default_clone_format: [['1', '2', 'auto'], 'auto'],
  rbd_default_data_pool: ['text', ''],
  rbd_default_features: ['text', '61'],
  rbd_default_map_options: ['text', ''],
  rbd_default_order: ['number', '22'],
  rbd_default_snapshot_quiesce_mode: [['required', 'ignore-error', 'skip'], 'required'],
  rbd_default_stripe_count: ['number', '0'],
  rbd_default_stripe_unit: ['number', '0'],
  rbd_disable_zero_copy_writes: ['bool', 'true'],
  rbd_discard_granularity_bytes: ['number', '65536'],
  rbd_enable_alloc_hint: ['bool', 'true'],
  rbd_invalidate_object_map_on_timeout: ['bool', 'true'],
  rbd_io_scheduler: [['none', 'simple'], 'simple'],
  rbd_io_scheduler_simple_max_delay: ['number', '0'],
  rbd_journal_commit_age: ['float', '5.000000'],
  rbd_journal_max_concurrent_object_sets: ['number', '0'],
  rbd_journal_max_payload_bytes: ['number', '16384'],
  rbd_journal_object_flush_age: ['float', '0.000000'],
  rbd_journal_object_flush_bytes: ['number', '1048576'],
  rbd_journal_object_flush_interval: ['number', '0'],
  rbd_journal_object_max_in_flight_appends: ['number', '0'],
  rbd_journal_object_writethrough_until_flush: ['bool', 'true'],
  rbd_journal_order: ['number', '24'],
  rbd_journal_pool: ['text', ''],
  rbd_journal_splay_width: ['number', '4'],
  rbd_localize_parent_reads: ['bool', 'false'],
  rbd_localize_snap_reads: ['bool', 'false'],
  rbd_mirror_concurrent_image_deletions: ['number', '1'],
  rbd_mirror_concurrent_image_syncs: ['number', '5'],
  rbd_mirror_delete_retry_interval: ['float', '30.000000'],
  rbd_mirror_image_perf_stats_prio: ['number', '5'],
  rbd_mirror_image_policy_migration_throttle: ['number', '300'],
  rbd_mirror_image_policy_rebalance_timeout: ['float', '0.000000'],
  rbd_mirror_image_policy_type: [['none', 'simple'], 'simple'],
  rbd_mirror_image_policy_update_throttle_interval: ['float', '1.000000'],
  rbd_mirror_image_state_check_interval: ['number', '30'],
  rbd_mirror_journal_commit_age: ['float', '5.000000'],
  rbd_mirror_journal_poll_age: ['float', '5.000000'],
  rbd_mirror_leader_heartbeat_interval: ['number', '5'],
  rbd_mirror_leader_max_acquire_attempts_before_break: ['number', '3'],
  rbd_mirror_leader_max_missed_heartbeats: ['number', '2'],
  rbd_mirror_memory_autotune: ['bool', 'true'],
  rbd_mirror_memory_base: ['number', '805306368'],
  rbd_mirror_memory_cache_autotune_interval: ['float', '30.000000'],
  rbd_mirror_memory_cache_min: ['number', '134217728'],
  rbd_mirror_memory_cache_resize_interval: ['float', '5.000000'],
  rbd_mirror_memory_expected_fragmentation: ['float', '0.150000'],
  rbd_mirror_memory_target: ['number', '4294967296'],
  rbd_mirror_perf_stats_prio: ['number', '5'],
  rbd_mirror_sync_point_update_age: ['float', '30.000000'],
  rbd_mirroring_delete_delay: ['number', '0'],
  rbd_mirroring_max_mirroring_snapshots: ['number', '5'],
  rbd_mirroring_replay_delay: ['number', '0'],
  rbd_mirroring_resync_after_disconnect: ['bool', 'false'],
  rbd_move_parent_to_trash_on_remove: ['bool', 'false'],
  rbd_move_to_trash_on_remove: ['bool', 'false'],
  rbd_move_to_trash_on_remove_expire_seconds: ['number', '0'],
  rbd_mtime_update_interval: ['number', '60'],
  rbd_non_blocking_aio: ['bool', 'true'],
  rbd_parent_cache_enabled: ['bool', 'false'],
  rbd_persistent_cache_mode: [['disabled', 'rwl', 'ssd'], 'disabled'],
  rbd_persistent_cache_path: ['text', '/tmp'],
  rbd_persistent_cache_size: ['number', '1073741824'],
  rbd_plugins: ['text', ''],
  rbd_qos_bps_burst: ['number', '0'],
  rbd_qos_bps_burst_seconds: ['number', '1'],
  rbd_qos_bps_limit: ['number', '0'],
  rbd_qos_iops_burst: ['number', '0'],
  rbd_qos_iops_burst_seconds: ['number', '1'],
  rbd_qos_iops_limit: ['number', '0'],
  rbd_qos_read_bps_burst: ['number', '0'],
  rbd_qos_read_bps_burst_seconds: ['number', '1'],
  rbd_qos_read_bps_limit: ['number', '0'],
  rbd_qos_read_iops_burst: ['number', '0'],
  rbd_qos_read_iops_burst_seconds: ['number', '1'],
  rbd_qos_read_iops_limit: ['number', '0'],
  rbd_qos_schedule_tick_min: ['number', '50'],
  rbd_qos_write_bps_burst: ['number', '0'],
  rbd_qos_write_bps_burst_seconds: ['number', '1'],
  rbd_qos_write_bps_limit: ['number', '0'],
  rbd_qos_write_iops_burst: ['number', '0'],
  rbd_qos_write_iops_burst_seconds: ['number', '1'],
  rbd_qos_write_iops_limit: ['number', '0'],
  rbd_quiesce_notification_attempts: ['number', '10'],
  rbd_read_from_replica_policy: [['default', 'balance', 'localize'], 'default'],
  rbd_readahead_disable_after_bytes: ['number', '52428800'],
  rbd_readahead_max_bytes: ['number', '524288'],
  rbd_readahead_trigger_requests: ['number', '10'],
  rbd_request_timed_out_seconds: ['number', '30'],
  rbd_skip_partial_discard: ['bool', 'true'],
  rbd_sparse_read_threshold_bytes: ['number', '65536'],
};

/** What only a pool may override (librbd's EXCLUDE_IMAGE_OPTIONS). */
const poolOnly = /^rbd_(default_(clone_format|data_pool|features|order|stripe_count|stripe_unit)|journal_(order|pool|splay_width))$|^rbd_mirror_/;

/** Numbers that may not be 0, and one that may be negative. */
const atLeastOne = /_burst_seconds$|^rbd_qos_schedule_tick_min$|^rbd_concurrent_management_ops$|^rbd_quiesce_notification_attempts$/;

export type OptionScope = 'pool' | 'image';

export function isConfigOption(option: string, scope: OptionScope): boolean {
  return Object.hasOwn(configOptions, option) && (scope === 'pool' || !poolOnly.test(option));
}

/** Whether Ceph's configuration parser takes the text for the option (measured on 16.2.15: no "yes", no "10KB", no "1k"). */
export function isConfigValue(option: string, value: string): boolean {
  const [kind] = configOptions[option] ?? ['text'];
  if (kind === 'text') return true;
  if (kind === 'bool') return /^(true|false|0|1)$/i.test(value);
  if (kind === 'float') return /^-?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(value);
  if (kind === 'number') return /^\d+[KMGTPE]?$/.test(value) && !(atLeastOne.test(option) && /^0+$/.test(value));
  return kind.includes(value);
}
