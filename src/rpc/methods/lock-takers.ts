// The calls with which RBD's exclusive lock comes to whoever makes them, though he did not ask for it; as 16.2.15 does it, shown by
// test/conformance/cases/locks.ts. (A write says so by itself: image.wrote.)
import { takeLockByUse } from '../../service/exclusive-lock.js';
import { changesLock } from '../../service/features.js';
import { imageById } from '../../service/images.js';
import { requireNoLock } from '../../service/locks.js';
import type { Method, Methods } from '../method.js';

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

function taking(name: string, method: Method, from: 'free' | 'any'): Method {
  return async (call) => {
    const open = call.session.handles.get(call.params.number('handle'));
    if (open) await requireNoLock(call.ctx, await imageById(call.ctx, open.image));
    const answer = await method(call);
    // The lock that comes with its feature is nobody's yet.
    if (name === 'image.features' && changesLock(call.params.number('features'))) return answer;
    const lockSerial = open && await takeLockByUse(call.ctx, open, { from });
    return lockSerial === undefined ? answer : { ...answer, result: { ...answer.result, hasLock: true, lockSerial } };
  };
}
