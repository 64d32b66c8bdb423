// Limits of I/O that the backend keeps in place of the client's library, for pools that are set so: an image's limits become its
// head volume's. Behind: `cbd2rbd pool set NAME qos`, and every change of an rbd_qos_* option.
import type { VolumeLimit } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { backendOf, changePool, findPool, getPool, placeOf, poolConfig } from './pools.js';
import { keys, type ImageRecord, type ImageRef, type LayerRecord, type PoolRecord } from './records.js';
import { changed } from './state.js';
import { readRecord } from './transact.js';

/** RBD's names for what CurveBS limits. */
const kinds = { iops: 'IOPS_TOTAL', bps: 'BPS_TOTAL', read_iops: 'IOPS_READ', write_iops: 'IOPS_WRITE', read_bps: 'BPS_READ', write_bps: 'BPS_WRITE' } as const;

/** Who keeps the limits of a pool's images. EOPNOTSUPP where the backend has none; open images go over to it at once. */
export async function setPoolQos(ctx: Context, name: string, keeper: 'client' | 'backend'): Promise<void> {
  const pool = await findPool(ctx, name);
  if (!pool) throw new ServiceError('ENOENT', `there is no pool ${name}`);
  if (!backendOf(ctx, pool).limitVolume) throw new ServiceError('EOPNOTSUPP', `pool ${name} is on ${pool.backend}, which keeps no limits`);
  await changePool(ctx, pool.id, (record) => ({ ...record, qos: keeper }));
  if (keeper === 'backend') await limitPool(ctx, await getPool(ctx, pool.id));
  else await liftLimits(ctx, pool);
  const open = ctx.sessions.openImages().filter((image) => image.pool === pool.id);
  await Promise.all(open.map((image) => changed(ctx, image)));
}

/** The limits of every image of the pool, where its backend keeps them. */
export async function limitPool(ctx: Context, pool: PoolRecord): Promise<void> {
  if (pool.qos !== 'backend') return;
  for (const { value } of await ctx.store.list({ prefix: keys.imagesOfPool(pool.id) })) await limitHead(ctx, pool, JSON.parse(value) as ImageRecord);
}

/** The same for one image: after it got a head, or one of its options changed. */
export async function limitImage(ctx: Context, image: ImageRef): Promise<void> {
  const pool = await getPool(ctx, image.pool);
  if (pool.qos !== 'backend') return;
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(image));
  if (record) await limitHead(ctx, pool, record);
}

/** Of frozen layers too, which were heads once. */
async function liftLimits(ctx: Context, pool: PoolRecord): Promise<void> {
  for (const { value } of await ctx.store.list({ prefix: keys.layers })) {
    const layer = JSON.parse(value) as LayerRecord;
    if (layer.pool === pool.id) await backendOf(ctx, pool).limitVolume?.(placeOf(pool), layer.volume, limitsOf(() => undefined));
  }
}

async function limitHead(ctx: Context, pool: PoolRecord, image: ImageRecord): Promise<void> {
  const layer = image.head ? await readRecord<LayerRecord>(ctx.store, keys.layer(image.top.layer)) : undefined;
  const holder = layer && await getPool(ctx, layer.pool);
  if (!layer || !holder) return;
  await backendOf(ctx, holder).limitVolume?.(placeOf(holder), layer.volume, await imageLimits(ctx, pool, image));
}

async function imageLimits(ctx: Context, pool: PoolRecord, image: ImageRef): Promise<VolumeLimit[]> {
  const ofPool = await poolConfig(ctx, pool.id);
  const central = ctx.clientConfig('client.admin');
  const entries = await ctx.store.list({ prefix: keys.metadata(image, 'conf_') });
  const own = new Map(entries.map(({ key, value }) => [key.slice(keys.metadata(image, 'conf_').length), JSON.parse(value) as string]));
  return limitsOf((option) => own.get(option) ?? ofPool[option] ?? central[option]);
}

function limitsOf(option: (name: string) => string | undefined): VolumeLimit[] {
  const number = (name: string, otherwise: number): number => sizeOf(option(name)) ?? otherwise;
  return Object.entries(kinds).map(([name, kind]) => ({
    kind, limit: number(`rbd_qos_${name}_limit`, 0), burst: number(`rbd_qos_${name}_burst`, 0), burstSeconds: Math.max(1, number(`rbd_qos_${name}_burst_seconds`, 1)),
  }));
}

/** "100", "4K", "1Mi"; undefined for nothing, and for what is no number. */
function sizeOf(text: string | undefined): number | undefined {
  const match = /^(\d+)([KMGTP]?)(?:i?B?)$/i.exec(text ?? '');
  if (!match) return undefined;
  const value = Number(match[1]) * 1024 ** ['', 'K', 'M', 'G', 'T', 'P'].indexOf((match[2] ?? '').toUpperCase());
  return Number.isSafeInteger(value) ? value : undefined;
}
