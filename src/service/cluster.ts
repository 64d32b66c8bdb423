// The cluster as a whole: its id, and how full it is. Behind: rados_cluster_fsid, rados_cluster_stat.
import { randomUUID } from 'node:crypto';
import type { Capacity } from '../backend/backend.js';
import type { CephFigures } from '../backend/ceph-figures.js';
import type { Context } from './context.js';
import { listPools } from './pools.js';
import { keys } from './records.js';
import { transact } from './transact.js';

/** The cluster's id: the one that the configuration asks for, or one made once. */
export async function clusterId(ctx: Context, wanted?: string): Promise<string> {
  return transact(ctx.store, async (tx) => {
    const known = await tx.get<string>(keys.fsid);
    if (known && (wanted === undefined || known === wanted)) return known;
    const made = wanted ?? randomUUID();
    tx.put(keys.fsid, made);
    return made;
  });
}

/** The backends' capacities added up, and those of the real Cephs behind pools, each cluster once. */
export async function clusterUsage(ctx: Context): Promise<{ totalBytes: number; usedBytes: number; availBytes: number; objects: number }> {
  const own = await Promise.all([...ctx.backends.values()].map((backend) => backend.capacity()));
  const real = await realClusters(ctx);
  const sum = (of: (capacity: Capacity) => number): number => [...own, ...real].reduce((total, one) => total + of(one), 0);
  const objects = real.flatMap(({ pools }) => [...pools.values()]).reduce((total, pool) => total + pool.objects, 0);
  return {
    totalBytes: sum((one) => one.totalBytes), usedBytes: sum((one) => one.usedBytes), availBytes: sum((one) => one.availBytes),
    objects: Math.ceil(own.reduce((total, one) => total + one.usedBytes, 0) / 4194304) + objects,
  };
}

async function realClusters(ctx: Context): Promise<CephFigures[]> {
  const pools = (await listPools(ctx)).filter((pool) => pool.ceph);
  const answers = await Promise.all(pools.map((pool) => ctx.backends.get(pool.backend)?.realFigures?.(pool.ceph ?? {})));
  return [...new Map(answers.flatMap((figures) => (figures ? [[figures.fsid, figures] as const] : []))).values()];
}
