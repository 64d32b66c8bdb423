// Steps of the random test on snapshots, clones, what changed between them, and whole copies.
import { Bytes, Handle, Out, type Argument } from './transcript.js';
import { childInfo, imageInfo, linkedImageSpec, MiB, OPTION, snapInfo, snapSpec } from './context.js';
import { BROKEN, number, open, text, type Operation, type World } from './world.js';

async function snapshots(w: World, image: Handle): Promise<void> {
  const max = new Out('max', 'i32', 32);
  const list = new Bytes('snaps', Buffer.alloc(33 * snapInfo.size));
  const count = await w.c.call('rbd_snap_list', image, list, max);
  w.c.note({ snaps: snapInfo.readAll(list.buffer, Math.max(0, count)).map((s) => `${String(s['name']).replace(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, '<removed>')}:${s['size']}`).sort() });
  if (count >= 0) await w.c.silent('rbd_snap_list_end', list);
}

/** Image options with numbers in them, for one call. */
async function withOptions(w: World, set: Record<number, number>, run: (options: Handle) => Promise<void>): Promise<void> {
  const options = new Handle('opts');
  await w.c.need('rbd_image_options_create', options.ref);
  for (const [key, value] of Object.entries(set)) await w.c.need('rbd_image_options_set_uint64', options, Number(key), value);
  await run(options);
  await w.c.silent('rbd_image_options_destroy', options);
}

interface Stretch { start: bigint; end: bigint; exists: bigint }

/** The bytes of a stretch, without the zeroes at their end. */
async function bytesOf(w: World, image: Handle, stretch: Stretch): Promise<Buffer> {
  const { start } = stretch;
  const data = Buffer.alloc(Number(stretch.end - start));
  let end = Math.max(0, Number(await w.c.silent('rbd_read', image, start, data.length, new Bytes('data', data))));
  while (end > 0 && data[end - 1] === 0) end--;
  return data.subarray(0, end);
}

// An object that was written, and of which every byte that was written is zero again, is there for the real library by its object map,
// or is not where it has none; and what a rollback wrote is a change for it, to the very snapshot that it rolled back to. Ours knows
// that by blocks. So what reads the same in both is compared as such (test/rbd/diff.test.ts looks whether ours shows too much).
async function told(w: World, image: Handle, from: string | null, seen: readonly Stretch[]): Promise<Stretch[]> {
  const read = async (): Promise<Buffer[]> => {
    const all: Buffer[] = [];
    for (const stretch of seen) all.push(await bytesOf(w, image, stretch));
    return all;
  };
  const now = await read();
  if (from !== null) await w.c.silent('rbd_snap_set', image, from);
  const then = from === null ? seen.map(() => Buffer.alloc(0)) : await read();
  if (from !== null) await w.c.silent('rbd_snap_set', image, null);
  return seen.flatMap((stretch, i) => (now[i]!.equals(then[i]!) ? [] : [{ ...stretch, exists: now[i]!.length === 0 ? 0n : stretch.exists }]));
}

function joined(stretches: readonly Stretch[]): Stretch[] {
  const found: Stretch[] = [];
  for (const each of stretches) {
    const last = found.at(-1);
    if (last !== undefined && last.end === each.start && last.exists === each.exists) last.end = each.end;
    else found.push({ ...each });
  }
  return found;
}

// Without an object map that holds (differences.ts), the real library shows parts of objects though it is asked for whole ones.
function whole(seen: readonly Stretch[], object: bigint, size: bigint): Stretch[] {
  const objects = new Map<bigint, bigint>();
  for (const { start, end, exists } of seen) {
    for (let at = start / object; at * object < end; at++) objects.set(at, exists | (objects.get(at) ?? 0n));
  }
  return [...objects].map(([at, exists]) => ({ start: at * object, end: (at + 1n) * object < size ? (at + 1n) * object : size, exists }));
}

// Whole objects, neighbours joined: within an object the real library knows extents, ours blocks.
async function changes(w: World, image: Handle, from: string | null): Promise<void> {
  const size = new Out('size', 'u64');
  await w.c.silent('rbd_get_size', image, size);
  // The real 16.2 ends the process where there is nothing to look at.
  if (size.value === 0n) return;
  const seen: Stretch[] = [];
  const callback: Argument = w.c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], (offset = 0n, length = 0n, exists = 0n) => {
    seen.push({ start: offset, end: offset + length, exists });
    return 0;
  });
  await w.c.call('rbd_diff_iterate2', image, from, 0, size.value, 1, 1, callback, null);
  const info = new Bytes('info', Buffer.alloc(imageInfo.size));
  await w.c.silent('rbd_stat', image, info, imageInfo.size);
  const objects = whole(seen, imageInfo.read(info.buffer)['objSize'] as bigint || 1n, size.value);
  w.c.note({ seen: joined(await told(w, image, from, objects)).map(({ start, end, exists }) => `${start}-${end}:${exists}`) });
}

// Now and then the real 16.2.15 leaves data out of a snapshot's copy: another time the same steps copy it. What is read of such a copy
// can be held against nothing, so it is told of here, where it is made.
async function holdAgainstSource(w: World, source: Handle, name: string): Promise<void> {
  const max = new Out('max', 'i32', 64);
  const list = new Bytes('snaps', Buffer.alloc(65 * snapInfo.size));
  const count = Number(await w.c.silent('rbd_snap_list', source, list, max));
  const snaps = snapInfo.readAll(list.buffer, Math.max(0, count)).map((snap) => String(snap['name']));
  if (count >= 0) await w.c.silent('rbd_snap_list_end', list);
  for (const snap of [...snaps, null]) {
    const copy = new Handle('copy');
    // A snapshot in the trash is not copied.
    if (Number(await w.c.silent('rbd_open_read_only', w.c.io, name, copy.ref, snap)) < 0) continue;
    if (Number(await w.c.silent('rbd_snap_set', source, snap)) === 0 && !(await contents(w, source)).equals(await contents(w, copy))) {
      w.c.lines.push(`${BROKEN}rbd_deep_copy: ${snap === null ? 'the copy' : `snapshot ${snap} of the copy`} is not what it was copied from`);
    }
    await w.c.silent('rbd_close', copy);
  }
  await w.c.silent('rbd_snap_set', source, null);
}

async function contents(w: World, image: Handle): Promise<Buffer> {
  const size = new Out('size', 'u64');
  await w.c.silent('rbd_get_size', image, size);
  const data = Buffer.alloc(Number(size.value));
  for (let at = 0; at < data.length; at += MiB) {
    const length = Math.min(MiB, data.length - at);
    await w.c.silent('rbd_read', image, at, length, new Bytes('data', data.subarray(at, at + length)));
  }
  return data;
}

const never = (w: World): Argument => w.c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0);

export const SNAPSHOT_OPERATIONS: Record<string, Operation> = {
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
  flatten: open(async (w, _, image) => {
    // After that of a clone that showed nothing of its parent the real library's handles go on knowing one until the image changes once more.
    if (await w.c.call('rbd_flatten', image) === 0) await w.change(image);
  }),
  cloneAsTold: async (w, s) => {
    await withOptions(w, { [OPTION.cloneFormat]: 1 + number(s, 'slot') % 2 }, async (options) => {
      await w.c.call('rbd_clone3', w.c.io, text(s, 'name'), text(s, 'snap'), w.c.io, text(s, 'to'), options);
    });
  },
  snapRemoveAsTold: open(async (w, s, image) => { await w.c.call('rbd_snap_remove2', image, text(s, 'snap'), number(s, 'slot'), never(w), null); }),
  snapSet: open(async (w, s, image) => {
    if (await w.c.call('rbd_snap_set', image, text(s, 'snap')) === 0) await w.c.get('rbd_get_size', image, 'size');
    await w.c.read(image, number(s, 'offset'), number(s, 'length'));
    await w.c.call('rbd_snap_set', image, null);
  }),
  snapNames: open(async (w, s, image) => {
    const id = new Out('id', 'u64');
    if (await w.c.call('rbd_snap_get_id', image, text(s, 'snap'), id) < 0) return;
    const [name, size, type] = [new Bytes('name', Buffer.alloc(64)), new Out('size', 'u64', number(s, 'slot')), new Out('type', 'u32', 9)];
    if (Number(await w.c.silent('rbd_snap_get_name', image, id.value, name, size)) === 0) w.c.note({ name: name.text });
    await w.c.silent('rbd_snap_get_namespace_type', image, id.value, type);
    w.c.show(size, type);
  }),
  changed: open(async (w, s, image) => { if (s['onCurvebs'] !== true) await changes(w, image, s['on'] === true ? text(s, 'snap') : null); }),
  deepCopy: open(async (w, s, image) => {
    const large = new Out('size', 'u64');
    await w.c.silent('rbd_get_size', image, large);
    if (large.value > 16 * MiB) return;
    await withOptions(w, s['on'] === true ? { [OPTION.flatten]: 1 } : {}, async (options) => {
      if (await w.c.call('rbd_deep_copy', image, w.c.io, text(s, 'to'), options) === 0) await holdAgainstSource(w, image, text(s, 'to'));
    });
  }),
  allChildren: open(async (w, _, image) => {
    for (const fn of ['rbd_list_children3', 'rbd_list_descendants']) {
      const max = new Out('max', 'u64', 32);
      const list = new Bytes('specs', Buffer.alloc(32 * linkedImageSpec.size));
      const rc = await w.c.call(fn, image, list, max);
      w.c.note({ of: linkedImageSpec.readAll(list.buffer, rc < 0 ? 0 : Number(max.value)).map((spec) => `${spec['poolNamespace']}/${spec['imageName']}:${spec['trash']}`).sort() });
      if (rc >= 0) await w.c.silent('rbd_linked_image_spec_list_cleanup', list, max.value);
    }
  }),
};
