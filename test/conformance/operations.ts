// The single steps of the random test: each makes one or a few calls on a small world of names and handles, and is told
// everything it needs by plain data, so that two libraries can be led through the same sequence.
import { Bytes, Handle, Out } from './transcript.js';
import { trashInfo } from './context.js';
import { textsIn } from '../lib/memory.js';
import { OBJECT_OPERATIONS } from './operations-objects.js';
import { SNAPSHOT_OPERATIONS } from './operations-snapshots.js';
import { SPACE_OPERATIONS } from './operations-spaces.js';
import { WAITING_OPERATIONS } from './operations-waiting.js';
import { number, open, text, type Operation, type Step, type World } from './world.js';

const data = (value: number, length: number) => new Bytes(`<${value}*${length}>`, Buffer.alloc(Math.max(1, length), value));

const OPERATIONS: Record<string, Operation> = {
  create: async (w, s) => {
    await w.c.call('rbd_create3', w.c.io, text(s, 'name'), number(s, 'size'), number(s, 'features'), new Out('order', 'i32', number(s, 'order')), 0, 0);
  },
  open: async (w, s) => {
    const slot = number(s, 'slot');
    if (w.handles.has(slot)) return;
    const handle = w.newHandle(slot);
    if (await w.c.call('rbd_open', w.c.io, text(s, 'name'), handle.ref, null) === 0) w.handles.set(slot, handle);
  },
  // A handle that only reads is not told what others do to its image, so it is closed again in the same step.
  look: async (w, s) => {
    const handle = new Handle('reader');
    const snap = text(s, 'snap') === '' ? null : text(s, 'snap');
    if (await w.c.call(s['readOnly'] === true ? 'rbd_open_read_only' : 'rbd_open', w.c.io, text(s, 'name'), handle.ref, snap) !== 0) return;
    await w.c.get('rbd_get_size', handle, 'size');
    await w.c.read(handle, number(s, 'offset'), number(s, 'length'));
    if (snap !== null || s['readOnly'] === true) await w.c.write(handle, number(s, 'offset'), number(s, 'length'), 1);
    await w.c.call('rbd_close', handle);
  },
  close: open(async (w, s, image) => {
    await w.c.call('rbd_close', image);
    w.handles.delete(number(s, 'slot'));
  }),
  remove: async (w, s) => { await w.c.call('rbd_remove', w.c.io, text(s, 'name')); },
  rename: async (w, s) => { await w.c.call('rbd_rename', w.c.io, text(s, 'name'), text(s, 'to')); },
  list: async (w) => { await w.c.noteNames(); },
  write: open(async (w, s, image) => { await w.c.write(image, number(s, 'offset'), number(s, 'length'), number(s, 'value')); }),
  read: open(async (w, s, image) => { await w.c.read(image, number(s, 'offset'), number(s, 'length')); }),
  discard: open(async (w, s, image) => {
    await w.c.call('rbd_discard', image, number(s, 'offset'), number(s, 'length'));
    if (s['onCurvebs'] === true) await w.c.call('rbd_write_zeroes', image, number(s, 'offset'), number(s, 'length'), 0, 0);
  }),
  zeroes: open(async (w, s, image) => { await w.c.call('rbd_write_zeroes', image, number(s, 'offset'), number(s, 'length'), s['thick'] === true ? 1 : 0, 0); }),
  writesame: open(async (w, s, image) => {
    await w.c.call('rbd_writesame', image, number(s, 'offset'), number(s, 'length'), data(number(s, 'value'), number(s, 'unit')), number(s, 'unit'), 0);
  }),
  compare: open(async (w, s, image) => {
    const mismatch = new Out('mismatch', 'u64', 99);
    const length = number(s, 'length');
    await w.c.call('rbd_compare_and_write', image, number(s, 'offset'), length, data(number(s, 'was'), length), data(number(s, 'value'), length), mismatch, 0);
    // Behind the first object, which may be of 4 KiB, the real 16.2 counts the mismatch from elsewhere.
    if (number(s, 'offset') + length <= 4096) w.c.show(mismatch);
  }),
  flush: open(async (w, _, image) => { await w.c.call('rbd_flush', image); }),
  resize: open(async (w, s, image) => {
    await w.c.call('rbd_resize', image, number(s, 'size'));
    await w.c.get('rbd_get_size', image, 'size');
    await w.refresh();
  }),
  ask: open(async (w, _, image) => {
    await w.c.get('rbd_get_size', image, 'size');
    await w.features(image);
    await w.c.get('rbd_get_overlap', image, 'overlap');
    await w.c.get('rbd_get_stripe_unit', image, 'unit');
  }),
  features: open(async (w, s, image) => {
    // Under an advisory lock, which a handle may have missed, the real library's writers would wait for ever for the lock that the feature gives them.
    if (s['on'] === true && await w.hasNoAutomaticLock(image)) return;
    const changed = await w.c.call('rbd_update_features', image, number(s, 'features'), s['on'] === true ? 1 : 0) === 0;
    await w.features(image);
    // The real library's handles list the lock that went with its feature until the image changes once more.
    if (changed) await w.change(image);
    // A handle of the real library that managed the lock learns that there is none any more by a write, which fails (EROFS).
    await w.refresh();
  }),
  setKey: open(async (w, s, image) => { await w.c.call('rbd_metadata_set', image, text(s, 'key'), text(s, 'value')); }),
  removeKey: open(async (w, s, image) => { await w.c.call('rbd_metadata_remove', image, text(s, 'key')); }),
  keys: open(async (w, _, image) => {
    const [keys, values] = [new Bytes('keys', Buffer.alloc(4096)), new Bytes('values', Buffer.alloc(4096))];
    const [keysSize, valuesSize] = [new Out('keysSize', 'u64', 4096), new Out('valuesSize', 'u64', 4096)];
    await w.c.call('rbd_metadata_list', image, '', 0, keys, keysSize, values, valuesSize);
    w.c.note({ keys: textsIn(keys.buffer, Number(keysSize.value)), values: textsIn(values.buffer, Number(valuesSize.value)) });
  }),
  lock: open(async (w, s, image) => { if (await w.hasNoAutomaticLock(image)) await w.c.call('rbd_lock_exclusive', image, text(s, 'cookie')); }),
  lockShared: open(async (w, s, image) => { if (await w.hasNoAutomaticLock(image)) await w.c.call('rbd_lock_shared', image, text(s, 'cookie'), 'tag'); }),
  unlock: open(async (w, s, image) => { if (await w.hasNoAutomaticLock(image)) await w.c.call('rbd_unlock', image, text(s, 'cookie')); }),
  lockers: open(async (w, _, image) => {
    if (!await w.hasNoAutomaticLock(image)) return;
    const exclusive = new Out('exclusive', 'i32', 7);
    const parts = ['tag', 'clients', 'cookies', 'addrs'].map((name) => ({ buffer: new Bytes(name, Buffer.alloc(512)), size: new Out(`${name}Size`, 'u64', 512) }));
    const count = await w.c.call('rbd_list_lockers', image, exclusive, ...parts.flatMap(({ buffer, size }) => [buffer, size]));
    // Of no lock the kind is not told the same way (differences.ts).
    if (count > 0) w.c.note({ exclusive: exclusive.value, tag: parts[0]!.buffer.text, cookies: textsIn(parts[2]!.buffer.buffer, Number(parts[2]!.size.value)).map((cookie) => cookie.replace(/^auto \d+$/, 'auto')).sort() });
  }),
  copy: open(async (w, s, image) => {
    await w.c.call('rbd_copy', image, w.c.io, text(s, 'to'));
  }),
  key: open(async (w, s, image) => {
    const [value, size] = [new Bytes('value', Buffer.alloc(64)), new Out('size', 'u64', 1 + number(s, 'slot') * 3)];
    if (await w.c.call('rbd_metadata_get', image, text(s, 'key'), value, size) === 0) w.c.note({ value: value.text });
    w.c.show(size);
  }),
  trashList: async (w) => {
    const max = new Out('max', 'u64', 64);
    const list = new Bytes('list', Buffer.alloc(64 * trashInfo.size));
    const count = await w.c.call('rbd_trash_list', w.c.io, list, max);
    w.c.note({ names: trashInfo.readAll(list.buffer, Math.max(0, count)).map((entry) => String(entry['name'])).sort() });
    if (count >= 0) await w.c.silent('rbd_trash_list_cleanup', list, count);
  },
  removeTrash: async (w, s) => {
    if (await w.c.call('rbd_trash_remove', w.c.io, w.trashId(text(s, 'name')), s['on'] === true) === 0) w.forgetTrash(text(s, 'name'));
  },
  toTrash: async (w, s) => { await w.toTrash(text(s, 'name')); },
  fromTrash: async (w, s) => {
    if (await w.c.call('rbd_trash_restore', w.c.io, w.trashId(text(s, 'name')), text(s, 'to')) === 0) w.restored(text(s, 'name'));
  },
};

const ALL: Record<string, Operation> = { ...OPERATIONS, ...SNAPSHOT_OPERATIONS, ...SPACE_OPERATIONS, ...WAITING_OPERATIONS, ...OBJECT_OPERATIONS };

/** Runs a step and gives the lines that it wrote down. */
export async function run(world: World, step: Step): Promise<string[]> {
  const before = world.c.lines.length;
  const operation = ALL[step.op];
  if (operation === undefined) throw new Error(`no operation is called ${step.op}`);
  await operation(world, step);
  return world.c.lines.slice(before);
}
