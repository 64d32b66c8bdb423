// Advisory locks of an image, with the rules of Ceph's lock class. Behind: rbd_lock_exclusive/shared, rbd_unlock,
// rbd_break_lock, rbd_list_lockers. A process that dies loses its locks; one that ends in order leaves them (`rbd lock add`).
import { allNoted, freeLockOf } from './exclusive-lock.js';
import { changed } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { Feature } from './features.js';
import { imageById } from './images.js';
import { keys, type ExclusiveLockRecord, type ImageRecord, type ImageRef, type LockRecord } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { readRecord, transact } from './transact.js';

export interface LockRequest {
  readonly cookie: string;
  readonly tag: string;
  readonly exclusive: boolean;
}

/** EEXIST where this client holds it with this cookie; EBUSY where another does, where the kind or tag differs, or while a writer has the lock by itself. */
export async function addLock(ctx: Context, open: OpenImage, { cookie, tag, exclusive }: LockRequest): Promise<void> {
  const { session } = open;
  await allNoted(ctx, open.image);
  await transact(ctx.store, async (tx) => {
    const lock = await tx.get<LockRecord>(keys.lock(open.image));
    const lockers = lock?.lockers ?? [];
    const managed = await tx.get<ExclusiveLockRecord>(keys.exclusiveLock(open.image)) ?? await automaticHolder(ctx, open.image);
    if (managed) throw new ServiceError('EBUSY', `${managed.address} holds the exclusive lock`);
    if (lock && lock.tag !== tag) throw new ServiceError('EBUSY', `the lock is held with tag ${lock.tag}`);
    if (lockers.some((held) => held.client === session.client && held.cookie === cookie)) {
      throw new ServiceError('EEXIST', `the lock with cookie ${cookie} is held already`);
    }
    if (lock && (exclusive || lock.exclusive)) throw new ServiceError('EBUSY', `the lock is held by ${lockers[0]?.client ?? 'another'}`);
    const locker = { client: session.client, cookie, address: session.address, session: session.id };
    tx.put(keys.lock(open.image), { tag, exclusive, lockers: [...lockers, locker] } satisfies LockRecord);
  });
  // Its session may have ended while it waited for the store: what it held was released without this.
  if (!ctx.sessions.isLive(session)) await releaseLocksOf(ctx, session);
  ctx.sessions.requireLive(session);
  await changed(ctx, open.image);
}

/** ENOENT where this client does not hold it with this cookie. */
export async function removeLock(ctx: Context, open: OpenImage, cookie: string): Promise<void> {
  await dropLocker(ctx, open.image, { client: open.session.client, cookie });
}

interface Held {
  readonly client: string;
  readonly cookie: string;
}

/** Where who holds the lock is. EINVAL where `client` is no client's name; ENOENT where it does not hold the lock with this cookie. */
export async function lockerAddress(ctx: Context, image: ImageRef, { client, cookie }: Held): Promise<string> {
  if (!/^(client|mon|osd|mds|mgr|auth)\../.test(client)) throw new ServiceError('EINVAL', `${client} is not a client's name`);
  const { lockers } = await readLock(ctx, image);
  const locker = lockers.find((one) => one.client === client && one.cookie === cookie);
  if (!locker) throw new ServiceError('ENOENT', `${client} does not hold the lock with cookie ${cookie}`);
  return locker.address;
}

/** Takes the lock from who holds it, also one that a writer has by itself ("internal"). ENOENT where it was lost meanwhile. */
export async function breakLock(ctx: Context, open: OpenImage, held: Held): Promise<void> {
  const lock = await readRecord<LockRecord>(ctx.store, keys.lock(open.image));
  if (lock?.lockers.some(({ client, cookie }) => client === held.client && cookie === held.cookie)) return dropLocker(ctx, open.image, held);
  // Who was shut out has lost it by that.
  const { tag, lockers } = await readLock(ctx, open.image);
  const [internal] = tag === 'internal' ? lockers : [];
  if (internal?.client === held.client && internal.cookie === held.cookie) await freeLockOf(ctx, open.image, internal.address);
  await changed(ctx, open.image);
}

/**
 * An advisory lock keeps everybody from writing to an image that has the exclusive lock, its holder too, for the two are one lock in
 * Ceph. (There a write waits for ever while the holder lives.) EROFS.
 */
export async function requireNoLock(ctx: Context, image: ImageRecord): Promise<void> {
  if (await isLocked(ctx, image)) throw new ServiceError('EROFS', `image ${image.name} has a lock, held from outside`);
}

export async function isLocked(ctx: Context, image: ImageRecord): Promise<boolean> {
  if ((image.features & Feature.EXCLUSIVE_LOCK) === 0) return false;
  return ((await readRecord<LockRecord>(ctx.store, keys.lock(image)))?.lockers.length ?? 0) > 0;
}

/** The lock as Ceph shows it; one that was taken with lock_acquire, or that a writer has by itself, is there with the tag "internal". */
export async function readLock(ctx: Context, image: ImageRef): Promise<LockRecord> {
  await allNoted(ctx, image);
  const advisory = await readRecord<LockRecord>(ctx.store, keys.lock(image));
  if (advisory && advisory.lockers.length > 0) return advisory;
  const managed = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(image)) ?? await automaticHolder(ctx, image);
  if (managed) {
    const { session, handle, address } = managed;
    return { tag: 'internal', exclusive: true, lockers: [{ client: `client.${session}`, cookie: `auto ${handle}`, address, session }] };
  }
  return { tag: '', exclusive: false, lockers: [] };
}

/** Who wrote last to an image that has the feature: he has RBD's lock without having asked for it. */
async function automaticHolder(ctx: Context, image: ImageRef): Promise<ExclusiveLockRecord | undefined> {
  const writer = ctx.sessions.writerOf(image);
  if (!writer || ((await imageById(ctx, image)).features & Feature.EXCLUSIVE_LOCK) === 0) return undefined;
  return { session: writer.session.id, handle: writer.handle, address: writer.session.address };
}

/** A process died: what it held is free. */
export async function releaseLocksOf(ctx: Context, session: Session): Promise<void> {
  for (const { key, value } of await ctx.store.list({ prefix: keys.locks })) {
    if (!(JSON.parse(value) as LockRecord).lockers.some((locker) => locker.session === session.id)) continue;
    await transact(ctx.store, async (tx) => {
      const lock = await tx.get<LockRecord>(key);
      if (!lock) return;
      const lockers = lock.lockers.filter((locker) => locker.session !== session.id);
      if (lockers.length > 0) tx.put(key, { ...lock, lockers });
      else tx.remove(key);
    });
    // It may have kept others from writing.
    const [image] = ctx.sessions.openImages().filter((open) => keys.lock(open) === key);
    if (image) await changed(ctx, image);
  }
}

async function dropLocker(ctx: Context, image: ImageRef, { client, cookie }: Held): Promise<void> {
  await transact(ctx.store, async (tx) => {
    const lock = await tx.get<LockRecord>(keys.lock(image));
    const lockers = lock?.lockers.filter((held) => held.client !== client || held.cookie !== cookie) ?? [];
    if (!lock || lockers.length === lock.lockers.length) throw new ServiceError('ENOENT', `${client} does not hold the lock with cookie ${cookie}`);
    if (lockers.length > 0) tx.put(keys.lock(image), { ...lock, lockers });
    else tx.remove(keys.lock(image));
  });
  await changed(ctx, image);
}
