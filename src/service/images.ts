// Images: making, finding, listing and renaming them. Behind: rbd_create*, rbd_list*, rbd_rename.
import { randomBytes } from 'node:crypto';
import { adoptAll, adoptOne } from './adopt.js';
import { changed } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { Feature, featuresForCreate, type FeatureOptions } from './features.js';
import { requireNoLock } from './locks.js';
import { requirePlace } from './namespaces.js';
import { checkLength, checkName } from './names.js';
import { findPool } from './pools.js';
import { limitImage } from './qos.js';
import { keys, type At, type ImageRecord, type ImageRef } from './records.js';
import type { Session } from './sessions.js';
import { readRecord, transact, type Tx } from './transact.js';
import { makeLayer } from './volumes.js';

export interface CreateOptions extends FeatureOptions {
  readonly format?: number;
  readonly order?: number;
  readonly stripeUnit?: number;
  readonly stripeCount?: number;
  /** A pool's name. */
  readonly dataPool?: string;
  /** Asked for, the image is to be mirrored from the start. */
  readonly mirrorImageMode?: number;
}

export interface CreateRequest {
  readonly at: At;
  readonly name: string;
  readonly size: number;
  readonly options: CreateOptions;
  readonly op?: string;
}

/** The object map of an image covers at most so many objects (librbd's MAX_OBJECT_COUNT). */
const maxObjects = 256_000_000;

/** Makes an image of zeroes. EEXIST, EDOM (order), EINVAL, ENOSYS (features) as librbd has them. */
export async function createImage(ctx: Context, session: Session, request: CreateRequest): Promise<{ id: string; order: number }> {
  return ctx.ops.once(request.op, async (finish) => {
    const { at, name, size } = request;
    checkName('image', name);
    if (await findImage(ctx, at, name)) throw new ServiceError('EEXIST', `image ${name} exists`);
    const shape = await shapeOf(ctx, session.identity.entity, at.pool, request.options);
    checkSize(size, shape);
    await transact(ctx.store, (tx) => requirePlace(tx, at));
    const id = await newImageId(ctx, session, at);
    const layer = await makeLayer(ctx, { pool: shape.dataPool ?? at.pool, image: id, kind: 'plain', size });
    const record: ImageRecord = { ...newRecord(ctx, { id, name, at, size, shape }), top: { layer: layer.record.id, overlap: size }, head: true };
    try {
      const made = await transact(ctx.store, async (tx) => {
        await requirePlace(tx, at);
        await layer.adopt(tx);
        await putNewImage(tx, record);
        return finish(tx, { id, order: record.order });
      });
      await limitImage(ctx, record).catch((error: unknown) => ctx.log(`image ${name} has no limits yet: ${String(error)}`));
      return made;
    } catch (error) {
      await layer.abandon();
      throw error;
    }
  });
}

/** As Ceph makes them: the client's number and a random one, in hex. Of ten thousand images of one client two would meet one time in a hundred. */
export async function newImageId(ctx: Context, session: Session, { pool, namespace }: At): Promise<string> {
  for (;;) {
    const id = session.id.toString(16) + randomBytes(4).toString('hex');
    if (!await readRecord<ImageRecord>(ctx.store, keys.image({ pool, namespace, id }))) return id;
  }
}

/** In the transaction that makes it. EEXIST where the name is taken, EAGAIN where the id is, since newImageId() looked. */
export async function putNewImage(tx: Tx, record: ImageRecord): Promise<void> {
  if (await tx.get(keys.imageName(record, record.name))) throw new ServiceError('EEXIST', `image ${record.name} exists`);
  if (await tx.get(keys.image(record))) throw new ServiceError('EAGAIN', `id ${record.id} was given to another image at the same time`);
  tx.put(keys.image(record), record);
  tx.put(keys.imageName(record, record.name), record.id);
}

/** The record of a new image, but for its layers. */
export function newRecord(
  ctx: Context, { id, name, at, size, shape }: { id: string; name: string; at: At; size: number; shape: Shape },
): Omit<ImageRecord, 'top' | 'head'> {
  const now = ctx.now();
  return {
    id, name, pool: at.pool, namespace: at.namespace, size, ...shape, opFeatures: 0, flags: 0, createTime: now, accessTime: now, modifyTime: now,
    parent: null, snaps: [], snapLimit: null,
  };
}

export type Shape = Pick<ImageRecord, 'order' | 'features' | 'stripeUnit' | 'stripeCount' | 'dataPool'>;

/** What the options of a create call come to. EDOM, EINVAL, ENOENT, ENOSYS. */
export async function shapeOf(ctx: Context, entity: string, pool: number, options: CreateOptions): Promise<Shape> {
  const format = options.format ?? ctx.configNumber(entity, 'rbd_default_format', 2);
  const order = options.order || ctx.configNumber(entity, 'rbd_default_order', 22);
  if (order < 12 || order > 25) throw new ServiceError('EDOM', `order ${order} is outside 12..25`);
  if (format === 1) throw new ServiceError('EINVAL', 'image format 1 is not supported');
  const striping = stripingOf(ctx, entity, options, 2 ** order);
  const named = options.dataPool ? await findPool(ctx, options.dataPool) : undefined;
  if (options.dataPool && !named) throw new ServiceError('ENOENT', `there is no data pool ${options.dataPool}`);
  const dataPool = named?.id === pool ? undefined : named;
  const features = featuresForCreate(options, ctx.configNumber(entity, 'rbd_default_features', 61), {
    striping: striping.stripeCount !== 1 || striping.stripeUnit !== 2 ** order, dataPool: dataPool !== undefined,
  });
  if (options.mirrorImageMode !== undefined) throw new ServiceError('ENOENT', 'mirroring is not enabled in the pool');
  return { order, features, ...striping, dataPool: dataPool?.id ?? null };
}

function stripingOf(ctx: Context, entity: string, options: CreateOptions, objectSize: number): { stripeUnit: number; stripeCount: number } {
  const unit = options.stripeUnit ?? ctx.configNumber(entity, 'rbd_default_stripe_unit', 0);
  const count = options.stripeCount ?? ctx.configNumber(entity, 'rbd_default_stripe_count', 0);
  if ((unit === 0) !== (count === 0)) throw new ServiceError('EINVAL', 'stripe unit and stripe count are given together or not at all');
  if (unit === 0) return { stripeUnit: objectSize, stripeCount: 1 };
  if (unit > objectSize || objectSize % unit !== 0 || unit < 512) {
    throw new ServiceError('EINVAL', `a stripe unit of ${unit} bytes is no factor of the object size, or less than 512`);
  }
  return { stripeUnit: unit, stripeCount: count };
}

/** EINVAL for what no image can have. */
export function checkSize(size: number, image: { order: number; features: number }): void {
  const objects = Math.ceil(size / 2 ** image.order);
  if ((image.features & Feature.OBJECT_MAP) !== 0 && objects > maxObjects) {
    throw new ServiceError('EINVAL', `a size of ${size} bytes is more than an object map covers`);
  }
}

/** ENAMETOOLONG for a name that no image can have. */
export async function findImage(ctx: Context, at: At, name: string): Promise<ImageRecord | undefined> {
  checkLength(name);
  let id = await readRecord<string>(ctx.store, keys.imageName(at, name));
  if (id === undefined && await adoptOne(ctx, at, name)) id = await readRecord<string>(ctx.store, keys.imageName(at, name));
  return id === undefined ? undefined : readRecord<ImageRecord>(ctx.store, keys.image({ ...at, id }));
}

/** ENOENT. */
export async function imageByName(ctx: Context, at: At, name: string): Promise<ImageRecord> {
  const image = await findImage(ctx, at, name);
  if (!image) throw new ServiceError('ENOENT', `there is no image ${name}`);
  return image;
}

/** ENOENT. */
export async function imageById(ctx: Context, image: ImageRef): Promise<ImageRecord> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(image));
  if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
  return record;
}

/** Sorted by the bytes of the name. */
export async function listImages(ctx: Context, at: At): Promise<{ id: string; name: string }[]> {
  await adoptAll(ctx, at);
  const prefix = keys.imageNames(at);
  const entries = await ctx.store.list({ prefix });
  return entries.map(({ key, value }) => ({ id: JSON.parse(value) as string, name: key.slice(prefix.length) }));
}

/** EEXIST where the new name is taken, also by the image itself; ENOENT. */
export async function renameImage(ctx: Context, request: { at: At; name: string; to: string; op?: string }): Promise<void> {
  const { at, name, to } = request;
  checkName('image', to);
  checkLength(name);
  checkLength(to);
  await ctx.ops.once(request.op, (finish) => transact(ctx.store, async (tx) => {
    const id = await tx.get<string>(keys.imageName(at, name));
    const record = id === undefined ? undefined : await tx.get<ImageRecord>(keys.image({ ...at, id }));
    if (!record) throw new ServiceError('ENOENT', `there is no image ${name}`);
    if (await tx.get(keys.imageName(at, to))) throw new ServiceError('EEXIST', `image ${to} exists`);
    await requireNoLock(ctx, record);
    tx.remove(keys.imageName(at, name));
    tx.put(keys.imageName(at, to), record.id);
    tx.put(keys.image(record), { ...record, name: to });
    return finish(tx, {});
  }));
  const image = await findImage(ctx, at, to);
  if (image) await changed(ctx, image);
}

/** Changes an image's record alone. ENOENT. */
export async function changeImage(ctx: Context, image: ImageRef, change: (record: ImageRecord) => ImageRecord | Promise<ImageRecord>): Promise<ImageRecord> {
  return transact(ctx.store, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    const next = await change(record);
    tx.put(keys.image(image), next);
    return next;
  });
}
