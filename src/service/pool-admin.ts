// The administrator's view of pools: which directory of which backend stands behind each. Behind: `cbd2rbd pool ...`.
import type { PoolAdmin, PoolMapping } from '../rpc/admin.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { backendOf, createPool, deletePool, findPool, listPools, placeOf, poolUsage } from './pools.js';
import { setPoolQos } from './qos.js';
import { keys, type PoolRecord } from './records.js';

export function poolAdmin(ctx: Context): PoolAdmin {
  return {
    map: async (request) => mappingOf(await createPool(ctx, request)),
    unmap: async (name) => {
      const pool = await existing(ctx, name);
      const [image] = await ctx.store.list({ prefix: keys.imagesOfPool(pool.id), limit: 1 });
      if (image) throw new ServiceError('ENOTEMPTY', `pool ${name} has images`);
      await deletePool(ctx, pool);
    },
    setQos: (name, keeper) => setPoolQos(ctx, name, keeper),
    list: async () => (await listPools(ctx)).map(mappingOf),
    show: async (name) => {
      const pool = await existing(ctx, name);
      return { ...mappingOf(pool), ...placeOf(pool), ...await poolUsage(ctx, pool), kind: backendOf(ctx, pool).kind, qos: pool.qos ?? 'client', apps: Object.keys(pool.apps) };
    },
  };
}

async function existing(ctx: Context, name: string): Promise<PoolRecord> {
  const pool = await findPool(ctx, name);
  if (!pool) throw new ServiceError('ENOENT', `there is no pool ${name}`);
  return pool;
}

function mappingOf({ id, name, backend, dir, owner, ceph }: PoolRecord): PoolMapping {
  return { id, name, backend, dir, owner, ...(ceph ? { ceph } : {}) };
}
