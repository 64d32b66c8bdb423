// The trash: images without a name, kept until somebody restores or removes them. Behind: rbd_trash_*.
import { changed } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { takeLockFromWriter } from './exclusive-lock.js';
import { imageById } from './images.js';
import { requireNoLock } from './locks.js';
import { checkLength, checkName } from './names.js';
import { backendOf, getPool } from './pools.js';
import { keys, type At, type ImageRecord, type ImageRef, type Time, type TrashRecord } from './records.js';
import { removeImageRecords } from './remove.js';
import { readRecord, transact } from './transact.js';

/** Moves an image to the trash, where it may not be removed for `delay` seconds. ENOENT; EBUSY where its lock is managed. An open image may be moved, as in 16.2.15. */
export async function moveToTrash(ctx: Context, request: { at: At; name: string; delay: number; op?: string }): Promise<void> {
  const { at, name } = request;
  const found = await readRecord<string>(ctx.store, keys.imageName(at, name));
  if (found !== undefined && !await takeLockFromWriter(ctx, { ...at, id: found })) throw new ServiceError('EBUSY', `image ${name} is locked by one who asked for its exclusive lock`);
  const moved = await ctx.ops.once<{ id: string }>(request.op, (finish) => transact(ctx.store, async (tx) => {
    const id = await tx.get<string>(keys.imageName(at, name));
    if (id === undefined) throw new ServiceError('ENOENT', `there is no image ${name}`);
    await requireNoLock(ctx, await imageById(ctx, { ...at, id }));
    const now = ctx.now();
    const record: TrashRecord = { id, name, source: 'user', deletionTime: now, deferUntil: { ...now, sec: Math.min(now.sec + request.delay, Number.MAX_SAFE_INTEGER) } };
    tx.remove(keys.imageName(at, name));
    tx.put(keys.trash({ ...at, id }), record);
    return finish(tx, { id });
  }));
  await changed(ctx, { ...at, id: moved.id });
}

/** ENOENT; EEXIST where the name is taken, ENAMETOOLONG. `to` "" means the old name. */
export async function restoreFromTrash(ctx: Context, request: { at: At; id: string; to: string; op?: string }): Promise<void> {
  const image = { ...request.at, id: request.id };
  await ctx.ops.once(request.op, (finish) => transact(ctx.store, async (tx) => {
    const trash = await tx.get<TrashRecord>(keys.trash(image));
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!trash || !record) throw new ServiceError('ENOENT', `there is no image with id ${request.id} in the trash`);
    const name = request.to === '' ? trash.name : request.to;
    checkName('image', name);
    checkLength(name);
    if (await tx.get(keys.imageName(image, name))) throw new ServiceError('EEXIST', `image ${name} exists`);
    tx.remove(keys.trash(image));
    tx.put(keys.imageName(image, name), image.id);
    tx.put(keys.image(image), { ...record, name });
    return finish(tx, {});
  }));
  await changed(ctx, image);
}

/** ENOENT; EPERM before its time, without force; EBUSY while it is open, ENOTEMPTY with snapshots: which of them comes first, `force` tells. */
export async function removeFromTrash(ctx: Context, request: { at: At; id: string; force: boolean; op?: string }): Promise<void> {
  const image = { ...request.at, id: request.id };
  await ctx.ops.once(request.op, async (finish) => {
    const trash = await trashEntry(ctx, image);
    if (!request.force && isBefore(ctx.now(), trash.deferUntil)) {
      throw new ServiceError('EPERM', `image ${trash.name} may not be removed from the trash before ${dateOf(trash.deferUntil)}`);
    }
    await removeImageRecords(ctx, image, { snapshotsFirst: request.force, also: (tx) => { finish(tx, {}); } });
    return {};
  });
}

/** Sorted by id. */
export async function listTrash(ctx: Context, at: At): Promise<TrashRecord[]> {
  const entries = await ctx.store.list({ prefix: keys.trashOf(at) });
  return entries.map(({ value }) => JSON.parse(value) as TrashRecord);
}

/** ENOENT. */
export async function trashEntry(ctx: Context, image: ImageRef): Promise<TrashRecord> {
  const record = await readRecord<TrashRecord>(ctx.store, keys.trash(image));
  if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id} in the trash`);
  return record;
}

/**
 * Removes every image whose time was up at `expireTs` (seconds since the epoch; now where it is 0), the first due first, up to one
 * that cannot go: EBUSY, ENOTEMPTY. With a threshold (-1: none) it stops as soon as less than that part of the backend is in use. EINVAL outside 0..1.
 */
export async function purgeTrash(ctx: Context, request: { at: At; expireTs: number; threshold: number }): Promise<void> {
  const { at, threshold } = request;
  if (threshold !== -1 && !(threshold >= 0 && threshold <= 1)) throw new ServiceError('EINVAL', `threshold ${threshold} is outside 0..1`);
  const until: Time = request.expireTs > 0 ? { sec: request.expireTs, nsec: 0 } : ctx.now();
  const due = (await listTrash(ctx, at)).filter((entry) => !isBefore(until, entry.deferUntil));
  due.sort((a, b) => (isBefore(a.deferUntil, b.deferUntil) ? -1 : 1));
  for (const entry of due) {
    if (threshold !== -1 && await usedPart(ctx, at) < threshold) return;
    await removeImageRecords(ctx, { ...at, id: entry.id }, { snapshotsFirst: true });
  }
}

async function usedPart(ctx: Context, at: At): Promise<number> {
  const { usedBytes, totalBytes } = await backendOf(ctx, await getPool(ctx, at.pool)).capacity();
  return totalBytes === 0 ? 0 : usedBytes / totalBytes;
}

/** As people read it; a time that no calendar reaches in seconds. */
function dateOf({ sec }: Time): string {
  const date = new Date(sec * 1000);
  return Number.isNaN(date.getTime()) ? `second ${sec}` : date.toISOString();
}

function isBefore(a: Time, b: Time): boolean {
  return a.sec < b.sec || (a.sec === b.sec && a.nsec < b.nsec);
}
