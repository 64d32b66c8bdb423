// The single steps of the random test: each makes one or a few calls on a small world of names and handles, and is told
// everything it needs by plain data, so that two libraries can be led through the same sequence.
import { Bytes, Handle, Out, Shown, type Argument } from './transcript.js';
import { childInfo, linkedImageSpec, snapInfo, snapSpec, trashInfo, type Context } from './context.js';
import { textsIn } from '../lib/memory.js';

export type Step = { op: string } & Record<string, string | number | boolean>;

/** What is open, by slot. */
export class World {
  readonly handles = new Map<number, Handle>();
  private readonly trash = new Map<string, string>();
  /** Ids that were in the trash once: of two images of one name the new one is meant. */
  private readonly seen = new Set<string>();

  constructor(readonly c: Context) {}

  /** Runs a step and gives the lines that it wrote down. */
  async run(step: Step): Promise<string[]> {
    const before = this.c.lines.length;
    const operation = OPERATIONS[step.op];
    if (operation === undefined) throw new Error(`no operation is called ${step.op}`);
    await operation(this, step);
    return this.c.lines.slice(before);
  }

  image(step: Step): Handle {
    return this.handles.get(Number(step['slot'])) ?? new Handle('none');
  }

  /** Where writers take the exclusive lock by themselves, advisory locks depend on who wrote when; those images are left out. */
  async hasNoAutomaticLock(image: Handle): Promise<boolean> {
    const features = new Out('features', 'u64');
    await this.c.silent('rbd_get_features', image, features);
    return (features.value & 4n) === 0n;
  }

  async hasLockers(image: Handle): Promise<boolean> {
    const parts = ['tag', 'clients', 'cookies', 'addrs'].flatMap((name) => [new Bytes(name, Buffer.alloc(512)), new Out(`${name}Size`, 'u64', 512)]);
    return Number(await this.c.silent('rbd_list_lockers', image, new Out('exclusive', 'i32'), ...parts)) > 0;
  }

  /** Asks every handle for its size: the real library's I/O goes by the size it knew before it is asked. */
  async refresh(): Promise<void> {
    for (const handle of this.handles.values()) await this.c.silent('rbd_get_size', handle, new Out('size', 'u64'));
  }

  /** Closes everything. */
  async end(): Promise<void> {
    for (const handle of this.handles.values()) await this.c.silent('rbd_close', handle);
    this.handles.clear();
    this.c.end();
  }

  /** Puts an image into the trash, remembering under which id it is found there. */
  async toTrash(name: string): Promise<void> {
    if (await this.c.call('rbd_trash_move', this.c.io, name, 0) < 0) return;
    const max = new Out('max', 'u64', 64);
    const list = new Bytes('list', Buffer.alloc(64 * trashInfo.size));
    const count = Number(await this.c.silent('rbd_trash_list', this.c.io, list, max));
    const entry = trashInfo.readAll(list.buffer, Math.max(0, count)).find((e) => e['name'] === name && !this.seen.has(String(e['id'])));
    if (entry !== undefined) {
      this.trash.set(name, String(entry['id']));
      this.seen.add(String(entry['id']));
    }
    if (count >= 0) await this.c.silent('rbd_trash_list_cleanup', list, count);
  }

  trashId(name: string): Argument {
    return new Shown(`<id of ${name}>`, this.trash.get(name) ?? 'nosuchid');
  }

  forgetTrash(name: string): void {
    this.trash.delete(name);
  }

  restored(name: string): void {
    this.seen.delete(this.trash.get(name) ?? '');
    this.trash.delete(name);
  }
}

type Operation = (w: World, s: Step) => Promise<void>;

const text = (s: Step, key: string) => String(s[key]);
const number = (s: Step, key: string) => Number(s[key]);
const data = (value: number, length: number) => new Bytes(`<${value}*${length}>`, Buffer.alloc(Math.max(1, length), value));

// Operations on an open image do nothing where the slot is empty; it is so on both sides.
function open(operation: (w: World, s: Step, image: Handle) => Promise<void>): Operation {
  return async (w, s) => {
    const image = w.handles.get(number(s, 'slot'));
    if (image !== undefined) await operation(w, s, image);
  };
}

async function snapshots(w: World, image: Handle): Promise<void> {
  const max = new Out('max', 'i32', 32);
  const list = new Bytes('snaps', Buffer.alloc(33 * snapInfo.size));
  const count = await w.c.call('rbd_snap_list', image, list, max);
  w.c.note({ snaps: snapInfo.readAll(list.buffer, Math.max(0, count)).map((s) => `${s['name']}:${s['size']}`).sort() });
  if (count >= 0) await w.c.silent('rbd_snap_list_end', list);
}

const OPERATIONS: Record<string, Operation> = {
  create: async (w, s) => {
    await w.c.call('rbd_create3', w.c.io, text(s, 'name'), number(s, 'size'), number(s, 'features'), new Out('order', 'i32', number(s, 'order')), 0, 0);
  },
  open: async (w, s) => {
    const slot = number(s, 'slot');
    if (w.handles.has(slot)) return;
    const handle = new Handle(`h${slot}`);
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
  discard: open(async (w, s, image) => { await w.c.call('rbd_discard', image, number(s, 'offset'), number(s, 'length')); }),
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
    await w.c.get('rbd_get_features', image, 'features');
    await w.c.get('rbd_get_overlap', image, 'overlap');
    await w.c.get('rbd_get_stripe_unit', image, 'unit');
  }),
  features: open(async (w, s, image) => {
    // Under an advisory lock the real library's writers would wait for ever for the lock that the feature gives them.
    if (s['on'] === true && await w.hasNoAutomaticLock(image) && await w.hasLockers(image)) return;
    await w.c.call('rbd_update_features', image, number(s, 'features'), s['on'] === true ? 1 : 0);
    await w.c.get('rbd_get_features', image, 'features');
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
  snapCreate: open(async (w, s, image) => { await w.c.call('rbd_snap_create', image, text(s, 'snap')); }),
  snapRemove: open(async (w, s, image) => { await w.c.call('rbd_snap_remove', image, text(s, 'snap')); }),
  snapProtect: open(async (w, s, image) => { await w.c.call('rbd_snap_protect', image, text(s, 'snap')); }),
  snapUnprotect: open(async (w, s, image) => { await w.c.call('rbd_snap_unprotect', image, text(s, 'snap')); }),
  snapRollback: open(async (w, s, image) => {
    await w.c.call('rbd_snap_rollback', image, text(s, 'snap'));
    await w.refresh();
  }),
  snapRename: open(async (w, s, image) => { await w.c.call('rbd_snap_rename', image, text(s, 'snap'), text(s, 'to')); }),
  snaps: open(async (w, _, image) => { await snapshots(w, image); }),
  clone: async (w, s) => {
    await w.c.call('rbd_clone', w.c.io, text(s, 'name'), text(s, 'snap'), w.c.io, text(s, 'to'), 61, new Out('order', 'i32', 0));
  },
  snapLimit: open(async (w, s, image) => {
    await w.c.call('rbd_snap_set_limit', image, text(s, 'to') === 's1' ? 2n ** 64n - 1n : 4);
    const limit = new Out('limit', 'u64');
    await w.c.call('rbd_snap_get_limit', image, limit);
    w.c.show(limit);
  }),
  snapExists: open(async (w, s, image) => {
    const [exists, isProtected] = [new Out('exists', 'bool'), new Out('isProtected', 'i32')];
    await w.c.call('rbd_snap_exists', image, text(s, 'snap'), exists);
    await w.c.call('rbd_snap_is_protected', image, text(s, 'snap'), isProtected);
    w.c.show(exists, isProtected);
  }),
  children: open(async (w, _, image) => {
    const max = new Out('max', 'i32', 32);
    const list = new Bytes('children', Buffer.alloc(32 * childInfo.size));
    const count = await w.c.call('rbd_list_children2', image, list, max);
    w.c.note({ children: childInfo.readAll(list.buffer, Math.max(0, count)).map((child) => `${child['imageName']}:${child['trash']}`).sort() });
    if (count >= 0) await w.c.silent('rbd_list_children_cleanup', list, count);
  }),
  parent: open(async (w, _, image) => {
    const [parent, snap] = [new Bytes('parent', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
    if (await w.c.call('rbd_get_parent', image, parent, snap) < 0) return;
    const { imageName, trash } = linkedImageSpec.read(parent.buffer);
    w.c.note({ imageName, trash, snap: snapSpec.read(snap.buffer)['name'] });
    await w.c.silent('rbd_linked_image_spec_cleanup', parent);
    await w.c.silent('rbd_snap_spec_cleanup', snap);
  }),
  flatten: open(async (w, _, image) => { await w.c.call('rbd_flatten', image); }),
};
