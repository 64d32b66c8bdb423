// The managed exclusive lock, as far as a client asks for it. Behind: rbd_lock_acquire/release/break, rbd_lock_get_owners,
// rbd_is_exclusive_lock_owner. A cow head's ownership is another matter: ownership.ts.
import { changed, holds } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { Feature } from './features.js';
import { imageById } from './images.js';
import { isLocked } from './locks.js';
import { keys, type ExclusiveLockRecord, type ImageRef } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { readRecord, transact } from './transact.js';

/**
 * From now on the handle has the lock only when it asks for it, and gives it to nobody who does not: it "manages" it.
 * EINVAL without the feature, or on a read-only handle; EROFS where another holds it. Gives the serial since which it has it.
 */
export async function acquireLock(ctx: Context, open: OpenImage): Promise<number> {
  await requireFeature(ctx, open.image);
  open.managesLock = true;
  if (open.readOnly || open.snapId !== null) throw new ServiceError('EINVAL', 'a read-only handle has no exclusive lock');
  await allNoted(ctx, open.image);
  await transact(ctx.store, async (tx) => {
    const held = await tx.get<ExclusiveLockRecord>(keys.exclusiveLock(open.image));
    if (await isLocked(ctx, await imageById(ctx, open.image))) throw new ServiceError('EROFS', 'the image has an advisory lock');
    if (held && !holds(open, held)) throw new ServiceError('EROFS', `${held.address} holds the exclusive lock`);
    const record: ExclusiveLockRecord = { session: open.session.id, handle: open.handle, address: open.session.address };
    tx.put(keys.exclusiveLock(open.image), record);
  }, { survives: 'process-death' });
  const serial = ctx.nextSerial();
  // Who wrote last has it no more, also when it is free again; he is told below, as all others are.
  const writer = ctx.sessions.writerOf(open.image);
  if (writer !== undefined && writer !== open) ctx.sessions.dropWriter(writer);
  // It may have been closed, or its session ended, while it waited for the store: what it held was released without this.
  if (!ctx.sessions.isOpen(open)) {
    await dropExclusiveLock(ctx, open);
    ctx.sessions.requireLive(open.session);
    throw new ServiceError('EINVAL', `handle ${open.handle} was closed meanwhile`);
  }
  await tellOthers(ctx, open, 'image.lockTaken', serial);
  return serial;
}

/** EROFS where another handle asked for the lock, has it, and gives it to nobody. */
export async function requireNotHeldByOther(ctx: Context, open: OpenImage): Promise<void> {
  const held = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(open.image));
  if (held && !holds(open, held)) throw new ServiceError('EROFS', `${held.address} holds the exclusive lock`);
}

/** Also a lock that came by writing is given back. EINVAL where this handle has neither. Gives the serial since which it has none. */
export async function releaseLock(ctx: Context, open: OpenImage): Promise<number> {
  await allNoted(ctx, open.image);
  await requireFeature(ctx, open.image);
  const asked = await transact(ctx.store, async (tx) => {
    const held = await tx.get<ExclusiveLockRecord>(keys.exclusiveLock(open.image));
    if (held ? !holds(open, held) : ctx.sessions.writerOf(open.image) !== open) throw new ServiceError('EINVAL', 'this handle does not hold the exclusive lock');
    if (held) tx.remove(keys.exclusiveLock(open.image));
    return held !== undefined;
  }, { survives: 'process-death' });
  const serial = ctx.nextSerial();
  ctx.sessions.dropWriter(open);
  if (asked) await tellOthers(ctx, open, 'image.lockFreed', serial);
  return serial;
}

/**
 * Who holds the lock: who asked for it, or else who wrote last (RBD's automatic lock); undefined where nobody does. Elsewhere: another
 * handle than this one.
 */
export async function lockHolder(ctx: Context, open: OpenImage): Promise<{ address: string; isElsewhere: boolean } | undefined> {
  await allNoted(ctx, open.image);
  const held = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(open.image));
  if (held) return { address: held.address, isElsewhere: !holds(open, held) };
  const writer = ctx.sessions.writerOf(open.image);
  return writer && { address: writer.session.address, isElsewhere: writer !== open };
}

/** `note` finds out whether a write of the handle brings it the lock. It settles as `note` does. */
export async function noting(open: OpenImage, note: Promise<void>): Promise<void> {
  open.noting = note.catch(() => undefined);
  await note;
}

/** Returns when what clients said of writes until now counts. Clients do not wait for that themselves. */
export async function allNoted(ctx: Context, image: ImageRef): Promise<void> {
  await Promise.all(ctx.sessions.openersOf(image).map((open) => open.noting));
}

/** A handle is about to write for the first time since another did: RBD's lock moves to it by itself. No I/O waits for this. */
export function noteWriter(ctx: Context, open: OpenImage): void {
  const before = ctx.sessions.writerOf(open.image);
  if (before === open) return;
  ctx.sessions.setWriter(open);
  before?.session.channel?.notify('image.lockMoved', { handle: before.handle });
}

/**
 * The same for a call that changes the image; `from` 'free': only where nobody wrote. Gives the serial since which the handle has the lock,
 * if it has: who had it has been told, and has answered, when the call returns.
 */
export async function takeLockByUse(ctx: Context, open: OpenImage, { from }: { from: 'free' | 'any' }): Promise<number | undefined> {
  await allNoted(ctx, open.image);
  const serial = ctx.nextSerial();
  const held = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(open.image));
  if (held && !holds(open, held)) return undefined;
  const before = ctx.sessions.writerOf(open.image);
  if (open.managesLock) return held ? serial : takeManagedLock(ctx, open, { from, before });
  if (before !== undefined && (from === 'free' || before === open)) return before === open ? serial : undefined;
  ctx.sessions.setWriter(open);
  if (before) await ctx.sessions.askOne(before, 'image.lockMoved', { params: {} });
  return serial;
}

async function takeManagedLock(ctx: Context, open: OpenImage, { from, before }: { from: 'free' | 'any'; before: OpenImage | undefined }): Promise<number | undefined> {
  if (before !== undefined && before !== open && from === 'free') return undefined;
  if (((await imageById(ctx, open.image)).features & Feature.EXCLUSIVE_LOCK) === 0) return undefined;
  return acquireLock(ctx, open);
}

/**
 * Somebody who has the image not open takes the lock to remove it or put it into the trash: who has it by writing loses it, whatever
 * comes of that. False where it is held by one who asked for it.
 */
export async function takeLockFromWriter(ctx: Context, image: ImageRef): Promise<boolean> {
  await allNoted(ctx, image);
  if (await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(image))) return false;
  await forgetWriter(ctx, image);
  return true;
}

/** Who wrote last, if anybody, has the lock no more; he has been told, and has answered, when this returns. */
export async function forgetWriter(ctx: Context, image: ImageRef): Promise<void> {
  const writer = ctx.sessions.writerOf(image);
  if (writer === undefined) return;
  ctx.sessions.dropWriter(writer);
  await ctx.sessions.askOne(writer, 'image.lockMoved', { params: {} });
}

/** EINVAL without the feature, EROFS on a read-only handle, ENOENT where nobody holds the lock, EBUSY where `address` does not. */
export async function requireOwner(ctx: Context, open: OpenImage, address: string): Promise<void> {
  await requireFeature(ctx, open.image);
  if (open.readOnly) throw new ServiceError('EROFS', 'the image is open read-only');
  const holder = await lockHolder(ctx, open);
  if (holder === undefined) throw new ServiceError('ENOENT', 'nobody holds the exclusive lock');
  if (holder.address !== address) throw new ServiceError('EBUSY', `${holder.address} holds the exclusive lock, not ${address}`);
}

/** Takes the lock from `address`; nothing to do where he lost it meanwhile. */
export async function breakExclusiveLock(ctx: Context, open: OpenImage, address: string): Promise<void> {
  await freeLockOf(ctx, open.image, address);
  await changed(ctx, open.image);
}

/** Whoever holds the lock at `address`, by a call or by having written, has it no more. */
export async function freeLockOf(ctx: Context, image: ImageRef, address: string): Promise<void> {
  await transact(ctx.store, async (tx) => {
    if ((await tx.get<ExclusiveLockRecord>(keys.exclusiveLock(image)))?.address === address) tx.remove(keys.exclusiveLock(image));
  }, { survives: 'process-death' });
  if (ctx.sessions.writerOf(image)?.session.address === address) await forgetWriter(ctx, image);
}

/** The handle is closed, or its process is gone. */
export async function dropExclusiveLock(ctx: Context, open: OpenImage): Promise<void> {
  const dropped = await transact(ctx.store, async (tx) => {
    const held = await tx.get<ExclusiveLockRecord>(keys.exclusiveLock(open.image));
    if (!held || !holds(open, held)) return false;
    tx.remove(keys.exclusiveLock(open.image));
    return true;
  }, { survives: 'process-death' });
  if (dropped) await tellOthers(ctx, open, 'image.lockFreed', ctx.nextSerial());
}

export async function dropExclusiveLocksOf(ctx: Context, session: Session): Promise<void> {
  for (const open of [...session.handles.values()]) await dropExclusiveLock(ctx, open);
}

async function requireFeature(ctx: Context, image: ImageRef): Promise<void> {
  const { features, name } = await imageById(ctx, image);
  if ((features & Feature.EXCLUSIVE_LOCK) === 0) throw new ServiceError('EINVAL', `image ${name} does not have the exclusive-lock feature`);
}

// The serial lets them tell a state that was made before from one that knows of it.
async function tellOthers(ctx: Context, open: OpenImage, method: string, serial: number): Promise<void> {
  const others = ctx.sessions.openersOf(open.image).filter((other) => other !== open);
  await Promise.all(others.map((other) => ctx.sessions.askOne(other, method, { params: { serial } })));
}
