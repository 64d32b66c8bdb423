// `osd pool ls|get|set`: a pool's settings. Those that mean something to placement groups alone are kept and shown, no more.
import type {Context} from '../../service/context.js';
import {changePool} from '../../service/pools.js';
import type {PoolRecord} from '../../service/records.js';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {Fields, List, type Doc} from '../document.js';
import {pgsOf, poolNamed, readPools, settingOf} from '../facts.js';
import {choice, flag, optional, pool, text} from '../signature.js';
import {timestamp} from '../units.js';

type Kind = 'number'|'boolean'|'bit'|'mode'|'rule';

interface Setting {
  readonly name: string;
  readonly kind: Kind;
  readonly value: (record: PoolRecord) => string;
}

const stored = (name: string, kind: Kind, byDefault: string): Setting => ({name, kind, value: (record) => settingOf(record, name, byDefault)});

// In the order in which `osd pool get P all` shows them.
const shown: readonly Setting[] = [
  stored('size', 'number', '1'),
  stored('min_size', 'number', '1'),
  {name: 'pg_num', kind: 'number', value: (record) => String(pgsOf(record))},
  {name: 'pgp_num', kind: 'number', value: (record) => settingOf(record, 'pgp_num', String(pgsOf(record)))},
  stored('crush_rule', 'rule', 'replicated_rule'),
  stored('hashpspool', 'boolean', 'true'),
  ...['nodelete', 'nopgchange', 'nosizechange', 'write_fadvise_dontneed', 'noscrub', 'nodeep-scrub'].map((name) => stored(name, 'boolean', 'false')),
  stored('use_gmt_hitset', 'bit', '1'),
  stored('fast_read', 'bit', '0'),
  stored('pg_autoscale_mode', 'mode', 'off'),
  stored('bulk', 'boolean', 'false'),
];

const tiering = new Set([
  'hit_set_type', 'hit_set_period', 'hit_set_count', 'hit_set_fpp', 'target_max_objects', 'target_max_bytes', 'cache_target_dirty_ratio',
  'cache_target_dirty_high_ratio', 'cache_target_full_ratio', 'cache_min_flush_age', 'cache_min_evict_age',
  'min_read_recency_for_promote', 'min_write_recency_for_promote', 'hit_set_grade_decay_rate', 'hit_set_search_last_n',
]);
const optionals = new Set([
  'scrub_min_interval', 'scrub_max_interval', 'deep_scrub_interval', 'recovery_priority', 'recovery_op_priority', 'scrub_priority',
  'compression_mode', 'compression_algorithm', 'compression_required_ratio', 'compression_max_blob_size', 'compression_min_blob_size',
  'csum_type', 'csum_min_block', 'csum_max_block', 'fingerprint_algorithm', 'pg_autoscale_bias', 'pg_num_min', 'pg_num_max',
  'target_size_bytes', 'target_size_ratio', 'dedup_tier', 'dedup_chunk_algorithm', 'dedup_cdc_chunk_size',
]);

function documentOf(setting: Setting, record: PoolRecord): Doc {
  const value = setting.value(record);
  switch (setting.kind) {
    case 'number': return Number(value);
    case 'boolean': return value === 'true';
    case 'bit': return setting.name === 'use_gmt_hitset' ? value === '1' : Number(value);
    case 'mode':
    case 'rule': return value;
  }
}

async function get({cluster, values}: Request): Promise<Reply> {
  const record = await poolNamed(cluster, values.text('pool'));
  const name = values.text('var');
  const wanted = name === 'all' ? shown : shown.filter((setting) => setting.name === name);
  if (wanted.length > 0) {
    return {
      root: 'pool',
      doc: new Fields([['pool', record.name], ['pool_id', record.id], ...wanted.map((setting) => [setting.name, documentOf(setting, record)] as const)]),
      plain: wanted.map((setting) => `${setting.name}: ${setting.value(record)}\n`).join(''),
    };
  }
  if (tiering.has(name)) throw new MonRefusal('EACCES', `pool '${record.name}' is not a tier pool: variable not applicable`);
  if (name === 'erasure_code_profile') throw new MonRefusal('EACCES', `pool '${record.name}' is not a erasure pool: variable not applicable`);
  if (!optionals.has(name)) throw new MonRefusal('EINVAL', `pool '${record.name}': invalid variable: '${name}'`);
  const value = record.settings?.[name];
  if (value === undefined) throw new MonRefusal('ENOENT', `option '${name}' is not set on pool '${record.name}'`);
  return {root: 'pool', doc: new Fields([['pool', record.name], ['pool_id', record.id], [name, value]]), plain: `${name}: ${value}\n`};
}

// What the value is kept as; a refusal in the monitor's words.
function checked(setting: Setting, given: string): string {
  switch (setting.kind) {
    case 'number':
      if (!/^-?\d+$/.test(given)) throw new MonRefusal('EINVAL', `error parsing integer value '${given}': Expected option value to be integer, got '${given}'`);
      if (setting.name.endsWith('size') && (Number(given) < 1 || Number(given) > 10)) throw new MonRefusal('EINVAL', `pool ${setting.name} must be between 1 and 10`);
      if (Number(given) < 1) throw new MonRefusal('EINVAL', `specified ${setting.name} ${given} is not positive`);
      return given;
    case 'boolean':
      if (!['true', 'false', '0', '1'].includes(given)) throw new MonRefusal('EINVAL', 'expecting value \'true\', \'false\', \'0\', or \'1\'');
      return given === '1' || given === 'true' ? 'true' : 'false';
    case 'bit':
      if (!['true', 'false', '0', '1'].includes(given)) throw new MonRefusal('EINVAL', 'expecting value \'true\', \'false\', \'0\', or \'1\'');
      return given === '1' || given === 'true' ? '1' : '0';
    case 'mode':
      if (!['on', 'off', 'warn'].includes(given)) throw new MonRefusal('EINVAL', `specified invalid mode ${given}`);
      return given;
    case 'rule':
      if (given !== 'replicated_rule') throw new MonRefusal('ENOENT', `crush rule ${given} does not exist`);
      return given;
  }
}

/** Keeps settings as they are; for what was checked before. */
export async function applySettings(ctx: Context, id: number, settings: Readonly<Record<string, string>>): Promise<void> {
  await changePool(ctx, id, (record) => ({...record, settings: {...record.settings, ...settings}}));
}

async function set({cluster, values}: Request): Promise<Reply> {
  const record = await poolNamed(cluster, values.text('pool'));
  const [name, given] = [values.text('var'), values.text('val')];
  const setting = shown.find((setting) => setting.name === name);
  if (tiering.has(name)) throw new MonRefusal('EOPNOTSUPP', `${name}: cache tiers are not supported`);
  if (!setting && !optionals.has(name)) throw new MonRefusal('EINVAL', `unrecognized variable '${name}'`);
  if (name === 'size' && given === '1' && !values.flag('yes_i_really_mean_it')) {
    throw new MonRefusal('EPERM', 'WARNING: setting pool size 1 could lead to data loss without recovery. If you are *ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.');
  }
  await applySettings(cluster.ctx, record.id, {[name]: setting ? checked(setting, given) : given});
  return {outs: `set pool ${record.id} ${name} to ${given}`};
}

// hashpspool, and selfmanaged_snaps once `rbd pool init` or an image had the pool's snapshots set up.
function flagsOf(record: PoolRecord): {names: string, bits: number} {
  const isRbd = Object.hasOwn(record.apps, 'rbd');
  const nodelete = settingOf(record, 'nodelete', 'false') === 'true';
  const names = ['hashpspool', ...(nodelete ? ['nodelete'] : []), ...(isRbd ? ['selfmanaged_snaps'] : [])];
  return {names: names.join(','), bits: 1 + (nodelete ? 16 : 0) + (isRbd ? 8192 : 0)};
}

// Those that are shown only where they are set.
function extraSettings(record: PoolRecord): [string, string][] {
  return Object.entries(record.settings ?? {}).filter(([name]) => optionals.has(name)).sort(([a], [b]) => a < b ? -1 : 1);
}

/** One line for `osd dump` and `osd pool ls detail`. */
export function poolLine(record: PoolRecord, revision: number): string {
  const {value: pgp} = shown.find((setting) => setting.name === 'pgp_num') ?? {value: () => ''};
  const quota = record.quota ?? {maxBytes: 0, maxObjects: 0};
  const limits = (quota.maxBytes ? ` max_bytes ${quota.maxBytes}` : '') + (quota.maxObjects ? ` max_objects ${quota.maxObjects}` : '');
  const apps = Object.keys(record.apps).sort().join(',');
  const extra = extraSettings(record).map(([name, value]) => ` ${name} ${value}`).join('');
  return `pool ${record.id} '${record.name}' replicated size ${settingOf(record, 'size', '1')} min_size ${settingOf(record, 'min_size', '1')} crush_rule 0` +
      ` object_hash rjenkins pg_num ${pgsOf(record)} pgp_num ${pgp(record)} autoscale_mode ${settingOf(record, 'pg_autoscale_mode', 'off')}` +
      ` last_change ${revision} flags ${flagsOf(record).names}${limits} stripe_width 0${extra}${apps ? ` application ${apps}` : ''}\n`;
}

/** One entry of `osd dump`'s and `osd pool ls detail`'s JSON; they name the id differently. */
export function poolDocument(record: PoolRecord, revision: number, idName: 'pool'|'pool_id'): Doc {
  const pgs = pgsOf(record);
  const pgp = Number(settingOf(record, 'pgp_num', String(pgs)));
  const quota = record.quota ?? {maxBytes: 0, maxObjects: 0};
  const flags = flagsOf(record);
  const hasSnaps = flags.names.includes('selfmanaged_snaps');
  const extra = extraSettings(record);
  const apps = Object.entries(record.apps).map(([app, metadata]) => [app, new Fields(Object.entries(metadata))] as const);
  return {
    [idName]: record.id, pool_name: record.name, create_time: timestamp(record.createTime), flags: flags.bits, flags_names: flags.names,
    type: 1, size: Number(settingOf(record, 'size', '1')), min_size: Number(settingOf(record, 'min_size', '1')), crush_rule: 0,
    peering_crush_bucket_count: 0, peering_crush_bucket_target: 0, peering_crush_bucket_barrier: 0,
    peering_crush_bucket_mandatory_member: 2147483647, object_hash: 2, pg_autoscale_mode: settingOf(record, 'pg_autoscale_mode', 'off'),
    pg_num: pgs, pg_placement_num: pgp, pg_placement_num_target: pgp, pg_num_target: pgs, pg_num_pending: pgs,
    last_pg_merge_meta: {source_pgid: '0.0', ready_epoch: 0, last_epoch_started: 0, last_epoch_clean: 0, source_version: '0\'0', target_version: '0\'0'},
    last_change: String(revision), last_force_op_resend: '0', last_force_op_resend_prenautilus: '0', last_force_op_resend_preluminous: '0',
    auid: 0, snap_mode: 'selfmanaged', snap_seq: hasSnaps ? 3 : 0, snap_epoch: hasSnaps ? revision : 0, pool_snaps: new List('pool_snap_info', []),
    removed_snaps: '[]', quota_max_bytes: quota.maxBytes, quota_max_objects: quota.maxObjects, tiers: new List('tier', []), tier_of: -1,
    read_tier: -1, write_tier: -1, cache_mode: 'none', target_max_bytes: 0, target_max_objects: 0, cache_target_dirty_ratio_micro: 400000,
    cache_target_dirty_high_ratio_micro: 600000, cache_target_full_ratio_micro: 800000, cache_min_flush_age: 0, cache_min_evict_age: 0,
    erasure_code_profile: '', hit_set_params: {type: 'none'}, hit_set_period: 0, hit_set_count: 0, use_gmt_hitset: true,
    min_read_recency_for_promote: 0, min_write_recency_for_promote: 0, hit_set_grade_decay_rate: 0, hit_set_search_last_n: 0,
    grade_table: new List('value', []), stripe_width: 0, expected_num_objects: 0, fast_read: settingOf(record, 'fast_read', '0') === '1',
    options: new Fields(extra.map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value])), application_metadata: new Fields(apps),
  };
}

async function list({cluster, values}: Request): Promise<Reply> {
  const pools = await readPools(cluster);
  if (values.text('detail') !== 'detail') {
    return {
      root: 'pools', doc: new List('pool_name', pools.map(({record}) => record.name)),
      plain: pools.map(({record}) => `${record.name}\n`).join(''),
    };
  }
  return {
    root: 'pools', doc: new List('pool', pools.map(({record, revision}) => poolDocument(record, revision, 'pool_id'))),
    plain: `${pools.map(({record, revision}) => poolLine(record, revision)).join('')}\n`,
  };
}

// In the order in which the real command names them.
const getNames = [
  'size', 'min_size', 'pg_num', 'pgp_num', 'crush_rule', 'hashpspool', 'nodelete', 'nopgchange', 'nosizechange',
  'write_fadvise_dontneed', 'noscrub', 'nodeep-scrub', 'hit_set_type', 'hit_set_period', 'hit_set_count', 'hit_set_fpp',
  'use_gmt_hitset', 'target_max_objects', 'target_max_bytes', 'cache_target_dirty_ratio', 'cache_target_dirty_high_ratio',
  'cache_target_full_ratio', 'cache_min_flush_age', 'cache_min_evict_age', 'erasure_code_profile',
  'min_read_recency_for_promote', 'all', 'min_write_recency_for_promote', 'fast_read', 'hit_set_grade_decay_rate',
  'hit_set_search_last_n', 'scrub_min_interval', 'scrub_max_interval', 'deep_scrub_interval', 'recovery_priority',
  'recovery_op_priority', 'scrub_priority', 'compression_mode', 'compression_algorithm', 'compression_required_ratio',
  'compression_max_blob_size', 'compression_min_blob_size', 'csum_type', 'csum_min_block', 'csum_max_block',
  'allow_ec_overwrites', 'fingerprint_algorithm', 'pg_autoscale_mode', 'pg_autoscale_bias', 'pg_num_min', 'pg_num_max',
  'target_size_bytes', 'target_size_ratio', 'dedup_tier', 'dedup_chunk_algorithm', 'dedup_cdc_chunk_size', 'bulk',
];
const setNames = [
  'size', 'min_size', 'pg_num', 'pgp_num', 'pgp_num_actual', 'crush_rule', 'hashpspool', 'nodelete', 'nopgchange',
  'nosizechange', 'write_fadvise_dontneed', 'noscrub', 'nodeep-scrub', 'hit_set_type', 'hit_set_period', 'hit_set_count',
  'hit_set_fpp', 'use_gmt_hitset', 'target_max_bytes', 'target_max_objects', 'cache_target_dirty_ratio',
  'cache_target_dirty_high_ratio', 'cache_target_full_ratio', 'cache_min_flush_age', 'cache_min_evict_age',
  'min_read_recency_for_promote', 'min_write_recency_for_promote', 'fast_read', 'hit_set_grade_decay_rate',
  'hit_set_search_last_n', 'scrub_min_interval', 'scrub_max_interval', 'deep_scrub_interval', 'recovery_priority',
  'recovery_op_priority', 'scrub_priority', 'compression_mode', 'compression_algorithm', 'compression_required_ratio',
  'compression_max_blob_size', 'compression_min_blob_size', 'csum_type', 'csum_min_block', 'csum_max_block',
  'allow_ec_overwrites', 'fingerprint_algorithm', 'pg_autoscale_mode', 'pg_autoscale_bias', 'pg_num_min', 'pg_num_max',
  'target_size_bytes', 'target_size_ratio', 'dedup_tier', 'dedup_chunk_algorithm', 'dedup_cdc_chunk_size', 'bulk',
];

export const poolSettingCommands: readonly MonCommand[] = [
  {name: 'osd pool ls', args: [optional(choice('detail', ['detail']))], module: 'osd', rights: 'r', help: 'list pools', run: list},
  {name: 'osd pool get', args: [pool(), choice('var', getNames)], module: 'osd', rights: 'r', help: 'show a setting of a pool, or all', run: get},
  {
    name: 'osd pool set', args: [pool(), choice('var', setNames), text('val'), flag('yes_i_really_mean_it')], module: 'osd', rights: 'rw',
    help: 'change a setting of a pool', run: set,
  },
];
