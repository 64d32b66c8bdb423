// The calls with which RBD's exclusive lock comes to whoever makes them, though he did not ask for it; as 16.2.15 does it, shown by
// test/conformance/cases/automatic-lock.ts. (A write says so by itself: image.wrote.)
import { takeLockByUse } from '../../service/exclusive-lock.js';
import { changedFeatures, changesLock, Feature } from '../../service/features.js';
import { parentToLeave } from '../../service/flatten.js';
import { imageById } from '../../service/images.js';
import { isLocked, requireNoLock } from '../../service/locks.js';
import { checkConfigMetadata, getMetadata } from '../../service/metadata.js';
import type { ImageRecord } from '../../service/records.js';
import { choose, requireNoSnap, userSnap } from '../../service/snapshots.js';
import type { Call, Method, Methods } from '../method.js';
import { snapChoice } from './snapshots.js';

/** 'free': where nobody has the lock (its holder is asked to do the work otherwise, and keeps it). 'any': also where another has it. */
const takers: Readonly<Record<string, 'free' | 'any'>> = {
  'image.resize': 'free', 'image.sparsify': 'free', 'image.features': 'free', 'image.metadata.set': 'free', 'image.metadata.remove': 'free', 'snap.create': 'free', 'snap.remove': 'free',
  'flatten': 'free', 'image.use': 'free', 'snap.rollback': 'any', 'snap.limit.set': 'any',
};

/** The same methods; the answers of those calls say `hasLock` where the lock is the caller's now, and since when. */
export function withLockTakers(methods: Methods): Methods {
  return Object.fromEntries(Object.entries(methods).map(([name, method]) => {
    const from = takers[name];
    return [name, from === undefined ? method : taking(name, method, from)];
  }));
}

/** Where the real library does without the lock: by the call and the image. */
const without: Readonly<Record<string, (call: Call, image: ImageRecord) => boolean>> = {
  // The lock that comes with its feature is nobody's yet.
  'image.features': ({ params }) => changesLock(params.number('features')),
  // What it takes it for is the object map.
  'snap.remove': (_, { features }) => (features & Feature.FAST_DIFF) === 0,
};

/** What the real library finds wrong before it asks for the lock, and so also under an advisory one. By the call and the image. */
const before: Readonly<Record<string, (call: Call, image: ImageRecord) => unknown>> = {
  'snap.create': ({ params }, image) => requireNoSnap(image, params.text('name')),
  'snap.remove': ({ params }, image) => choose(image, snapChoice(params)),
  'snap.rollback': ({ params }, image) => userSnap(image, params.text('name')),
  'flatten': (_, image) => parentToLeave(image),
  'image.features': ({ params }, { features }) => changedFeatures(features, params.number('features'), { enabled: params.flag('enabled') }),
  'image.metadata.set': ({ params }) => checkConfigMetadata('image', params.text('key'), params.text('value')),
  'image.metadata.remove': ({ ctx, params }, image) => getMetadata(ctx, image, params.text('key')),
};

function taking(name: string, method: Method, from: 'free' | 'any'): Method {
  return async (call) => {
    const open = call.session.handles.get(call.params.number('handle'));
    if (!open) return method(call);
    const image = await imageById(call.ctx, open.image);
    if (await isLocked(call.ctx, image)) {
      if (!open.readOnly) await before[name]?.(call, image);
      await requireNoLock(call.ctx, image);
    }
    const answer = await method(call);
    if (without[name]?.(call, image) === true) return answer;
    const lockSerial = await takeLockByUse(call.ctx, open, { from });
    return lockSerial === undefined ? answer : { ...answer, result: { ...answer.result, hasLock: true, lockSerial } };
  };
}
