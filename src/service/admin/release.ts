// An image is handed back to its backend's own tools: one flat volume of the image's name, and no record of ours. A crash in between is
// taken up at the next start: what is to be done is recorded before the volume gets its name. Behind: `cbd2rbd image release`.
import { faultPoint } from '../../fault.js';
import type { Context } from '../context.js';
import { ServiceError } from '../errors.js';
import { copyChain, flattenImage } from '../flatten.js';
import { imageById } from '../images.js';
import { layerIn, readChain, release } from '../layers.js';
import { imageKey, keys, type ImageRecord, type ImageRef, type IntentRecord } from '../records.js';
import { removeLocked, requireUnused } from '../remove.js';
import { readRecord, transact } from '../transact.js';
import { finishRemovals, makeLayer, whereabouts } from '../volumes.js';
import { imageAt } from './images.js';

interface ReleaseRecord {
  readonly image: ImageRef;
  readonly layer: string;
  readonly to: string;
}

export interface Released {
  readonly backend: string;
  readonly dir: string;
  readonly volume: string;
  readonly size: number;
}

/**
 * ENOTEMPTY with snapshots; EBUSY while it is open; EEXIST where the directory has a volume of the image's name. One that failed halfway
 * (the store did not answer) is finished by another try, or by the next start.
 */
export async function releaseImage(ctx: Context, path: string): Promise<Released> {
  const { image } = await imageAt(ctx, path);
  const { backend, place } = await whereabouts(ctx, image.dataPool ?? image.pool);
  const isBegun = await ctx.store.get(keys.release(image.id)) !== undefined;
  if (!isBegun) await prepareRelease(ctx, image, path);
  const key = imageKey(image);
  return ctx.imageLocks.run(key, async () => {
    // Who wants to open it waits for the lock, and finds it gone.
    ctx.removing.add(key);
    try {
      requireUnused(ctx, image);
      if (!isBegun) await makePlain(ctx, image);
      const record = await imageById(ctx, image);
      const asked: ReleaseRecord = { image: { pool: record.pool, namespace: '', id: record.id }, layer: record.top.layer, to: record.name };
      if (!isBegun) await transact(ctx.store, (tx) => { tx.put(keys.release(record.id), asked); });
      faultPoint('backend');
      await finishRelease(ctx, record.id);
      return { backend: backend.kind, dir: place.dir, volume: record.name, size: record.size };
    } finally {
      ctx.removing.delete(key);
    }
  });
}

/** What may keep the image from being handed back is looked for, or done, while others may still use it. */
async function prepareRelease(ctx: Context, image: ImageRecord, path: string): Promise<void> {
  if (image.namespace !== '') throw new ServiceError('EOPNOTSUPP', `image ${path} is in a namespace, which directories do not have`);
  if (image.snaps.length > 0) throw new ServiceError('ENOTEMPTY', `image ${path} has snapshots, which a volume cannot keep`);
  requireUnused(ctx, image);
  const { backend, place } = await whereabouts(ctx, image.dataPool ?? image.pool);
  const top = await readRecord<{ volume: string }>(ctx.store, keys.layer(image.top.layer));
  if (top?.volume !== image.name && await backend.statVolume(place, image.name)) throw new ServiceError('EEXIST', `${place.dir} has a volume ${image.name} already`);
  if (image.parent) await flattenImage(ctx, image, {});
}

/** At start: releases that a crash cut short. */
export async function finishReleases(ctx: Context): Promise<void> {
  for (const { key } of await ctx.store.list({ prefix: keys.releases })) {
    await finishRelease(ctx, key.slice(keys.releases.length)).catch((error: unknown) => ctx.log(`an image is not handed back yet: ${String(error)}`));
  }
}

async function finishRelease(ctx: Context, id: string): Promise<void> {
  const asked = await readRecord<ReleaseRecord>(ctx.store, keys.release(id));
  if (!asked) return;
  const layer = await readRecord<{ volume: string; pool: number }>(ctx.store, keys.layer(asked.layer));
  if (layer && layer.volume !== asked.to) {
    const { backend, place } = await whereabouts(ctx, layer.pool);
    if (await isChanged(ctx, asked) && await backend.statVolume(place, layer.volume)) {
      return transact(ctx.store, (tx) => { tx.remove(keys.release(id)); });
    }
    try {
      await backend.renameVolume(place, layer.volume, asked.to);
    } catch (error) {
      if (await backend.statVolume(place, layer.volume)) await transact(ctx.store, (tx) => { tx.remove(keys.release(id)); });
      throw error;
    }
    faultPoint('backend');
  }
  // The volume is no longer ours, so that removing the records leaves it alone.
  if (layer) await removeLocked(ctx, asked.image, { keepsVolumes: true, also: (tx) => { tx.remove(keys.release(id)); } });
  else await transact(ctx.store, (tx) => { tx.remove(keys.release(id)); });
}

/** It was used again since: its asker was told that it failed, and nothing has been done yet. */
async function isChanged(ctx: Context, { image, layer }: ReleaseRecord): Promise<boolean> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(image));
  return record !== undefined && (record.top.layer !== layer || !record.head || record.snaps.length > 0);
}

/** Copies a chain into one plain layer, where it is none. */
async function makePlain(ctx: Context, ref: ImageRef): Promise<void> {
  const image = await imageById(ctx, ref);
  const chain = await readChain(ctx, image.top, image.size);
  const [top] = chain;
  if (chain.length === 1 && top?.layer.kind === 'plain' && top.layer.refs === 1) return;
  const layer = await makeLayer(ctx, { pool: image.dataPool ?? image.pool, image: image.id, kind: 'plain', size: image.size });
  let condemned: IntentRecord[];
  try {
    await copyChain(ctx, { link: image.top, length: image.size }, layer.record);
    condemned = await transact(ctx.store, async (tx) => {
      const now = await tx.get<ImageRecord>(keys.image(ref));
      requireUnused(ctx, image);
      if (!now || now.top.layer !== image.top.layer || now.size !== image.size || now.snaps.length > 0) throw new ServiceError('EAGAIN', `image ${image.name} changed meanwhile`);
      await layerIn(tx, image.top.layer);
      await layer.adopt(tx);
      tx.put(keys.image(ref), { ...now, top: { layer: layer.record.id, overlap: image.size }, head: true });
      return release(tx, image.top.layer);
    });
  } catch (error) {
    await layer.abandon();
    throw error;
  }
  await finishRemovals(ctx, condemned);
}
