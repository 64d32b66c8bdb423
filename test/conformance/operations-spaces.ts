// Steps of the random test on namespaces, a pool's metadata, the trash as a whole, and the lock that writers take.
import { Bytes, Out } from './transcript.js';
import { trashInfo, watcher } from './context.js';
import { textsIn } from '../lib/memory.js';
import { number, open, text, type Operation, type World } from './world.js';

/** Names of namespaces stand where steps have names of images; the first is no namespace. */
const spaceOf = (name: string): string => ({ a: '', b: 'n1', c: 'n2' })[name] ?? 'n3';

async function inTrash(w: World): Promise<number> {
  const list = new Bytes('list', Buffer.alloc(64 * trashInfo.size));
  const count = Number(await w.c.silent('rbd_trash_list', w.c.io, list, new Out('max', 'u64', 64)));
  if (count > 0) await w.c.silent('rbd_trash_list_cleanup', list, count);
  return count;
}

export const SPACE_OPERATIONS: Record<string, Operation> = {
  spaceCreate: async (w, s) => { await w.c.call('rbd_namespace_create', w.c.io, spaceOf(text(s, 'name'))); },
  spaceRemove: async (w, s) => { await w.c.call('rbd_namespace_remove', w.c.io, spaceOf(text(s, 'name'))); },
  spaceExists: async (w, s) => {
    const exists = new Out('exists', 'bool');
    await w.c.call('rbd_namespace_exists', w.c.io, spaceOf(text(s, 'name')), exists);
    w.c.show(exists);
  },
  spaces: async (w, s) => {
    const [names, size] = [new Bytes('names', Buffer.alloc(64)), new Out('size', 'u64', 3 * number(s, 'slot'))];
    const rc = await w.c.call('rbd_namespace_list', w.c.io, names, size);
    w.c.note({ names: rc >= 0 ? textsIn(names.buffer, Number(size.value)).filter(Boolean) : null, size: size.value });
  },
  /** Three times of four back to where most images are. */
  spaceUse: async (w, s) => {
    w.space = number(s, 'slot') === 0 ? spaceOf(text(s, 'name')) : '';
    await w.c.silent('rados_ioctx_set_namespace', w.c.io, w.space);
    await w.c.noteNames();
  },
  poolSetKey: async (w, s) => { await w.c.call('rbd_pool_metadata_set', w.c.io, text(s, 'key'), text(s, 'name')); },
  poolRemoveKey: async (w, s) => { await w.c.call('rbd_pool_metadata_remove', w.c.io, text(s, 'key')); },
  poolKey: async (w, s) => {
    const [value, size] = [new Bytes('value', Buffer.alloc(64)), new Out('size', 'u64', number(s, 'slot'))];
    if (await w.c.call('rbd_pool_metadata_get', w.c.io, text(s, 'key'), value, size) === 0) w.c.note({ value: value.text });
    w.c.show(size);
  },
  poolKeys: async (w, s) => {
    const [keys, values] = [new Bytes('keys', Buffer.alloc(256)), new Bytes('values', Buffer.alloc(256))];
    const [keysSize, valuesSize] = [new Out('keysSize', 'u64', 256), new Out('valuesSize', 'u64', 256)];
    const rc = await w.c.call('rbd_pool_metadata_list', w.c.io, s['on'] === true ? text(s, 'key') : '', number(s, 'slot'), keys, keysSize, values, valuesSize);
    if (rc >= 0) w.c.note({ keys: textsIn(keys.buffer, Number(keysSize.value)), values: textsIn(values.buffer, Number(valuesSize.value)) });
  },
  trashPurge: async (w) => {
    // In which order it takes several, and stops at one that cannot go, is the real library's secret.
    if (await inTrash(w) > 1) return;
    await w.c.call('rbd_trash_purge', w.c.io, 4102444800, -1);
    w.c.note({ left: await inTrash(w) });
  },
  trashGet: async (w, s) => {
    const entry = new Bytes('entry', Buffer.alloc(trashInfo.size));
    if (await w.c.call('rbd_trash_get', w.c.io, w.trashId(text(s, 'name')), entry) < 0) return;
    const { name, source } = trashInfo.read(entry.buffer);
    w.c.note({ name, source });
    await w.c.silent('rbd_trash_get_cleanup', entry);
  },
  acquire: open(async (w, s, image) => { if (!await w.hasNoAutomaticLock(image)) await w.c.call('rbd_lock_acquire', image, s['readOnly'] === true ? 1 : 0); }),
  release: open(async (w, _, image) => { if (!await w.hasNoAutomaticLock(image)) await w.c.call('rbd_lock_release', image); }),
  isOwner: open(async (w, _, image) => {
    const owner = new Out('owner', 'i32', 7);
    await w.c.call('rbd_is_exclusive_lock_owner', image, owner);
    w.c.show(owner);
  }),
  watchers: open(async (w, _, image) => {
    const max = new Out('max', 'u64', 32);
    const list = new Bytes('watchers', Buffer.alloc(32 * watcher.size));
    if (await w.c.call('rbd_watchers_list', image, list, max) === 0) await w.c.silent('rbd_watchers_list_cleanup', list, max.value);
    w.c.show(max);
  }),
};
