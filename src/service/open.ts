// Opening, taking up again and closing an image; its watchers and timestamps.
// Behind: rbd_open*, rbd_close, rbd_watchers_list, rbd_stat, rbd_get_*_timestamp.
import type { Context } from './context.js';
import { dropExclusiveLock } from './exclusive-lock.js';
import { changeImage, imageById, imageByName } from './images.js';
import { ChainMoved, layerTag, lookAgain, openChain, readChain, releaseAll, viewOf, type OpenedLayers } from './layers.js';
import { holdForOpener } from './ownership.js';
import { imageKey, type At, type ImageRecord } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { Shown } from './shown.js';
import { userSnap } from './snapshots.js';
import { stateFor, type OpenedState } from './state.js';

export interface OpenRequest {
  readonly at: At;
  /** One of the two. */
  readonly name?: string;
  readonly id?: string;
  readonly snap?: string;
  readonly snapId?: number;
  readonly readOnly: boolean;
  readonly handle: number;
  /** Attach: what the client believes to hold. */
  readonly own?: string;
  /** Attach: it has quiesce watchers. */
  readonly listens?: boolean;
}

/** ENOENT for a missing image or snapshot; EEXIST where the handle is taken. */
export async function openImage(ctx: Context, session: Session, request: OpenRequest): Promise<OpenedState> {
  // The connection was lost before the answer to an open arrived, and the client asks again.
  const unanswered = session.handles.get(request.handle);
  if (unanswered && !unanswered.attached) await ctx.sessions.closed(unanswered);
  let record = await findRequested(ctx, request);
  while (ctx.removing.has(imageKey(record))) {
    await ctx.imageLocks.run(imageKey(record), async () => undefined);
    record = await findRequested(ctx, request);
  }
  // From here to `opened` nothing is awaited, so that a removal sees the opener or the opener the removal.
  const image = refOf(record);
  const open: OpenImage = {
    session, handle: request.handle, image, readOnly: request.readOnly, snapId: requestedSnap(record, request),
    holds: holdForOpener(ctx, image), mayStillWrite: false, fenced: false, listens: request.listens ?? false, shown: new Shown(), alsoShows: new Set(), attached: true,
  };
  await ctx.sessions.opened(open);
  try {
    return await stateFor(ctx, open, new Set());
  } catch (error) {
    await ctx.sessions.closed(open);
    throw error;
  }
}

/**
 * Takes up an image that the session had open before it lost the connection. What it held then it still holds; what it
 * believes to hold (`own`) counts where the daemon forgot it with the session.
 */
export async function attachImage(ctx: Context, session: Session, request: OpenRequest): Promise<OpenedState> {
  const known = session.handles.get(request.handle);
  if (!known || known.image.id !== request.id) {
    if (known) await ctx.sessions.closed(known);
    return openImage(ctx, session, request);
  }
  known.listens = request.listens ?? false;
  // It was asked to give up, and the question or its answer was lost: it is asked again when it is back.
  if (known.mayStillWrite && (request.own ?? 'write') === 'write') known.holds = 'write';
  return stateFor(ctx, known, new Set());
}

/** The answer to an attach is on its way: from now on the handle can be asked. */
export function finishAttach(ctx: Context, session: Session, handle: number): void {
  const open = session.handles.get(handle);
  if (open) open.attached = true;
  ctx.sessions.stir();
}

/** The state with the layers; volumes of those in `have` are not opened again. */
export async function refreshImage(ctx: Context, open: OpenImage, have: ReadonlySet<string> = new Set()): Promise<OpenedState> {
  // A change that has quiesced the image is waited for: the answer is what came of it.
  return ctx.imageLocks.run(imageKey(open.image), () => stateFor(ctx, open, have));
}

/** The client has taken the state of that serial, which was the answer to a call. */
export function tookState(ctx: Context, open: OpenImage, serial: number): void {
  open.shown.took(serial);
  ctx.retryRemovals?.();
}

/** The chain of a snapshot, or of the image, beside what the handle shows; its volumes stay until the handle is closed. The caller releases the accesses. ENOENT. */
export async function openBeside(ctx: Context, open: OpenImage, options: { snapId: number | null; have: ReadonlySet<string> }): Promise<OpenedLayers & { size: number }> {
  return lookAgain(async () => {
    const record = await imageById(ctx, open.image);
    const { size, top } = viewOf(record, options.snapId);
    // Before they are opened, so that a merge that commits meanwhile leaves the volumes.
    for (const { layer } of await readChain(ctx, top, size)) open.alsoShows.add(layerTag(layer));
    const opened = await openChain(ctx, open, record, { ...options, beside: true });
    if (opened.layers.every(({ id }) => open.alsoShows.has(id))) return { ...opened, size };
    releaseAll(opened.accesses);
    throw new ChainMoved(`image ${open.image.id} changes all the time`);
  });
}

/** Moves a handle to a snapshot, or back to the image. ENOENT. */
export async function setSnapshot(ctx: Context, open: OpenImage, snapId: number | null): Promise<OpenedState> {
  viewOf(await imageById(ctx, open.image), snapId);
  // A handle at a snapshot has no lock, as in Ceph.
  if (snapId !== null) {
    await dropExclusiveLock(ctx, open);
    ctx.sessions.dropWriter(open);
  }
  open.snapId = snapId;
  open.holds = snapId === null ? holdForOpener(ctx, open.image) : 'none';
  await ctx.sessions.record(open.session);
  return stateFor(ctx, open, new Set());
}

/** The client has closed the volumes itself. */
export async function closeImage(ctx: Context, open: OpenImage): Promise<void> {
  await ctx.sessions.closed(open);
  for (const backend of ctx.backends.values()) backend.forgetVolumes(open.session.id, open.handle);
}

/** RBD's watchers: who has it open other than read-only. */
export function watchersOf(ctx: Context, open: OpenImage): { address: string; id: number; cookie: number }[] {
  const watchers = [...ctx.sessions.watchersOf(open.image), ...ctx.objectWatches.headerWatchersOf(open.image)];
  return watchers.map(({ session, handle }) => ({ address: session.address, id: session.id, cookie: handle }));
}

/** Notes that data was read or written. The intervals are the client's business (rbd_atime_update_interval). */
export async function touchImage(ctx: Context, open: OpenImage, what: { access: boolean; modify: boolean }): Promise<void> {
  const now = ctx.now();
  await changeImage(ctx, open.image, (record) => ({
    ...record, ...(what.access ? { accessTime: now } : {}), ...(what.modify ? { modifyTime: now } : {}),
  }));
}

function requestedSnap(record: ImageRecord, { snap, snapId }: OpenRequest): number | null {
  if (snapId !== undefined) return viewOf(record, snapId).snap?.id ?? null;
  if (snap === undefined || snap === '') return null;
  return userSnap(record, snap).id;
}

/** ENOENT where the image that is to be opened does not exist. */
export async function requireImage(ctx: Context, request: OpenRequest): Promise<void> {
  await findRequested(ctx, request);
}

async function findRequested(ctx: Context, request: OpenRequest): Promise<ImageRecord> {
  if (request.id !== undefined) return imageById(ctx, { ...request.at, id: request.id });
  return imageByName(ctx, request.at, request.name ?? '');
}

function refOf({ pool, namespace, id }: ImageRecord): OpenImage['image'] {
  return { pool, namespace, id };
}
