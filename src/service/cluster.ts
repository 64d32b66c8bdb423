// The cluster as a whole: its id, and how full it is. Behind: rados_cluster_fsid, rados_cluster_stat.
import { randomUUID } from 'node:crypto';
import type { Context } from './context.js';
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

/** The backends' capacities added up. */
export async function clusterUsage(ctx: Context): Promise<{ totalBytes: number; usedBytes: number; availBytes: number; objects: number }> {
  const sum = { totalBytes: 0, usedBytes: 0, availBytes: 0 };
  for (const backend of ctx.backends.values()) {
    const one = await backend.capacity();
    sum.totalBytes += one.totalBytes;
    sum.usedBytes += one.usedBytes;
    sum.availBytes += one.availBytes;
  }
  return { ...sum, objects: Math.ceil(sum.usedBytes / 4194304) };
}
