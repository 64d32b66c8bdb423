// What an image looks like to one who has it open (docs/protocol.md, "Image state"), and telling it to everybody.
import type { VolumeAccess } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { descriptorsOf, isShared, layerTag, lookAgain, openChain, readChain, releaseAll, viewOf, ChainMoved } from './layers.js';
import { configMetadata } from './metadata.js';
import { isLocked } from './locks.js';
import { findPoolById, poolConfig } from './pools.js';
import { keys, type ExclusiveLockRecord, type Hold, type ImageRecord, type ImageRef, type ParentRecord, type SnapRecord, type TrashRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { readRecord } from './transact.js';

/** An image state and the descriptors that go with it; the caller releases `accesses` when they are sent. */
export interface OpenedState {
  readonly state: Record<string, unknown>;
  readonly accesses: VolumeAccess[];
}

/** The state for one handle, with the volumes of layers that are not in `have`. ENOENT where the image is gone. */
export async function stateFor(ctx: Context, open: OpenImage, have: ReadonlySet<string>): Promise<OpenedState> {
  return lookAgain(async () => {
    const made = await stateOf(ctx, open, have);
    // While CurveBS was asked, a merge may have changed the chain, and be about to remove a volume.
    if (made.accesses.some(({ driver }) => driver !== 'file') && !await isStill(ctx, open, made)) {
      releaseAll(made.accesses);
      throw new ChainMoved(`image ${open.image.id} changes all the time`);
    }
    open.shown.told(made.state['serial'] as number, tagsOf(made));
    return made;
  });
}

/** Whether the chain is what the state says. */
async function isStill(ctx: Context, open: OpenImage, made: OpenedState): Promise<boolean> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(open.image));
  if (!record || (open.snapId !== null && !record.snaps.some(({ id }) => id === open.snapId))) return made.state['snapGone'] === true;
  const { size, top } = viewOf(record, open.snapId);
  const tags = (await readChain(ctx, top, size)).map(({ layer }) => layerTag(layer));
  return size === made.state['size'] && tags.join() === tagsOf(made).join();
}

function tagsOf({ state }: OpenedState): string[] {
  return (state['layers'] as { id: string }[]).map(({ id }) => id);
}

async function stateOf(ctx: Context, open: OpenImage, have: ReadonlySet<string>): Promise<OpenedState> {
  const serial = ctx.nextSerial();
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(open.image));
  if (!record) throw new ServiceError('ENOENT', `image ${open.image.id} is gone`);
  const lock = await readRecord<ExclusiveLockRecord>(ctx.store, keys.exclusiveLock(open.image));
  const snapGone = open.snapId !== null && !record.snaps.some(({ id }) => id === open.snapId);
  const { size, snap } = snapGone ? { size: 0, snap: undefined } : viewOf(record, open.snapId);
  const shared = await isShared(ctx, record);
  const state: Record<string, unknown> = {
    serial, ...describe(record), size,
    snaps: await describeSnaps(ctx, record),
    snapLimit: record.snapLimit,
    parent: await describeParent(ctx, snap ? snap.parent : record.parent),
    snapId: open.snapId, snapGone, head: record.head,
    readOnly: open.readOnly || open.snapId !== null,
    exclusiveLock: lock ? (holds(open, lock) ? 'mine' : 'other') : await isLocked(ctx, record) ? 'other' : null,
    metadata: await configMetadata(ctx, open.image),
    poolConfig: await poolConfig(ctx, open.image.pool),
    limitedBelow: (await findPoolById(ctx, open.image.pool))?.qos === 'backend',
  };
  const own = (): Hold | 'frozen' | 'shared' => {
    if (open.snapId !== null) return 'frozen';
    if (shared) return 'shared';
    // The head that it was granted since is in a later state.
    return open.holds === 'write' && !record.head ? 'read' : open.holds;
  };
  // Looked at when the message is written, so that it cannot pass a giveUp that went out since.
  Object.defineProperty(state, 'own', { enumerable: true, get: own });
  const { layers, accesses } = snapGone
    ? { layers: [], accesses: [] }
    : await openChain(ctx, open, record, { snapId: open.snapId, have });
  state['layers'] = layers;
  state['fds'] = descriptorsOf(accesses).length;
  return { state, accesses };
}

export function holds(open: OpenImage, lock: ExclusiveLockRecord): boolean {
  return lock.session === open.session.id && lock.handle === open.handle;
}

/** What is the same for everybody. */
export function describe(record: ImageRecord): Record<string, unknown> {
  const { id, name, size, order, features, opFeatures, flags, stripeUnit, stripeCount, dataPool, createTime, accessTime, modifyTime } = record;
  const prefix = dataPool === null ? `rbd_data.${id}` : `rbd_data.${record.pool}.${id}`;
  return {
    id, name, size, order, features: opFeatures === 0 ? features : features + operationsBit, opFeatures, flags, stripeUnit, stripeCount, prefix,
    createTime, accessTime, modifyTime, dataPool,
  };
}

/** RBD_FEATURE_OPERATIONS, which shows wherever there are op features. */
const operationsBit = 256;

async function describeSnaps(ctx: Context, record: ImageRecord): Promise<object[]> {
  const hasChildren = (await ctx.store.list({ prefix: keys.childrenOfImage(record), limit: 1 })).length > 0;
  return Promise.all(record.snaps.map(async (snap) => {
    const children = hasChildren ? (await ctx.store.list({ prefix: keys.childrenOfSnap(record, snap.id), limit: 1 })).length : 0;
    return { ...describeSnap(snap), children };
  }));
}

export function describeSnap({ id, name, size, isProtected, createTime, namespace }: SnapRecord): Record<string, unknown> {
  return { id, name, size, protected: isProtected, timestamp: createTime, namespace };
}

async function describeParent(ctx: Context, parent: ParentRecord | null): Promise<object | null> {
  if (!parent) return null;
  const image = await readRecord<ImageRecord>(ctx.store, keys.image(parent.image));
  const trash = await readRecord<TrashRecord>(ctx.store, keys.trash(parent.image));
  const snap = image?.snaps.find(({ id }) => id === parent.snapId);
  const pool = await findPoolById(ctx, parent.image.pool);
  return {
    ...parent.image, poolName: pool?.name ?? '', name: image?.name ?? '', snapId: parent.snapId, snapName: snap?.name ?? '',
    snapNamespace: snap?.namespace ?? { type: 'user' }, overlap: parent.overlap, trash: trash !== undefined,
  };
}

/** Tells one handle the image's state; returns when it has taken it, has gone, or two seconds have passed. */
export async function tellState(ctx: Context, open: OpenImage, method: 'image.changed' | 'image.resume'): Promise<void> {
  if (!open.session.channel || !open.attached) return;
  const { state, accesses } = await stateFor(ctx, open, open.shown.certain());
  const onAnswer = (): void => {
    // What it showed before may be removed now, once nobody else shows it either.
    open.shown.took(state['serial'] as number);
    ctx.retryRemovals?.();
  };
  // One that reads late gets them late: until then they must not be closed, for their numbers would be other files'.
  const passed = { fds: descriptorsOf(accesses), sent: () => releaseAll(accesses) };
  await ctx.sessions.askOne(open, method, { params: { state }, passed, onAnswer });
}

/** Tells everybody who has the image open; returns when all have taken it, or two seconds have passed. */
export async function changed(ctx: Context, image: ImageRef): Promise<void> {
  await Promise.all(ctx.sessions.openersOf(image).map((open) => tellState(ctx, open, 'image.changed').catch((error: unknown) => {
    ctx.log(`session ${open.session.id} could not be told of image ${image.id}: ${String(error)}`);
  })));
}
