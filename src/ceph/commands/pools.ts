// Making, removing and renaming pools, and their quotas. Their settings are in pool-settings.ts, applications in applications.ts.
import {createPool, deletePool, findPool, renamePool, setPoolQuota} from '../../service/pools.js';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {List} from '../document.js';
import {poolNamed, readPools, settingOf} from '../facts.js';
import {choice, flag, float, int, optional, pool, text} from '../signature.js';
import {readIec, readSi} from '../strict-numbers.js';
import {bytes, counts} from '../units.js';
import {applySettings} from './pool-settings.js';

async function create({cluster, values, identity}: Request): Promise<Reply> {
  const name = values.text('pool');
  if (name === '') throw new MonRefusal('EINVAL', '(22) Invalid argument');
  if (await findPool(cluster.ctx, name)) return {outs: `pool '${name}' already exists`};
  if (values.text('pool_type') === 'erasure') throw new MonRefusal('EOPNOTSUPP', 'erasure-coded pools are not supported');
  const rule = values.text('rule') || (values.text('erasure_code_profile'));
  if (rule !== '' && rule !== 'replicated_rule') throw new MonRefusal('ENOENT', `specified rule ${rule} doesn't exist`);
  const settings: Record<string, string> = {};
  for (const key of ['pg_num', 'pgp_num', 'size', 'pg_num_min', 'pg_num_max'] as const) {
    const number = values.number(key);
    if (number !== undefined) settings[key] = String(number);
  }
  const made = await createPool(cluster.ctx, {name, maker: identity});
  if (Object.keys(settings).length > 0) await applySettings(cluster.ctx, made.id, settings);
  return {outs: `pool '${name}' created`};
}

async function remove({cluster, values}: Request): Promise<Reply> {
  const name = values.text('pool');
  const record = await findPool(cluster.ctx, name);
  if (!record) return {outs: `pool '${name}' does not exist`};
  const isCertain = values.flag('yes_i_really_really_mean_it') || values.flag('yes_i_really_really_mean_it_not_faking');
  if (values.text('pool2') !== name || !isCertain) {
    throw new MonRefusal('EPERM', `WARNING: this will *PERMANENTLY DESTROY* all data stored in pool ${name}.  If you are *ABSOLUTELY CERTAIN* that is what you want, pass the pool name *twice*, followed by --yes-i-really-really-mean-it.`);
  }
  if (settingOf(record, 'nodelete', 'false') === 'true') {
    throw new MonRefusal('EPERM', 'pool deletion is disabled; you must unset nodelete flag for the pool first');
  }
  await deletePool(cluster.ctx, record);
  return {outs: `pool '${name}' removed`};
}

async function rename({cluster, values}: Request): Promise<Reply> {
  const [from, to] = [values.text('srcpool'), values.text('destpool')];
  const [source, target] = [await findPool(cluster.ctx, from), await findPool(cluster.ctx, to)];
  if (!source && target) return {outs: `pool '${from}' does not exist; pool '${to}' does -- assuming successful rename`};
  if (!source) throw new MonRefusal('ENOENT', `unrecognized pool '${from}'`);
  if (target) throw new MonRefusal('EEXIST', `pool '${to}' already exists`);
  await renamePool(cluster.ctx, source, to);
  return {outs: `pool '${from}' renamed to '${to}'`};
}

async function getQuota(request: Request): Promise<Reply> {
  const record = await poolNamed(request.cluster, request.values.text('pool'));
  const found = (await request.facts()).pools.find((pool) => pool.record.id === record.id);
  const [stored, objects] = [found?.storedBytes ?? 0, found?.objects ?? 0];
  const quota = record.quota ?? {maxBytes: 0, maxObjects: 0};
  const maxObjects = quota.maxObjects === 0 ? 'N/A' : `${counts(quota.maxObjects)} objects  (current num objects: ${objects} objects)`;
  const maxBytes = quota.maxBytes === 0 ? 'N/A' : `${bytes(quota.maxBytes)}  (current num bytes: ${stored} bytes)`;
  return {
    root: 'pool_quotas', end: '\n', prettyEnd: '\n',
    doc: {
      pool_name: record.name, pool_id: record.id, quota_max_objects: quota.maxObjects, current_num_objects: objects,
      quota_max_bytes: quota.maxBytes, current_num_bytes: stored,
    },
    plain: `quotas for pool '${record.name}':\n  max objects: ${maxObjects}\n  max bytes  : ${maxBytes}\n`,
  };
}

function quotaValue(field: string, given: string): number {
  const read = field === 'max_bytes' ? readIec(given) : readSi(given);
  if ('complaint' in read) throw new MonRefusal('EINVAL', `error parsing value '${given}': ${read.complaint}`);
  return read.value;
}

async function setQuota({cluster, values}: Request): Promise<Reply> {
  const record = await poolNamed(cluster, values.text('pool'));
  const field = values.text('field');
  if (field !== 'max_bytes' && field !== 'max_objects') {
    throw new MonRefusal('EINVAL', `unrecognized field '${field}'; should be 'max_bytes' or 'max_objects'`);
  }
  const value = quotaValue(field, values.text('val'));
  await setPoolQuota(cluster.ctx, record.id, field === 'max_bytes' ? {maxBytes: value} : {maxObjects: value});
  return {outs: `set-quota ${field} = ${value} for pool ${record.name}`};
}

async function lspools({cluster}: Request): Promise<Reply> {
  const pools = await readPools(cluster);
  return {
    root: 'pools', end: '\n',
    doc: new List('pool', pools.map(({record}) => ({poolnum: record.id, poolname: record.name}))),
    plain: pools.map(({record}) => `${record.id} ${record.name}\n`).join('') || '\n',
  };
}

async function stats({cluster, values}: Request): Promise<Reply> {
  const wanted = values.text('pool_name');
  const pools = wanted ? [await poolNamed(cluster, wanted)] : (await readPools(cluster)).map(({record}) => record);
  return {
    root: 'pool_stats',
    doc: new List('pool', pools.map((record) => ({pool_name: record.name, pool_id: record.id, recovery: {}, recovery_rate: {}, client_io_rate: {}}))),
    plain: pools.map((record) => `pool ${record.name} id ${record.id}\n  nothing is going on\n\n`).join(''),
  };
}

const removal = [pool(), optional(pool('pool2')), flag('yes_i_really_really_mean_it'), flag('yes_i_really_really_mean_it_not_faking')];
const osd = {module: 'osd'} as const;

export const poolCommands: readonly MonCommand[] = [
  {name: 'osd lspools', args: [], ...osd, rights: 'r', help: 'list pools by number', run: lspools, isDeprecated: true},
  {
    name: 'osd pool create', ...osd, rights: 'rw', help: 'make a pool on the first backend', run: create,
    args: [
      pool(), optional(int('pg_num')), optional(int('pgp_num')), optional(choice('pool_type', ['replicated', 'erasure'])),
      optional(text('erasure_code_profile')), optional(text('rule')), optional(int('expected_num_objects')), optional(int('size')),
      optional(int('pg_num_min')), optional(int('pg_num_max')), optional(choice('autoscale_mode', ['on', 'off', 'warn'])), flag('bulk'),
      optional(int('target_size_bytes')), optional(float('target_size_ratio')),
    ],
  },
  {name: 'osd pool rm', args: removal, ...osd, rights: 'rw', help: 'remove a pool and all images in it', run: remove},
  {name: 'osd pool delete', args: removal, ...osd, rights: 'rw', help: 'remove a pool and all images in it', run: remove, isDeprecated: true},
  {name: 'osd pool rename', args: [pool('srcpool'), pool('destpool')], ...osd, rights: 'rw', help: 'rename a pool', run: rename},
  {name: 'osd pool get-quota', args: [pool()], ...osd, rights: 'r', help: 'show a pool\'s quotas', run: getQuota},
  {
    name: 'osd pool set-quota', args: [pool(), choice('field', ['max_objects', 'max_bytes']), text('val')], ...osd, rights: 'rw',
    help: 'set one of a pool\'s quotas; 0 lifts it', run: setQuota,
  },
  {name: 'osd pool stats', args: [optional(pool('pool_name'))], ...osd, rights: 'r', help: 'show what clients do in pools', run: stats},
];
