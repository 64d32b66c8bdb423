// A pool's limits (`ceph osd pool set-quota`). As on a Ceph they count what is stored, not what images are sized for: a pool at
// its limit takes no new volume and lets no image grow.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { getPool, poolUsage } from './pools.js';

/** EDQUOT, naming the limit, where the pool has reached it. Costs nothing where there is none. */
export async function requireQuota(ctx: Context, pool: number): Promise<void> {
  const record = await getPool(ctx, pool);
  const { quota } = record;
  if (!quota || (quota.maxBytes === 0 && quota.maxObjects === 0)) return;
  const used = await poolUsage(ctx, record);
  if (quota.maxBytes > 0 && used.bytes >= quota.maxBytes) {
    throw new ServiceError('EDQUOT', `pool ${record.name} has reached its quota of ${quota.maxBytes} bytes`);
  }
  if (quota.maxObjects > 0 && used.objects >= quota.maxObjects) {
    throw new ServiceError('EDQUOT', `pool ${record.name} has reached its quota of ${quota.maxObjects} objects`);
  }
}
