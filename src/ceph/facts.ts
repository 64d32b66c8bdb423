// What monitor commands show, gathered once a command from the service: pools with their use, capacity, epochs.
import {clusterUsage} from '../service/cluster.js';
import {backendOf, findPool, poolUsage, realPoolFigures} from '../service/pools.js';
import {keys, type PoolRecord} from '../service/records.js';
import {MonRefusal, type Cluster} from './command.js';

export interface PoolFacts {
  readonly record: PoolRecord;
  /** The store's revision of the pool's last change: shown as its `last_change`. */
  readonly revision: number;
  readonly storedBytes: number;
  readonly objects: number;
  readonly availBytes: number;
}

export interface Facts {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availBytes: number;
  readonly pools: readonly PoolFacts[];
  /** Grows with every change of a pool. */
  readonly epoch: number;
  readonly storedBytes: number;
  readonly objects: number;
}

/** Placement groups that a pool shows where nobody set a number. */
export const defaultPgs = 32;

export function settingOf(pool: PoolRecord, name: string, byDefault: string): string {
  return pool.settings?.[name] ?? byDefault;
}

export function pgsOf(pool: PoolRecord): number {
  return Number(settingOf(pool, 'pg_num', String(defaultPgs)));
}

/** Pools in the order of their ids. */
export async function readPools(cluster: Cluster): Promise<{record: PoolRecord, revision: number}[]> {
  const entries = await cluster.ctx.store.list({prefix: keys.pools});
  return entries.map(({value, revision}) => ({record: JSON.parse(value) as PoolRecord, revision}))
      .sort((a, b) => a.record.id - b.record.id);
}

export async function gatherFacts(cluster: Cluster): Promise<Facts> {
  const {ctx} = cluster;
  const [capacity, records] = await Promise.all([clusterUsage(ctx), readPools(cluster)]);
  const pools = await Promise.all(records.map(async ({record, revision}): Promise<PoolFacts> => {
    const room = record.ceph ? realPoolFigures(ctx, record).then((there) => there ?? {availBytes: 0}) : backendOf(ctx, record).capacity();
    const usage = await poolUsage(ctx, record);
    return {record, revision, storedBytes: usage.bytes, objects: usage.objects, availBytes: (await room).availBytes};
  }));
  return {
    ...capacity,
    pools,
    epoch: Math.max(1, ...pools.map((pool) => pool.revision)),
    storedBytes: pools.reduce((sum, pool) => sum + pool.storedBytes, 0),
    objects: pools.reduce((sum, pool) => sum + pool.objects, 0),
  };
}

/** ENOENT in the monitor's words. */
export async function poolNamed(cluster: Cluster, name: string): Promise<PoolRecord> {
  const record = await findPool(cluster.ctx, name);
  if (!record) throw new MonRefusal('ENOENT', `unrecognized pool '${name}'`);
  return record;
}
