// snap.* and clone as docs/protocol-layers.md has them.
import { archiveSnapshot } from '../../service/archive.js';
import { cloneImage } from '../../service/clones.js';
import { childRecords, listChildren } from '../../service/children.js';
import { requireNotHeldByOther } from '../../service/exclusive-lock.js';
import { flattenImage } from '../../service/flatten.js';
import { imageById } from '../../service/images.js';
import { getPool } from '../../service/pools.js';
import { rollBack } from '../../service/rollback.js';
import {
  choose, createSnapshot, limitSnapshots, protectSnapshot, removeSnapshot, renameSnapshot, snapshotTarget, unprotectSnapshot, type SnapChoice,
} from '../../service/snapshots.js';
import { describeSnap } from '../../service/state.js';
import { done, openFor, opOf, placeFor, progressOf, type Call, type Methods } from '../method.js';
import type { Params } from '../params.js';
import { createOptions, requireDataPool, writable } from './images.js';
import type { ImageRef } from '../../service/records.js';

export const snapshotMethods: Methods = {
  'snap.create': async (call) => ({ result: await createSnapshot(call.ctx, await target(call), { name: call.params.text('name'), ...opOf(call) }) }),
  'snap.remove': async (call) => {
    const { params } = call;
    const choice = snapChoice(params);
    const image = await target(call);
    const also = { unprotect: params.flag('unprotect', false), flatten: params.flag('flatten', false) };
    if (also.unprotect || also.flatten) await prepareRemoval(call, image, choice, also);
    await removeSnapshot(call.ctx, image, { ...choice, ...opOf(call) });
    return done;
  },
  'snap.rename': async (call) => {
    await renameSnapshot(call.ctx, await target(call), { name: call.params.text('name'), to: call.params.text('to') });
    return done;
  },
  'snap.list': async (call) => {
    const record = await imageById(call.ctx, (await openFor(call, 'rx')).image);
    return { result: { snaps: record.snaps.map(describeSnap) } };
  },
  'snap.protect': async (call) => {
    await protectSnapshot(call.ctx, await target(call), call.params.text('name'));
    return done;
  },
  'snap.unprotect': async (call) => {
    await unprotectSnapshot(call.ctx, await target(call), call.params.text('name'));
    return done;
  },
  'snap.rollback': async (call) => {
    const by = writable(await openFor(call, 'rwx'));
    await rollBack(call.ctx, by.image, { name: call.params.text('name'), by, ...opOf(call) });
    return done;
  },
  'snap.archive': async (call) => {
    const at = await placeFor(call, 'rx');
    return { result: await archiveSnapshot(call.ctx, { at, image: call.params.text('image'), snap: call.params.text('snap'), ...progressOf(call) }) };
  },
  'snap.limit.get': async (call) => ({ result: { limit: (await imageById(call.ctx, (await openFor(call, 'rx')).image)).snapLimit } }),
  'snap.limit.set': async (call) => {
    if (call.params.has('handle')) await requireNotHeldByOther(call.ctx, await openFor(call, 'rwx'));
    await limitSnapshots(call.ctx, await target(call), call.params.has('limit') ? call.params.number('limit') : null);
    return done;
  },
  'snap.children': async (call) => {
    const { image } = await openFor(call, 'rx');
    const options = { ...call.params.optionalNumber('snapId'), descendants: call.params.flag('descendants', false) };
    return { result: { children: await listChildren(call.ctx, image, options) } };
  },
  'flatten': async (call) => {
    const { image } = writable(await openFor(call, 'rwx'));
    await flattenImage(call.ctx, image, { ...opOf(call), ...progressOf(call) });
    return done;
  },
  'clone': async (call) => {
    const { ctx, session, identity, params } = call;
    const at = await placeFor(call, 'rx');
    const to = params.object('to');
    const place = { pool: to.number('pool'), namespace: to.text('namespace', '') };
    identity.require('rwx', { pool: (await getPool(ctx, place.pool)).name, namespace: place.namespace });
    const options = params.object('options');
    await requireDataPool(call, { at: place, options: createOptions(options) });
    return {
      result: await cloneImage(ctx, session, {
        at, to: place, name: params.text('name'), ...params.optionalText('image'), ...params.optionalText('imageId'), ...params.optionalText('snap'),
        ...params.optionalNumber('snapId'), ...opOf(call), options: { ...createOptions(options), ...options.optionalNumber('cloneFormat') },
      }),
    };
  },
};

/** `id`, or else `name`, of the request. */
export function snapChoice(params: Params): SnapChoice {
  return params.has('id') ? { id: params.number('id') } : { name: params.text('name') };
}

/** RBD_SNAP_REMOVE_FLATTEN and _UNPROTECT: what stands in the way of a removal goes first. */
async function prepareRemoval(call: Call, image: ImageRef, choice: SnapChoice, also: { unprotect: boolean; flatten: boolean }): Promise<void> {
  const snap = choose(await imageById(call.ctx, image), choice);
  if (also.flatten) {
    const children = await childRecords(call.ctx, image, snap.id);
    // They may be in pools of others.
    for (const { image: { pool, namespace } } of children) call.identity.require('rwx', { pool: (await getPool(call.ctx, pool)).name, namespace });
    for (const child of children) await flattenImage(call.ctx, child.image, progressOf(call));
  }
  if (also.unprotect && snap.isProtected) await unprotectSnapshot(call.ctx, image, snap.name);
}

async function target(call: Call): Promise<ImageRef> {
  return snapshotTarget(await openFor(call, 'rwx'));
}
