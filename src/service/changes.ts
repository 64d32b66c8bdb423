// Telling everybody who has an image open that it changed, and what an image looks like to one of them.
import type { VolumeAccess } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { configMetadata } from './metadata.js';
import { poolConfig } from './pools.js';
import { keys, type ExclusiveLockRecord, type ImageRecord, type ImageRef, type LayerRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { readRecord } from './transact.js';
import { whereabouts } from './volumes.js';

/** What the image looks like to one who has it open (docs/protocol.md, "Image state"), without its layers. */
export async function stateFor(ctx: Context, open: OpenImage): Promise<Record<string, unknown>> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(open.image));
  if (!record) throw new ServiceError('ENOENT', `image ${open.image.id} is gone`);
  const lock = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(open.image));
  return {
    ...describe(record),
    snapId: open.snapId,
    own: 'shared',
    head: true,
    snapLimit: null,
    readOnly: open.readOnly || open.snapId !== null,
    exclusiveLock: lock ? (holds(open, lock) ? 'mine' : 'other') : null,
    metadata: await configMetadata(ctx, open.image),
    poolConfig: await poolConfig(ctx, open.image.pool),
  };
}

export function holds(open: OpenImage, lock: ExclusiveLockRecord): boolean {
  return lock.session === open.session.id && lock.handle === open.handle;
}

/** What is the same for everybody. */
export function describe(record: ImageRecord): Record<string, unknown> {
  const { id, name, size, order, features, opFeatures, flags, stripeUnit, stripeCount, dataPool, createTime, accessTime, modifyTime } = record;
  const prefix = dataPool === null ? `rbd_data.${id}` : `rbd_data.${record.pool}.${id}`;
  return {
    id, name, size, order, features, opFeatures, flags, stripeUnit, stripeCount, prefix, createTime, accessTime, modifyTime, dataPool,
    snaps: [], parent: null,
  };
}

/** The layers of an image and the volumes behind them, opened for one session. The caller releases the accesses. */
export async function openLayers(ctx: Context, open: OpenImage): Promise<{ layers: object[]; accesses: VolumeAccess[] }> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(open.image));
  if (!record) throw new ServiceError('ENOENT', `image ${open.image.id} is gone`);
  const layers: object[] = [];
  const accesses: VolumeAccess[] = [];
  let fds = 0;
  try {
    for (const [index, id] of record.layers.entries()) {
      const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(id));
      if (!layer) throw new ServiceError('EIO', `layer ${id} of image ${record.name} has no record`);
      const writable = isWritable(open, index);
      const { backend, place } = await whereabouts(ctx, layer.pool);
      const access = await backend.openVolume(place, layer.volume, { writable, session: open.session.id, pid: open.session.identity.pid });
      accesses.push(access);
      const volume = access.driver === 'file'
        ? { driver: 'file', fd: fds++, size: layer.volumeSize, blockSize: access.blockSize }
        : access;
      layers.push({ id, kind: layer.kind, size: layer.size, writable, volume });
    }
    return { layers, accesses };
  } catch (error) {
    releaseAll(accesses);
    throw error;
  }
}

export function releaseAll(accesses: readonly VolumeAccess[]): void {
  for (const access of accesses) if (access.driver === 'file') access.release();
}

/** The layers with their sizes of now, for one who has their volumes open already. */
async function knownLayers(ctx: Context, open: OpenImage): Promise<object[]> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(open.image));
  const layers: object[] = [];
  for (const [index, id] of (record?.layers ?? []).entries()) {
    const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(id));
    if (layer) layers.push({ id, kind: layer.kind, size: layer.size, writable: isWritable(open, index) });
  }
  return layers;
}

function isWritable(open: OpenImage, index: number): boolean {
  return index === 0 && !open.readOnly && open.snapId === null;
}

/** Tells everybody who has the image open; returns when all have taken it, or two seconds have passed. */
export async function changed(ctx: Context, image: ImageRef): Promise<void> {
  await ctx.sessions.askAll(ctx.sessions.openersOf(image), 'image.changed', async (open) => ({
    state: { ...await stateFor(ctx, open), layers: await knownLayers(ctx, open) },
  }));
}
