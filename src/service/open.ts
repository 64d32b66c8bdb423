// Opening, taking up again and closing an image; its watchers and timestamps.
// Behind: rbd_open*, rbd_close, rbd_watchers_list, rbd_stat, rbd_get_*_timestamp.
import type { VolumeAccess } from '../backend/backend.js';
import { openLayers, stateFor } from './changes.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { changeImage, imageById, imageByName } from './images.js';
import type { At, ImageRecord } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { whereabouts } from './volumes.js';

export interface OpenRequest {
  readonly at: At;
  /** One of the two. */
  readonly name?: string;
  readonly id?: string;
  readonly snap?: string;
  readonly snapId?: number;
  readonly readOnly: boolean;
  readonly handle: number;
}

/** An image state and the descriptors that go with it; the caller releases `accesses` when they are sent. */
export interface OpenedState {
  readonly state: Record<string, unknown>;
  readonly accesses: VolumeAccess[];
}

/** ENOENT for a missing image or snapshot; EEXIST where the handle is taken. */
export async function openImage(ctx: Context, session: Session, request: OpenRequest): Promise<OpenedState> {
  const record = await findRequested(ctx, request);
  if (request.snap || request.snapId !== undefined) {
    throw new ServiceError('ENOENT', `image ${record.name} has no snapshot ${request.snap || request.snapId}`);
  }
  const open: OpenImage = { session, handle: request.handle, image: refOf(record), readOnly: request.readOnly, snapId: null, attached: true };
  await ctx.sessions.opened(open);
  try {
    return await refreshImage(ctx, open);
  } catch (error) {
    await ctx.sessions.closed(open);
    throw error;
  }
}

/** Takes up an image that the session had open before it lost the connection (or that the daemon forgot when it was restarted). */
export async function attachImage(ctx: Context, session: Session, request: OpenRequest): Promise<OpenedState> {
  const open = session.handles.get(request.handle);
  if (!open || open.image.id !== request.id) {
    if (open) await ctx.sessions.closed(open);
    return openImage(ctx, session, request);
  }
  open.attached = true;
  return refreshImage(ctx, open);
}

/** The state with the layers, opened anew. */
export async function refreshImage(ctx: Context, open: OpenImage): Promise<OpenedState> {
  const state = await stateFor(ctx, open);
  const { layers, accesses } = await openLayers(ctx, open);
  const fds = accesses.filter((access) => access.driver === 'file').length;
  return { state: { ...state, layers, fds }, accesses };
}

export async function closeImage(ctx: Context, open: OpenImage): Promise<void> {
  await ctx.sessions.closed(open);
  const stillOpen = [...open.session.handles.values()].some((other) => other.image.id === open.image.id);
  if (!stillOpen) await closeVolumes(ctx, open);
}

async function closeVolumes(ctx: Context, open: OpenImage): Promise<void> {
  const { backend } = await whereabouts(ctx, open.image.pool);
  await backend.closeVolumes(open.session.id);
}

/** RBD's watchers: who has it open other than read-only. */
export function watchersOf(ctx: Context, open: OpenImage): { address: string; id: number; cookie: number }[] {
  return ctx.sessions.watchersOf(open.image).map(({ session, handle }) => ({ address: session.address, id: session.id, cookie: handle }));
}

/** Notes that data was read or written. The intervals are the client's business (rbd_atime_update_interval). */
export async function touchImage(ctx: Context, open: OpenImage, what: { access: boolean; modify: boolean }): Promise<void> {
  const now = ctx.now();
  await changeImage(ctx, open.image, (record) => ({
    ...record, ...(what.access ? { accessTime: now } : {}), ...(what.modify ? { modifyTime: now } : {}),
  }));
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
