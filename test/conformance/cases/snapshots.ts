// Snapshots: making, protecting, listing, renaming, rolling back, reading, copying and removing them; diffs between them.
import { Bytes, Handle, Out, Shown } from '../transcript.js';
import { MiB, snapInfo, timespec, type Case, type Context } from '../context.js';
import { clone, list } from './snapshot-views.js';

async function snapId(c: Context, image: Handle, name: string): Promise<bigint> {
  const id = new Out('id', 'u64');
  await c.call('rbd_snap_get_id', image, name, id);
  return id.value;
}

async function isProtected(c: Context, image: Handle, name: string): Promise<void> {
  const out = new Out('protected', 'i32', 7);
  await c.call('rbd_snap_is_protected', image, name, out);
  c.show(out);
}

async function diff(c: Context, image: Handle, from: string | null, length: number, { parent: include = 1, whole = 0, offset = 0 } = {}): Promise<void> {
  const seen: { at: bigint; n: bigint; there: bigint }[] = [];
  const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], (at, n, there) => {
    const last = seen.at(-1);
    if (last !== undefined && last.at + last.n === at && last.there === there) last.n += n!;
    else seen.push({ at: at!, n: n!, there: there! });
    return 0;
  });
  await c.call('rbd_diff_iterate2', image, from, offset, length, include, whole, callback, null);
  c.note({ seen: seen.map((e) => `${e.at}+${e.n}${e.there === 1n ? '' : ' gone'}`) });
}

export const snapshots: Case[] = [
  {
    name: 'snapshots: create, list, sizes of the list, remove',
    run: async (c) => {
      const image = await c.fresh('i');
      await list(c, image, 0);
      await list(c, image, 1);
      for (const name of ['s1', 's1', 's2', 'a/b@c', 'n'.repeat(300)]) await c.call('rbd_snap_create', image, name);
      for (const capacity of [0, 3, 4, 5, 16]) await list(c, image, capacity);
      for (const name of ['nosnap', 's1', 's1', '']) await c.call('rbd_snap_remove', image, name);
      await list(c, image);
      const exists = new Out('exists', 'bool');
      for (const name of ['s2', 's1']) {
        await c.call('rbd_snap_exists', image, name, exists);
        c.show(exists);
      }
      await c.close(image);
    },
  },
  {
    name: 'snapshots by id: name, size, time, namespace, removal',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.need('rbd_snap_create', image, 's');
      const id = await snapId(c, image, 's');
      await snapId(c, image, 'nosnap');
      for (const capacity of [0, 1, 2, 64]) {
        const size = new Out('size', 'u64', capacity);
        const name = new Bytes('name', Buffer.alloc(64));
        const rc = await c.call('rbd_snap_get_name', image, new Shown('<id>', id), name, size);
        c.note({ name: rc === 0 ? name.text : null, size: size.value });
      }
      await c.call('rbd_snap_get_name', image, 999999, new Bytes('name', Buffer.alloc(64)), new Out('size', 'u64', 64));
      const type = new Out('type', 'u32', 9);
      await c.call('rbd_snap_get_namespace_type', image, new Shown('<id>', id), type);
      c.show(type);
      const time = new Bytes('time', Buffer.alloc(16));
      await c.call('rbd_snap_get_timestamp', image, new Shown('<id>', id), time);
      const age = Date.now() / 1000 - Number(timespec.read(time.buffer)['sec']);
      c.note({ recent: age > -5 && age < 300 });
      // With an id that is none, the real library asserts.
      await c.call('rbd_snap_remove_by_id', image, 999999);
      await c.call('rbd_snap_remove_by_id', image, new Shown('<id>', id));
      await list(c, image);
      await c.close(image);
    },
  },
  {
    name: 'a snapshot keeps what was there, also of its size',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.write(image, 0, 8192, 1);
      await c.call('rbd_snap_create', image, 's1');
      await c.write(image, 4096, 8192, 2);
      await c.call('rbd_resize', image, 4 * MiB);
      await c.call('rbd_snap_create', image, 's2');
      await c.call('rbd_discard', image, 0, 4 * MiB);
      await c.call('rbd_resize', image, 8 * MiB);
      await c.read(image, 0, 16384);
      for (const snap of ['s1', 's2']) {
        const at = await c.open('i', { as: 'at', snap });
        await c.get('rbd_get_size', at, 'size');
        await c.read(at, 0, 16384);
        await c.close(at);
      }
      await c.call('rbd_snap_set', image, 's1');
      await c.get('rbd_get_size', image, 'size');
      await c.read(image, 0, 16384);
      await c.write(image, 0, 512, 3);
      await c.call('rbd_resize', image, MiB);
      await c.call('rbd_snap_set', image, 'nosnap');
      await c.call('rbd_snap_set', image, null);
      await c.read(image, 0, 16384);
      await c.close(image);
    },
  },
  {
    name: 'without layering there is no protection and no clone, whatever the snapshot',
    run: async (c) => {
      await c.need('rbd_create2', c.io, 'plain', 8 * MiB, 0, new Out('order', 'i32'));
      const image = await c.open('plain');
      await c.call('rbd_snap_protect', image, 'nosnap');
      await c.need('rbd_snap_create', image, 's');
      await c.call('rbd_snap_protect', image, 's');
      await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_clone', c.io, 'plain', 's', c.io, 'c', 61, new Out('order', 'i32'));
      await c.call('rbd_clone', c.io, 'plain', 'nosnap', c.io, 'c', 61, new Out('order', 'i32'));
      await c.close(image);
    },
  },
  {
    name: 'protection: on, off, twice, and removal of a protected one',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.need('rbd_snap_create', image, 's');
      await isProtected(c, image, 's');
      await isProtected(c, image, 'nosnap');
      await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_snap_protect', image, 'nosnap');
      await c.call('rbd_snap_protect', image, 's');
      await c.call('rbd_snap_protect', image, 's');
      await isProtected(c, image, 's');
      await c.call('rbd_snap_remove', image, 's');
      await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_snap_remove', image, 's');
      await c.close(image);
    },
  },
  {
    name: 'renaming snapshots',
    run: async (c) => {
      const image = await c.fresh('i');
      for (const name of ['a', 'b']) await c.need('rbd_snap_create', image, name);
      for (const [from, to] of [['a', 'b'], ['a', 'a'], ['nosnap', 'x'], ['a', 'c'], ['c', 'a/b@c']] as const) await c.call('rbd_snap_rename', image, from, to);
      await list(c, image);
      await c.close(image);
    },
  },
  {
    name: 'the snapshot limit',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.get('rbd_snap_get_limit', image, 'limit');
      await c.call('rbd_snap_set_limit', image, 2);
      await c.get('rbd_snap_get_limit', image, 'limit');
      for (const name of ['a', 'b', 'c']) await c.call('rbd_snap_create', image, name);
      await c.call('rbd_snap_set_limit', image, 1);
      await c.call('rbd_snap_set_limit', image, 2n ** 64n - 1n);
      await c.get('rbd_snap_get_limit', image, 'limit');
      await c.call('rbd_snap_create', image, 'd');
      await c.close(image);
    },
  },
  {
    name: 'rollback brings back data and size',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.write(image, 0, 8192, 1);
      await c.need('rbd_snap_create', image, 's');
      await c.write(image, 4096, 8192, 2);
      await c.write(image, 6 * MiB, 4096, 3);
      await c.call('rbd_resize', image, 12 * MiB);
      await c.call('rbd_snap_rollback', image, 'nosnap');
      await c.call('rbd_snap_rollback', image, 's');
      await c.get('rbd_get_size', image, 'size');
      await c.read(image, 0, 16384);
      await c.read(image, 6 * MiB, 4096);
      const progress = c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0);
      await c.write(image, 0, 512, 9);
      await c.call('rbd_snap_rollback_with_progress', image, 's', progress, null);
      await c.read(image, 0, 1024);
      await c.close(image);
    },
  },
  {
    name: 'a rollback is refused where another handle has the lock of a writer, and done where it has not',
    run: async (c) => {
      const one = await c.fresh('i', 8 * MiB);
      const two = await c.open('i', { as: 'img2' });
      await c.need('rbd_snap_create', one, 's');
      await c.write(one, 0, 512, 1);
      await c.call('rbd_snap_rollback', two, 'nosnap');
      await c.call('rbd_snap_rollback', two, 's');
      await c.read(two, 0, 512);
      await c.call('rbd_snap_rollback', one, 's');
      await c.read(one, 0, 512);
      await c.close(one);
      await c.call('rbd_snap_rollback', two, 's');
      const again = await c.open('i', { as: 'again' });
      await c.call('rbd_snap_rollback', again, 's');
      await c.close(two, again);
      await c.need('rbd_create2', c.io, 'plain', 8 * MiB, 1, new Out('order', 'i32'));
      const [plain, other] = [await c.open('plain', { as: 'plain' }), await c.open('plain', { as: 'other' })];
      await c.need('rbd_snap_create', plain, 's');
      await c.write(plain, 0, 512, 1);
      await c.call('rbd_snap_rollback', other, 's');
      await c.read(plain, 0, 512);
      await c.close(plain, other);
    },
  },
  {
    name: 'a read-only handle and a snapshot handle change no snapshots',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.need('rbd_snap_create', image, 's');
      await c.close(image);
      const reader = await c.open('i', { readOnly: true });
      for (const fn of ['rbd_snap_create', 'rbd_snap_remove', 'rbd_snap_protect', 'rbd_snap_unprotect', 'rbd_snap_rollback']) await c.call(fn, reader, 's');
      await c.call('rbd_snap_rename', reader, 's', 't');
      await list(c, reader);
      await c.close(reader);
    },
  },
  {
    name: 'another handle sees new and removed snapshots',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      await c.call('rbd_snap_create', one, 's');
      await list(c, two);
      await c.write(two, 0, 4096, 5);
      const at = await c.open('i', { as: 'at', snap: 's' });
      await c.read(at, 0, 4096);
      await c.close(at);
      await c.call('rbd_snap_remove', two, 's');
      await list(c, one);
      await c.close(one, two);
    },
  },
  {
    name: 'diffs between snapshots and the head, and of a clone',
    run: async (c) => {
      const image = await c.fresh('p', 16 * MiB);
      await c.write(image, 0, 4096, 1);
      await c.need('rbd_snap_create', image, 'a');
      await c.write(image, 5 * MiB, 4096, 1);
      await c.need('rbd_snap_create', image, 's');
      await c.call('rbd_discard', image, 0, 4 * MiB);
      await c.write(image, 9 * MiB, 4096, 1);
      for (const from of [null, 'a', 's']) await diff(c, image, from, 16 * MiB, { whole: 1 });
      await c.need('rbd_snap_set', image, 's');
      for (const from of [null, 'a', 's']) await diff(c, image, from, 16 * MiB, { whole: 1 });
      await c.need('rbd_snap_set', image, 'a');
      await diff(c, image, 's', 16 * MiB, { whole: 1 });
      await c.need('rbd_snap_set', image, null);
      await c.need('rbd_snap_protect', image, 's');
      await clone(c, 'c');
      const child = await c.open('c', { as: 'child' });
      await c.write(child, 13 * MiB, 4096, 1);
      for (const include of [0, 1]) await diff(c, child, null, 16 * MiB, { whole: 1, parent: include });
      await c.close(child, image);
    },
  },
  {
    name: 'an object of which a part has gone since the older snapshot exists for as long as it holds anything',
    run: async (c) => {
      const image = await c.fresh('p', 16 * MiB);
      for (const at of [0, 4 * MiB, 8 * MiB]) await c.write(image, at, 16384, 1);
      await c.need('rbd_snap_create', image, 'a');
      await c.call('rbd_write_zeroes', image, 0, 4096, 0, 0);
      await c.call('rbd_write_zeroes', image, 4 * MiB, 4 * MiB, 0, 0);
      await diff(c, image, 'a', 16 * MiB, { whole: 1 });
      await c.need('rbd_snap_create', image, 'b');
      await c.need('rbd_snap_set', image, 'b');
      await diff(c, image, 'a', 16 * MiB, { whole: 1 });
      await c.close(image);
    },
  },
  {
    name: 'deep copy takes snapshots along',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.write(image, 0, 4096, 1);
      await c.need('rbd_snap_create', image, 's');
      await c.write(image, 4096, 4096, 2);
      const opts = new Handle('opts');
      await c.silent('rbd_image_options_create', opts.ref);
      await c.call('rbd_deep_copy', image, c.io, 'j', opts);
      await c.call('rbd_deep_copy', image, c.io, 'j', opts);
      const copy = await c.open('j', { as: 'copy' });
      const max = new Out('max', 'i32', 8);
      const snaps = new Bytes('snaps', Buffer.alloc(9 * snapInfo.size));
      const count = await c.call('rbd_snap_list', copy, snaps, max);
      c.note({ snaps: snapInfo.readAll(snaps.buffer, Math.max(0, count)).map((s) => s['name']) });
      await c.read(copy, 0, 16384);
      await c.need('rbd_snap_set', copy, 's');
      await c.read(copy, 0, 16384);
      await c.silent('rbd_image_options_destroy', opts);
      await c.close(copy, image);
    },
  },
];
