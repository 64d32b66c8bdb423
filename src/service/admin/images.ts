// The administrator's view of images: what stands behind each. Behind: `cbd2rbd image ls|show|adopt`.
import { createHash, randomBytes } from 'node:crypto';
import type { Context } from '../context.js';
import { ServiceError } from '../errors.js';
import { findImage, newRecord, putNewImage, shapeOf } from '../images.js';
import { readChain } from '../layers.js';
import { checkName } from '../names.js';
import { backendOf, findPool, listPools, placeOf } from '../pools.js';
import { keys, type ImageRecord, type LayerRecord, type PoolRecord } from '../records.js';
import { transact } from '../transact.js';
import { volumeSizeFor, whereabouts } from '../volumes.js';

export interface ImageView {
  /** "pool/image" or "pool/namespace/image". */
  readonly path: string;
  readonly id: string;
  readonly size: number;
  readonly snapshots: number;
  /** How many layers its chain has. */
  readonly layers: number;
  /** The volume that takes its writes, or the newest one. */
  readonly volume: string;
  /** "plain": every tool of the backend can read the volume as it is. */
  readonly kind: 'plain' | 'cow';
  readonly inTrash: boolean;
  /** How many sessions have it open. */
  readonly open: number;
}

export interface LayerView {
  readonly id: string;
  readonly kind: 'plain' | 'cow';
  readonly volume: string;
  readonly backend: string;
  readonly dir: string;
  readonly size: number;
  readonly volumeSize: number;
  /** Bytes that the volume takes; undefined where it is missing. */
  readonly allocated: number | undefined;
  readonly frozen: boolean;
  readonly refs: number;
}

export function pathOf(pool: string, { namespace, name }: { namespace: string; name: string }): string {
  return [pool, ...(namespace ? [namespace] : []), name].join('/');
}

/** "pool/image", "pool/namespace/image" or "image" in the pool rbd. ENOENT, EINVAL. */
export async function imageAt(ctx: Context, path: string): Promise<{ pool: PoolRecord; image: ImageRecord }> {
  const parts = path.split('/');
  if (parts.length > 3 || parts.some((part) => part === '')) throw new ServiceError('EINVAL', `${JSON.stringify(path)} is no image: [POOL/[NAMESPACE/]]IMAGE`);
  const name = parts.pop() ?? '';
  const pool = await poolNamed(ctx, parts[0] ?? 'rbd');
  const image = await findImage(ctx, { pool: pool.id, namespace: parts[1] ?? '' }, name);
  if (!image) throw new ServiceError('ENOENT', `there is no image ${path}`);
  return { pool, image };
}

export async function poolNamed(ctx: Context, name: string): Promise<PoolRecord> {
  const pool = await findPool(ctx, name);
  if (!pool) throw new ServiceError('ENOENT', `there is no pool ${name}`);
  return pool;
}

/** All images, or those of a pool; sorted by path. */
export async function imageViews(ctx: Context, only?: string): Promise<ImageView[]> {
  const pools = only === undefined ? await listPools(ctx) : [await poolNamed(ctx, only)];
  const views: ImageView[] = [];
  for (const pool of pools) {
    const prefix = keys.imagesOfPool(pool.id);
    for (const { value } of await ctx.store.list({ prefix })) views.push(await viewOf(ctx, pool.name, JSON.parse(value) as ImageRecord));
  }
  return views.sort((a, b) => a.path < b.path ? -1 : 1);
}

async function viewOf(ctx: Context, pool: string, image: ImageRecord): Promise<ImageView> {
  const chain = await readChain(ctx, image.top, image.size);
  const top = chain[0]?.layer;
  return {
    path: pathOf(pool, image), id: image.id, size: image.size, snapshots: image.snaps.length, layers: chain.length, volume: top?.volume ?? '',
    kind: top?.kind ?? 'plain', inTrash: (await ctx.store.get(keys.trash(image))) !== undefined, open: ctx.sessions.openersOf(image).length,
  };
}

/** An image with its record, its chain and who has it open. ENOENT. */
export async function showImage(ctx: Context, path: string): Promise<Record<string, unknown>> {
  const { pool, image } = await imageAt(ctx, path);
  const chain = await readChain(ctx, image.top, image.size);
  return {
    ...await viewOf(ctx, pool.name, image), order: image.order, features: image.features, stripeUnit: image.stripeUnit, stripeCount: image.stripeCount,
    parent: image.parent, hasHead: image.head,
    snaps: image.snaps.map(({ id, name, size, isProtected }) => ({ id, name, size, isProtected })),
    sessions: ctx.sessions.openersOf(image).map(({ session, readOnly }) => ({ id: session.id, entity: session.identity.entity, program: session.identity.program, pid: session.identity.pid, readOnly })),
    chain: await Promise.all(chain.map(({ layer }) => layerView(ctx, layer))),
  };
}

export async function layerView(ctx: Context, layer: LayerRecord): Promise<LayerView> {
  const { backend, place } = await whereabouts(ctx, layer.pool);
  const { id, kind, volume, size, volumeSize, frozen, refs } = layer;
  const found = await backend.statVolume(place, volume);
  return { id, kind, volume, backend: backend.kind, dir: place.dir, size, volumeSize, allocated: found?.allocated, frozen, refs };
}

export interface AdoptRequest {
  readonly pool: string;
  /** A volume that is in the pool's directory. */
  readonly volume: string;
  /** The image's name; the volume's own by default. */
  readonly name?: string;
}

/** An existing volume becomes an image; its bytes stay where they are. ENOENT, EEXIST, EBUSY where it is an image's already. */
export async function adoptVolume(ctx: Context, request: AdoptRequest): Promise<ImageView> {
  const pool = await poolNamed(ctx, request.pool);
  const backend = backendOf(ctx, pool);
  const place = placeOf(pool);
  const name = request.name ?? request.volume;
  checkName('image', name);
  const volume = await backend.statVolume(place, request.volume);
  if (!volume) throw new ServiceError('ENOENT', `pool ${pool.name} has no volume ${request.volume} in ${place.dir}`);
  const owner = await holderOf(ctx, pool.id, request.volume);
  if (owner) throw new ServiceError('EBUSY', `volume ${request.volume} belongs to image ${owner}`);
  const at = { pool: pool.id, namespace: '' };
  const volumeSize = volumeSizeFor(backend, volume.size);
  await backend.extendVolume(place, request.volume, volumeSize);
  const id = randomBytes(7).toString('hex');
  const layerId = `volume-${pool.id}-${createHash('sha256').update(request.volume).digest('hex').slice(0, 24)}`;
  const shape = await shapeOf(ctx, 'client.admin', pool.id, {});
  const layer: LayerRecord = {
    id: layerId, pool: pool.id, image: id, kind: 'plain', size: volume.size, volume: request.volume, volumeSize, generation: 0, parent: null, frozen: false, refs: 1,
  };
  const record: ImageRecord = { ...newRecord(ctx, { id, name, at, size: volume.size, shape }), top: { layer: layerId, overlap: volume.size }, head: true };
  await transact(ctx.store, async (tx) => {
    if (await tx.get(keys.layer(layerId))) throw new ServiceError('EBUSY', `volume ${request.volume} is an image already`);
    tx.put(keys.layer(layerId), layer);
    await putNewImage(tx, record);
  });
  return viewOf(ctx, pool.name, record);
}

// Whose a volume is, or that it is only being made or removed.
async function holderOf(ctx: Context, pool: number, volume: string): Promise<string | undefined> {
  if (await ctx.store.get(keys.intent(volume))) return '(being made or removed)';
  for (const { value } of await ctx.store.list({ prefix: keys.layers })) {
    const layer = JSON.parse(value) as LayerRecord;
    if (layer.pool !== pool || layer.volume !== volume) continue;
    const images = await ctx.store.list({ prefix: keys.allImages });
    return images.map((entry) => JSON.parse(entry.value) as ImageRecord).find(({ id }) => id === layer.image)?.name ?? layer.image;
  }
  return undefined;
}

