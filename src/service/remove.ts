// Removing an image. Behind: rbd_remove, rbd_remove_with_progress, and the trash's removals.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById, imageByName } from './images.js';
import { childLeft, leaveParent } from './children.js';
import { takeLockFromWriter } from './exclusive-lock.js';
import { release } from './layers.js';
import { requireNoLock } from './locks.js';
import { imageKey, keys, type At, type ImageRecord, type ImageRef } from './records.js';
import { transact, type Tx } from './transact.js';
import { finishRemovals } from './volumes.js';

/** ENOENT; EBUSY while somebody has it open for writing, EROFS while it has an advisory lock (and the exclusive-lock feature). */
export async function removeImage(ctx: Context, request: { at: At; name: string; op?: string }): Promise<void> {
  await ctx.ops.once(request.op, async (finish) => {
    const image = await imageByName(ctx, request.at, request.name);
    await removeImageRecords(ctx, image, { also: (tx) => { finish(tx, {}); } });
    return {};
  });
}

/** EBUSY where the image cannot be removed just now. */
export function requireUnused(ctx: Context, image: ImageRecord): void {
  const [watcher] = [...ctx.sessions.watchersOf(image), ...ctx.objectWatches.headerWatchersOf(image)];
  if (watcher) throw new ServiceError('EBUSY', `image ${image.name} is open at ${watcher.session.address}`);
}

interface RemoveOptions {
  readonly also?: (tx: Tx) => void;
  /** The image has one layer, and its volume stays. */
  readonly keepsVolumes?: boolean;
  /** Snapshots are looked at before the lock counts: so 16.2.15 where an image must go from the trash, and in a purge of that. */
  readonly snapshotsFirst?: boolean;
}

/** Removes an image with its metadata, locks and volumes. The image is gone when the one transaction is committed. ENOTEMPTY, EBUSY. */
export async function removeImageRecords(ctx: Context, image: ImageRef, options: RemoveOptions = {}): Promise<void> {
  // The real library takes the exclusive lock before it looks at anything else.
  if (!await takeLockFromWriter(ctx, image)) {
    if (options.snapshotsFirst) requireNoSnapshots(await imageById(ctx, image));
    throw new ServiceError('EBUSY', `image ${image.id} is locked by one who asked for its exclusive lock`);
  }
  await ctx.imageLocks.run(imageKey(image), () => removeLocked(ctx, image, options));
}

function requireNoSnapshots({ name, snaps }: ImageRecord): void {
  if (snaps.some(({ namespace }) => namespace.type === 'user')) throw new ServiceError('ENOTEMPTY', `image ${name} has snapshots`);
}

/** The same for whoever holds the image's lock. */
export async function removeLocked(ctx: Context, image: ImageRef, options: RemoveOptions): Promise<void> {
  const { intents, left } = await whileNobodyOpens(ctx, image, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    requireNoSnapshots(record);
    if (record.snaps.length > 0) throw new ServiceError('EBUSY', `image ${record.name} has removed snapshots that clones still show`);
    requireUnused(ctx, record);
    await requireNoLock(ctx, record);
    const condemned = options.keepsVolumes ? await forget(tx, record.top.layer) : await release(tx, record.top.layer);
    const left = record.parent ? leaveParent(tx, image, record.parent) : undefined;
    tx.remove(keys.image(image));
    if ((await tx.get<string>(keys.imageName(record, record.name))) === record.id) tx.remove(keys.imageName(record, record.name));
    tx.remove(keys.trash(image));
    tx.remove(keys.lock(image));
    tx.remove(keys.exclusiveLock(image));
    tx.removeAll(keys.metadata(image, ''));
    tx.remove(keys.unfenced(image));
    options.also?.(tx);
    return { intents: condemned, left };
  });
  if (left) await childLeft(ctx, left);
  await finishRemovals(ctx, intents);
}

/** The layer's record goes, its volume stays. */
async function forget(tx: Tx, layer: string): Promise<[]> {
  tx.remove(keys.layer(layer));
  tx.remove(keys.untrimmed(layer));
  return [];
}

/** A transaction during which nobody can open the image: openImage sees it in `removing`, and waits for the image's lock. */
async function whileNobodyOpens<T>(ctx: Context, image: ImageRef, body: (tx: Tx) => Promise<T>): Promise<T> {
  const key = imageKey(image);
  ctx.removing.add(key);
  try {
    return await transact(ctx.store, body);
  } finally {
    ctx.removing.delete(key);
  }
}
