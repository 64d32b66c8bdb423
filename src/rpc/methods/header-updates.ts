// Who watches an image's header object (`rbd watch`; rados_watch on "rbd_header.ID") hears of the calls that change the image, from whoever
// made them, as librbd's own HeaderUpdate says it.
import type { Method, Methods } from '../method.js';

/** Those after which 16.2.15 notifies of a change of the header. */
const changing = new Set([
  'image.resize', 'image.features', 'image.metadata.set', 'image.metadata.remove', 'flatten',
  'snap.create', 'snap.remove', 'snap.rename', 'snap.protect', 'snap.unprotect', 'snap.rollback', 'snap.limit.set',
]);

/** The same methods; the watchers are told before the answer goes out. */
export function withHeaderUpdates(methods: Methods): Methods {
  return Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, changing.has(name) ? telling(method) : method]));
}

function telling(method: Method): Method {
  return async (call) => {
    const open = call.session.handles.get(call.params.number('handle'));
    const answer = await method(call);
    if (open) call.ctx.objectWatches.headerChanged(call.ctx, open.image, call.session);
    return answer;
  };
}
