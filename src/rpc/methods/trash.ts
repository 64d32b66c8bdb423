// trash.* as docs/protocol.md has them.
import { listTrash, moveToTrash, purgeTrash, removeFromTrash, restoreFromTrash, trashEntry } from '../../service/trash.js';
import { done, opOf, placeFor, type Methods } from '../method.js';

export const trashMethods: Methods = {
  'trash.move': async (call) => {
    const at = await placeFor(call, 'rwx');
    await moveToTrash(call.ctx, { at, name: call.params.text('name'), delay: call.params.number('delay', 0), ...opOf(call) });
    return done;
  },
  'trash.restore': async (call) => {
    const at = await placeFor(call, 'rwx');
    await restoreFromTrash(call.ctx, { at, id: call.params.text('id'), to: call.params.text('to', ''), ...opOf(call) });
    return done;
  },
  'trash.remove': async (call) => {
    const at = await placeFor(call, 'rwx');
    await removeFromTrash(call.ctx, { at, id: call.params.text('id'), force: call.params.flag('force', false), ...opOf(call) });
    return done;
  },
  'trash.list': async (call) => ({ result: { entries: await listTrash(call.ctx, await placeFor(call, 'rx')) } }),
  'trash.get': async (call) => {
    const at = await placeFor(call, 'rx');
    return { result: { ...await trashEntry(call.ctx, { ...at, id: call.params.text('id') }) } };
  },
  'trash.purge': async (call) => {
    const at = await placeFor(call, 'rwx');
    await purgeTrash(call.ctx, { at, expireTs: call.params.number('expireTs', 0), threshold: call.params.real('threshold', -1) });
    return done;
  },
};
