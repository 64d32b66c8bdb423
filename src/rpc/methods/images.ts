// image.* as docs/protocol.md has them.
import type { ByteRange } from '../../backend/backend.js';
import { descriptorsOf, releaseAll } from '../../service/layers.js';
import { allocatedOf } from '../../service/allocated.js';
import { giveUpOwnership, isLayerCurrent, takeOwnership } from '../../service/ownership.js';
import { describe, type OpenedState } from '../../service/state.js';
import { addToBlocklist } from '../../service/blocklist.js';
import { acquireLock, breakExclusiveLock, dropExclusiveLock, lockHolder, noteWriter, noting, releaseLock, requireOwner } from '../../service/exclusive-lock.js';
import { ServiceError } from '../../service/errors.js';
import { updateFeatures } from '../../service/features.js';
import { createImage, imageById, imageByName, listImages, renameImage, type CreateOptions } from '../../service/images.js';
import { addLock, breakLock, isLocked, lockerAddress, readLock, removeLock } from '../../service/locks.js';
import { getMetadata, listMetadata, removeMetadata, setMetadata } from '../../service/metadata.js';
import { attachImage, closeImage, finishAttach, openBeside, openImage, refreshImage, requireImage, setSnapshot, tookState, touchImage, watchersOf, type OpenRequest } from '../../service/open.js';
import { findPool } from '../../service/pools.js';
import type { At } from '../../service/records.js';
import { removeImage } from '../../service/remove.js';
import { resizeImage } from '../../service/resize.js';
import { sparsifyImage } from '../../service/sparsify.js';
import { described, type OpenImage } from '../../service/sessions.js';
import type { Answer } from '../connection.js';
import { done, openFor, opOf, placeFor, type Call, type Methods } from '../method.js';
import type { Params } from '../params.js';

/** How many characters of a client's own words go into the log. */
const maxReason = 500;

export const imageMethods: Methods = {
  'image.create': async (call) => {
    const { ctx, session, params } = call;
    const at = await placeFor(call, 'rwx');
    const request = { at, name: params.text('name'), size: params.number('size'), options: createOptions(params.object('options')), ...opOf(call) };
    await requireDataPool(call, request);
    return { result: await createImage(ctx, session, request) };
  },
  'image.list': async (call) => ({ result: { images: await listImages(call.ctx, await placeFor(call, 'rx')) } }),
  'image.stat': async (call) => {
    const at = await placeFor(call, 'rx');
    return { result: describe(await imageByName(call.ctx, at, call.params.text('name'))) };
  },
  'image.open': async (call) => answerWithState(await openImage(call.ctx, call.session, await openRequest(call))),
  'image.attach': async (call) => {
    const { ctx, session, params } = call;
    const answer = answerWithState(await attachImage(ctx, session, await openRequest(call)));
    const sent = (): void => {
      answer.sent?.();
      finishAttach(ctx, session, params.number('handle'));
    };
    return { ...answer, sent };
  },
  'image.refresh': async (call) => answerWithState(await refreshImage(call.ctx, await openFor(call, 'rx'))),
  'image.took': async (call) => {
    tookState(call.ctx, call.session.open(call.params.number('handle')), call.params.number('serial'));
    return done;
  },
  'image.snap': async (call) => {
    const open = await openFor(call, 'rx');
    return answerWithState(await setSnapshot(call.ctx, open, call.params.has('snapId') ? call.params.number('snapId') : null));
  },
  'layer.own': async (call) => {
    const mode = call.params.text('mode');
    if (mode !== 'read' && mode !== 'write') throw new ServiceError('EINVAL', `mode ${mode} is neither read nor write`);
    const open = await openFor(call, mode === 'write' ? 'rwx' : 'rx');
    await takeOwnership(call.ctx, open, mode);
    return answerWithState(await refreshImage(call.ctx, open, have(call)));
  },
  'layer.get': async (call) => ({ result: { current: await isLayerCurrent(call.ctx, await openFor(call, 'rx'), call.params.text('layer')) } }),
  'layer.allocated': async (call) => {
    const [open, offset, length] = [await openFor(call, 'rx'), call.params.number('offset'), call.params.number('length')];
    if (!Number.isSafeInteger(offset + length)) throw new ServiceError('EINVAL', `offset ${offset} and length ${length} are too large`);
    const found = await allocatedOf(call.ctx, open, { tag: call.params.text('layer'), offset, length });
    return { result: { allocated: found.map((range) => [range.offset, range.length]) } };
  },
  'layer.release': async (call) => {
    const to = call.params.text('to', 'none');
    if (to !== 'none' && to !== 'read') throw new ServiceError('EINVAL', `to ${to} is neither none nor read`);
    await giveUpOwnership(call.ctx, await openFor(call, 'rx'), to);
    return done;
  },
  'layer.chain': async (call) => {
    const open = await openFor(call, 'rx');
    const snapId = call.params.has('snapId') ? call.params.number('snapId') : null;
    const { size, layers, accesses } = await openBeside(call.ctx, open, { snapId, have: have(call) });
    const fds = descriptorsOf(accesses);
    return { result: { layers, size, fds: fds.length }, fds, sent: () => releaseAll(accesses) };
  },
  'image.close': async ({ ctx, session, params }) => {
    const open = session.open(params.number('handle'));
    const failed = params.text('failed', '');
    if (failed !== '') {
      const { name } = await imageById(ctx, open.image);
      ctx.log(`${described(session.identity)} could not open image ${JSON.stringify(name)}: ${JSON.stringify(failed.slice(0, maxReason))}`);
    }
    await dropExclusiveLock(ctx, open);
    await closeImage(ctx, open);
    return done;
  },
  'image.resize': async (call) => {
    const open = writable(await openFor(call, 'rwx'));
    const { params } = call;
    await resizeImage(call.ctx, open.image, { size: params.number('size'), allowShrink: params.flag('allowShrink', true), ...opOf(call) });
    return done;
  },
  'image.sparsify': async (call) => {
    const open = writable(await openFor(call, 'rwx'));
    return { result: { by: await sparsifyImage(call.ctx, open.image, { ranges: rangesOf(call.params), grain: call.params.number('grain') }) } };
  },
  'image.rename': async (call) => {
    const at = await placeFor(call, 'rwx');
    await renameImage(call.ctx, { at, name: call.params.text('name'), to: call.params.text('to'), ...opOf(call) });
    return done;
  },
  'image.remove': async (call) => {
    const at = await placeFor(call, 'rwx');
    await removeImage(call.ctx, { at, name: call.params.text('name'), ...opOf(call) });
    return done;
  },
  'image.features': async (call) => {
    const open = writable(await openFor(call, 'rwx'));
    await updateFeatures(call.ctx, open.image, call.params.number('features'), { enabled: call.params.flag('enabled') });
    return done;
  },
  'image.touch': async (call) => {
    const open = await openFor(call, 'rx');
    await touchImage(call.ctx, open, { access: call.params.flag('access', false), modify: call.params.flag('modify', false) && !open.readOnly });
    return done;
  },
  'image.wrote': async (call) => {
    const note = async (): Promise<void> => {
      const open = await openFor(call, 'rwx');
      // What a lock kept from being written was tried only.
      if (!await isLocked(call.ctx, await imageById(call.ctx, open.image))) noteWriter(call.ctx, open);
    };
    // At once, so that what the client asks next waits for it.
    await noting(call.session.open(call.params.number('handle')), note());
    return done;
  },
  // What it is for is done by lock-takers.ts.
  'image.use': async (call) => {
    writable(await openFor(call, 'rwx'));
    return done;
  },
  'image.listen': async (call) => {
    (await openFor(call, 'rx')).listens = call.params.flag('quiesce');
    return done;
  },
  'image.watchers': async (call) => ({ result: { watchers: watchersOf(call.ctx, await openFor(call, 'rx')) } }),

  'image.metadata.get': async (call) => {
    const open = await openFor(call, 'rx');
    return { result: { value: await getMetadata(call.ctx, open.image, call.params.text('key')) } };
  },
  'image.metadata.set': async (call) => {
    const open = writable(await openFor(call, 'rwx'));
    await setMetadata(call.ctx, open.image, call.params.text('key'), call.params.text('value'));
    return done;
  },
  'image.metadata.remove': async (call) => {
    const open = writable(await openFor(call, 'rwx'));
    await removeMetadata(call.ctx, open.image, call.params.text('key'));
    return done;
  },
  'image.metadata.list': async (call) => {
    const open = await openFor(call, 'rx');
    const range = { start: call.params.text('start', ''), max: call.params.number('max', 0) };
    return { result: { entries: await listMetadata(call.ctx, open.image, range) } };
  },

  'image.lock.list': async (call) => {
    const { tag, exclusive, lockers } = await readLock(call.ctx, (await openFor(call, 'rx')).image);
    return { result: { tag, exclusive, lockers: lockers.map(({ client, cookie, address }) => ({ client, cookie, address })) } };
  },
  'image.lock.add': async (call) => {
    const { params } = call;
    const open = await openFor(call, 'rwx');
    await addLock(call.ctx, open, { cookie: params.text('cookie', ''), tag: params.text('tag', ''), exclusive: params.flag('exclusive') });
    return done;
  },
  'image.lock.remove': async (call) => {
    await removeLock(call.ctx, await openFor(call, 'rwx'), call.params.text('cookie', ''));
    return done;
  },
  'image.lock.break': async (call) => {
    const { ctx, params } = call;
    const open = await openFor(call, 'rwx');
    const held = { client: params.text('client'), cookie: params.text('cookie', '') };
    await shutOut(call, await lockerAddress(ctx, open.image, held));
    await breakLock(ctx, open, held);
    return done;
  },

  'image.xlock.acquire': async (call) => {
    return { result: { serial: await acquireLock(call.ctx, await openFor(call, 'rwx')) } };
  },
  'image.xlock.release': async (call) => {
    return { result: { serial: await releaseLock(call.ctx, await openFor(call, 'rwx')) } };
  },
  'image.xlock.owners': async (call) => {
    const holder = await lockHolder(call.ctx, await openFor(call, 'rx'));
    return { result: { owners: holder ? [{ address: holder.address }] : [], elsewhere: holder?.isElsewhere ?? false } };
  },
  'image.xlock.break': async (call) => {
    const open = await openFor(call, 'rwx');
    const owner = call.params.text('owner');
    await requireOwner(call.ctx, open, owner);
    await shutOut(call, owner);
    await breakExclusiveLock(call.ctx, open, owner);
    return done;
  },
};

/**
 * Whose lock is broken loses what he has open, and his session with it, as librbd has it: rbd_blocklist_on_break_lock and
 * rbd_blocklist_expire_seconds, as the client has them or else as the daemon's configuration says. EACCES without the right.
 */
async function shutOut({ ctx, identity, params }: Call, address: string): Promise<void> {
  const isWanted = params.has('blocklist') ? params.flag('blocklist') : ctx.clientConfig(identity.entity)['rbd_blocklist_on_break_lock'] !== 'false';
  if (!isWanted) return;
  identity.requireMon('rw', 'osd blocklist');
  await addToBlocklist(ctx, address, params.number('expire', ctx.configNumber(identity.entity, 'rbd_blocklist_expire_seconds', 0)));
}

/** `ranges`: offset, length, offset, length ... EINVAL. */
function rangesOf(params: Params): ByteRange[] {
  const numbers = params.numbers('ranges');
  if (numbers.length % 2 !== 0) throw new ServiceError('EINVAL', 'ranges must be pairs of offset and length');
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({ offset: numbers[2 * i]!, length: numbers[2 * i + 1]! }));
}

/** The layers that the caller has open already. */
function have({ params }: Call): Set<string> {
  return new Set(params.has('have') ? params.texts('have') : []);
}

export function createOptions(options: Params): CreateOptions {
  return {
    ...options.optionalNumber('format'), ...options.optionalNumber('order'), ...options.optionalNumber('features'),
    ...options.optionalNumber('featuresSet'), ...options.optionalNumber('featuresClear'), ...options.optionalNumber('stripeUnit'),
    ...options.optionalNumber('stripeCount'), ...options.optionalText('dataPool'), ...options.optionalNumber('mirrorImageMode'),
  };
}

/** Data in another pool needs the rights there, too. EPERM. */
export async function requireDataPool({ ctx, identity }: Call, { at, options: { dataPool } }: { at: At; options: CreateOptions }): Promise<void> {
  if (dataPool && await findPool(ctx, dataPool)) identity.require('rwx', { pool: dataPool, namespace: at.namespace });
}

async function openRequest(call: Call): Promise<OpenRequest> {
  const { params } = call;
  const at = await placeFor(call, 'rx');
  if (!params.has('id') && !params.has('name')) throw new ServiceError('EINVAL', 'name or id must be given');
  const request: OpenRequest = {
    at, ...params.optionalText('name'), ...params.optionalText('id'), ...params.optionalText('snap'), ...params.optionalNumber('snapId'),
    readOnly: params.flag('readOnly', false), handle: params.number('handle'), ...params.optionalText('own'), listens: params.flag('listens', false),
  };
  // Opening for writing asks for the right to write, but whether the image exists may be known to whoever reads.
  if (!request.readOnly) {
    await requireImage(call.ctx, request);
    await placeFor(call, 'rwx');
  }
  return request;
}

export function answerWithState({ state, accesses }: OpenedState): Answer {
  return { result: state, fds: descriptorsOf(accesses), sent: () => releaseAll(accesses) };
}

/** EROFS for a handle that was opened read-only or at a snapshot. */
export function writable(open: OpenImage): OpenImage {
  if (open.readOnly || open.snapId !== null) throw new ServiceError('EROFS', 'the image is open read-only');
  return open;
}
