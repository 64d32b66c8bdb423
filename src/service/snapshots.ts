// Snapshots: made, removed, renamed, protected, limited. No data moves. Behind: rbd_snap_create/remove/rename/protect/
// unprotect/set_limit and their kin; rollback.ts has the rest.
import { randomUUID } from 'node:crypto';
import { OpFeature, anyChild, childRecords } from './children.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { Feature } from './features.js';
import { changeImage, imageById } from './images.js';
import { freezeHead, refer, release } from './layers.js';
import { mergeLater } from './merge.js';
import { checkNoNul } from './names.js';
import { whileQuiesced } from './quiesce.js';
import { removeImageRecords } from './remove.js';
import { imageKey, keys, type ImageRecord, type ImageRef, type IntentRecord, type SnapRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { changed } from './state.js';
import { transact } from './transact.js';
import { finishRemovals } from './volumes.js';

/** EEXIST, EDQUOT, ETIMEDOUT. Returns the snapshot's id. */
export async function createSnapshot(ctx: Context, image: ImageRef, { name, op }: { name: string; op?: string }): Promise<{ id: number }> {
  checkNoNul('snapshot name', name);
  const made = await ctx.ops.once<{ id: number }>(op, (finish) => {
    return whileQuiesced(ctx, image, 'snapshot', () => transact(ctx.store, async (tx) => {
      const record = await tx.get<ImageRecord>(keys.image(image));
      if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
      requireNoSnap(record, name);
      // A first one is always taken, also with a limit of 0, as Ceph's cls_rbd counts.
      if (record.snapLimit !== null && userSnaps(record).length >= Math.max(1, record.snapLimit)) {
        throw new ServiceError('EDQUOT', `image ${record.name} may have ${record.snapLimit} snapshots and no more`);
      }
      const id = ((await tx.get<number>(keys.counter('snap'))) ?? 3) + 1;
      tx.put(keys.counter('snap'), id);
      const frozen = await freezeHead(tx, record);
      await refer(tx, frozen.top.layer);
      const { size, top, parent } = frozen;
      const snap: SnapRecord = { id, name, size, top, parent, isProtected: false, createTime: ctx.now(), namespace: { type: 'user' } };
      tx.put(keys.image(image), { ...frozen, snaps: [...frozen.snaps, snap] });
      return finish(tx, { id });
    }));
  });
  mergeLater(ctx, image);
  return made;
}

export interface SnapChoice {
  readonly name?: string;
  readonly id?: number;
}

/** ENOENT; EBUSY while protected, or with clones of format 1. One with clones of format 2 goes to the trash until the last is gone. */
export async function removeSnapshot(ctx: Context, image: ImageRef, { op, ...choice }: SnapChoice & { op?: string }): Promise<void> {
  let trashedId: number | undefined;
  const intents = await ctx.ops.once<IntentRecord[]>(op, (finish) => ctx.imageLocks.run(imageKey(image), () => transact(ctx.store, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    const snap = choose(record, choice);
    trashedId = undefined;
    if (snap.isProtected) throw new ServiceError('EBUSY', `snapshot ${snap.name} is protected`);
    // Any of them tells: those of format 1 are of protected snapshots only.
    const child = await anyChild(ctx, image, snap.id);
    if (child?.format === 1) throw new ServiceError('EBUSY', `snapshot ${snap.name} has clones`);
    if (child) {
      if (snap.namespace.type === 'trash') throw new ServiceError('EBUSY', `snapshot ${snap.namespace.originalName} still has clones`);
      trashedId = snap.id;
      tx.put(keys.image(image), trashed(record, snap));
      return finish(tx, []);
    }
    tx.requireEmpty(keys.childrenOfSnap(image, snap.id));
    const condemned = await release(tx, snap.top.layer);
    tx.put(keys.image(image), withoutSnap(record, snap.id));
    return finish(tx, condemned);
  })));
  await changed(ctx, image);
  await finishRemovals(ctx, intents);
  mergeLater(ctx, image);
  // Its last clone may have gone while it went to the trash, and found it not there yet.
  if (trashedId !== undefined && !await anyChild(ctx, image, trashedId)) await dropTrashedSnap(ctx, image, trashedId);
}

/** The last clone of a snapshot in the trash is gone: so is the snapshot. */
export async function dropTrashedSnap(ctx: Context, image: ImageRef, snapId: number): Promise<void> {
  const record = await imageById(ctx, image).catch(() => undefined);
  if (record?.snaps.find(({ id }) => id === snapId)?.namespace.type !== 'trash') return;
  // Another clone that left at the same moment may have seen to it.
  await removeSnapshot(ctx, image, { id: snapId }).catch((error: unknown) => {
    if (!(error instanceof ServiceError) || error.errno !== 'ENOENT') throw error;
  });
}

/** ENOENT, EEXIST. RBD takes any name, the empty one too. */
export async function renameSnapshot(ctx: Context, image: ImageRef, { name, to }: { name: string; to: string }): Promise<void> {
  checkNoNul('snapshot name', to);
  await changeSnap(ctx, image, name, (snap, record) => {
    requireNoSnap(record, to);
    return { ...snap, name: to };
  });
}

/** ENOSYS where the image cannot have clones, whatever the snapshot; ENOENT; EBUSY where it is protected already. */
export async function protectSnapshot(ctx: Context, image: ImageRef, name: string): Promise<void> {
  const { features, name: imageName } = await imageById(ctx, image);
  if ((features & Feature.LAYERING) === 0) throw new ServiceError('ENOSYS', `image ${imageName} does not have the layering feature`);
  await changeSnap(ctx, image, name, (snap) => {
    if (snap.isProtected) throw new ServiceError('EBUSY', `snapshot ${name} is protected already`);
    return { ...snap, isProtected: true };
  });
}

/** ENOENT; EINVAL where it is not protected; EBUSY with clones of format 1. */
export async function unprotectSnapshot(ctx: Context, image: ImageRef, name: string): Promise<void> {
  await changeSnap(ctx, image, name, async (snap) => {
    if (!snap.isProtected) throw new ServiceError('EINVAL', `snapshot ${name} is not protected`);
    // A clone that is made meanwhile changes the image's record, and this is tried again.
    if ((await childRecords(ctx, image, snap.id)).some(({ format }) => format === 1)) throw new ServiceError('EBUSY', `snapshot ${name} has clones`);
    return { ...snap, isProtected: false };
  });
}

/** How many snapshots there may be; null: no limit. ERANGE below the number there is. */
export async function limitSnapshots(ctx: Context, image: ImageRef, limit: number | null): Promise<void> {
  await changeImage(ctx, image, (record) => {
    const count = userSnaps(record).length;
    if (limit !== null && limit < count) throw new ServiceError('ERANGE', `image ${record.name} has ${count} snapshots, more than ${limit}`);
    return { ...record, snapLimit: limit };
  });
  await changed(ctx, image);
}

/** Where a whole pool goes: an image with its snapshots, whatever was cloned from them. */
export async function removeWithSnapshots(ctx: Context, image: ImageRef): Promise<void> {
  const intents = await transact(ctx.store, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) return [];
    const condemned: IntentRecord[] = [];
    for (const snap of record.snaps) condemned.push(...await release(tx, snap.top.layer));
    tx.put(keys.image(image), { ...record, snaps: [] });
    return condemned;
  });
  await removeImageRecords(ctx, image);
  await finishRemovals(ctx, intents);
}

export function userSnaps(record: ImageRecord): SnapRecord[] {
  return record.snaps.filter(({ namespace }) => namespace.type === 'user');
}

/** ENOENT. */
export function userSnap(record: ImageRecord, name: string): SnapRecord {
  const snap = findUserSnap(record, name);
  if (!snap) throw new ServiceError('ENOENT', `image ${record.name} has no snapshot ${name}`);
  return snap;
}

/** EEXIST. */
export function requireNoSnap(record: ImageRecord, name: string): void {
  if (findUserSnap(record, name)) throw new ServiceError('EEXIST', `image ${record.name} has a snapshot ${name}`);
}

function findUserSnap(record: ImageRecord, name: string): SnapRecord | undefined {
  return userSnaps(record).find((snap) => snap.name === name);
}

/** ENOENT. */
export function choose(record: ImageRecord, { name, id }: SnapChoice): SnapRecord {
  if (id === undefined) return userSnap(record, name ?? '');
  const snap = record.snaps.find((one) => one.id === id);
  if (!snap) throw new ServiceError('ENOENT', `image ${record.name} has no snapshot with id ${id}`);
  return snap;
}

function withoutSnap(record: ImageRecord, id: number): ImageRecord {
  const snaps = record.snaps.filter((snap) => snap.id !== id);
  const stillTrash = snaps.some(({ namespace }) => namespace.type === 'trash');
  return { ...record, snaps, opFeatures: stillTrash ? record.opFeatures : record.opFeatures & ~OpFeature.SNAP_TRASH };
}

function trashed(record: ImageRecord, snap: SnapRecord): ImageRecord {
  const moved: SnapRecord = { ...snap, name: randomUUID(), namespace: { type: 'trash', originalName: snap.name } };
  return { ...record, snaps: record.snaps.map((one) => (one === snap ? moved : one)), opFeatures: record.opFeatures | OpFeature.SNAP_TRASH };
}

async function changeSnap(ctx: Context, image: ImageRef, name: string, change: (snap: SnapRecord, record: ImageRecord) => SnapRecord | Promise<SnapRecord>): Promise<void> {
  await changeImage(ctx, image, async (record) => {
    const snap = userSnap(record, name);
    const next = await change(snap, record);
    return { ...record, snaps: record.snaps.map((one) => (one === snap ? next : one)) };
  });
  await changed(ctx, image);
}

/** Whose snapshot changes: an open image that is not read-only. EROFS. */
export function snapshotTarget(open: OpenImage): ImageRef {
  if (open.readOnly) throw new ServiceError('EROFS', 'the image is open read-only');
  return open.image;
}
