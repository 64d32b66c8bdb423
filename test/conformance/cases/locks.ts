// Locks and watchers: advisory locks, the managed lock between handles, who watches, who is told.
import { Bytes, Out, Shown, type Argument, type Handle } from '../transcript.js';
import { MiB, watcher, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

async function lockers(c: Context, image: Handle, capacity = 512): Promise<void> {
  const exclusive = new Out('exclusive', 'i32', 7);
  const out = (name: string) => ({ buffer: new Bytes(name, Buffer.alloc(Math.max(1, capacity))), size: new Out(`${name}Size`, 'u64', capacity) });
  const [tag, clients, cookies, addrs] = [out('tag'), out('clients'), out('cookies'), out('addrs')] as const;
  const rc = await c.call('rbd_list_lockers', image, exclusive, tag.buffer, tag.size, clients.buffer, clients.size, cookies.buffer, cookies.size, addrs.buffer, addrs.size);
  if (rc < 0) {
    c.note({ tagSize: tag.size.value, clientsSize: clients.size.value > 5n, cookiesSize: cookies.size.value, addrsSize: addrs.size.value > 5n });
    return;
  }
  const names = textsIn(clients.buffer.buffer, Number(clients.size.value));
  c.note({
    exclusive: exclusive.value, tag: tag.buffer.text, cookies: textsIn(cookies.buffer.buffer, Number(cookies.size.value)).map((k) => (/^auto \d+$/.test(k) ? '<automatic>' : k)),
    clients: names.map((name) => c.label('client', name)), clientForm: names.every((name) => /^client\.\d+$/.test(name)),
    addrForm: textsIn(addrs.buffer.buffer, Number(addrs.size.value)).every((a) => /^(v1:|v2:|any:)?127\.0\.0\.1:\d+\/\d+$/.test(a)),
  });
}

async function watchers(c: Context, image: Handle, capacity: number): Promise<void> {
  const max = new Out('max', 'u64', capacity);
  const list = new Bytes('watchers', Buffer.alloc(Math.max(1, capacity) * watcher.size));
  const rc = await c.call('rbd_watchers_list', image, list, max);
  c.show(max);
  if (rc < 0) return;
  const entries = watcher.readAll(list.buffer, Number(max.value));
  c.note({
    ids: entries.map((e) => c.label('watching client', e['id'])), addrForm: entries.every((e) => /^(v1:|v2:|any:)?127\.0\.0\.1:\d+\/\d+$/.test(String(e['addr']))),
    cookies: new Set(entries.map((e) => e['cookie'])).size,
  });
  await c.silent('rbd_watchers_list_cleanup', list, max.value);
}

async function owners(c: Context, image: Handle, capacity = 4): Promise<string[]> {
  const [mode, max] = [new Out('mode', 'i32', 9), new Out('max', 'u64', capacity)];
  const list = Buffer.alloc(Math.max(1, capacity) * 8);
  const rc = await c.call('rbd_lock_get_owners', image, mode, new Bytes('owners', list), max);
  c.show(mode, max);
  if (rc < 0) return [];
  const addresses: string[] = [];
  for (let i = 0; i < Number(max.value); i++) {
    const out = new Out('owner', 'text');
    out.set(list.readBigUInt64LE(i * 8));
    addresses.push(out.text ?? '');
  }
  c.note({ owners: addresses.map((a) => c.label('owner', a)), form: addresses.every((a) => /^(v1:|v2:|any:)?127\.0\.0\.1:\d+\/\d+$/.test(a)) });
  await c.silent('rbd_lock_get_owners_cleanup', new Bytes('owners', list), max.value);
  return addresses;
}

async function isOwner(c: Context, image: Handle): Promise<void> {
  await c.get('rbd_is_exclusive_lock_owner', image, 'owner', 'i32');
}

async function quietOwner(c: Context, image: Handle): Promise<bigint> {
  const owner = new Out('owner', 'i32');
  await c.silent('rbd_is_exclusive_lock_owner', image, owner);
  return owner.value;
}

export const locks: Case[] = [
  {
    name: 'an exclusive advisory lock keeps others out',
    run: async (c) => {
      const image = await c.fresh('i');
      await lockers(c, image);
      await c.call('rbd_lock_exclusive', image, 'ck');
      await lockers(c, image);
      await lockers(c, image, 0);
      await lockers(c, image, 1);
      await c.call('rbd_lock_exclusive', image, 'ck');
      await c.call('rbd_lock_exclusive', image, 'ck2');
      await c.call('rbd_lock_shared', image, 'ck', 't');
      await c.call('rbd_lock_shared', image, 'ck3', 't');
      await c.call('rbd_unlock', image, 'nock');
      await c.call('rbd_unlock', image, 'ck');
      await c.call('rbd_unlock', image, 'ck');
      await lockers(c, image);
      await c.close(image);
    },
  },
  {
    name: 'shared advisory locks go together under one tag',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.call('rbd_lock_shared', image, 'a', 't');
      await c.call('rbd_lock_shared', image, 'b', 't');
      await c.call('rbd_lock_shared', image, 'a', 't');
      await c.call('rbd_lock_shared', image, 'c', 'other');
      await c.call('rbd_lock_exclusive', image, 'd');
      await lockers(c, image);
      await c.call('rbd_unlock', image, 'a');
      await lockers(c, image);
      await c.call('rbd_unlock', image, 'b');
      await c.call('rbd_lock_exclusive', image, 'd');
      await c.call('rbd_unlock', image, 'd');
      await c.close(image);
    },
  },
  {
    name: 'advisory locks: odd cookies and tags',
    run: async (c) => {
      const image = await c.fresh('i');
      for (const cookie of ['', 'a b', 'ä✓', 'x'.repeat(1000), '"']) {
        await c.call('rbd_lock_exclusive', image, cookie);
        await lockers(c, image, 4096);
        await c.call('rbd_unlock', image, cookie);
      }
      await c.call('rbd_lock_shared', image, 'c', '');
      await lockers(c, image);
      await c.call('rbd_unlock', image, 'c');
      await c.close(image);
    },
  },
  {
    name: 'an advisory lock stays after close, and another client sees and breaks it',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.call('rbd_lock_exclusive', image, 'ck');
      await c.close(image);
      const cluster = await c.client();
      const io = await c.ioctx({ cluster });
      const other = await c.open('i', { io });
      await lockers(c, other);
      await c.call('rbd_lock_exclusive', other, 'mine');
      await c.call('rbd_unlock', other, 'ck');
      await c.call('rbd_break_lock', other, 'client.999', 'ck');
      await c.call('rbd_break_lock', other, 'nobody', 'ck');
      const back = await c.open('i');
      await lockers(c, back);
      await c.call('rbd_unlock', back, 'ck');
      await c.call('rbd_lock_exclusive', other, 'mine');
      await lockers(c, back);
      await c.call('rbd_unlock', other, 'mine');
      await c.close(other, back);
      await c.drop(io);
      await c.shutdown(cluster);
    },
  },
  {
    name: 'advisory locks through a read-only handle',
    run: async (c) => {
      await c.image('i');
      const image = await c.open('i', { readOnly: true });
      await c.call('rbd_lock_exclusive', image, 'ck');
      await c.call('rbd_lock_shared', image, 'ck', 't');
      await lockers(c, image);
      await c.call('rbd_unlock', image, 'ck');
      await c.close(image);
    },
  },
  {
    name: 'no advisory lock while a writer has the lock by itself',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      const cluster = await c.client();
      const io = await c.ioctx({ cluster });
      const other = await c.open('i', { as: 'other', io });
      await c.write(one, 0, 512, 1);
      await isOwner(c, one);
      for (const image of [one, two, other]) {
        await c.call('rbd_lock_exclusive', image, 'ck');
        await c.call('rbd_lock_shared', image, 'ck', 't');
        await c.call('rbd_lock_shared', image, 'ck', 'internal');
        await c.call('rbd_unlock', image, 'ck');
      }
      await c.close(one);
      await lockers(c, other);
      await c.call('rbd_lock_exclusive', other, 'ck');
      await c.call('rbd_lock_exclusive', two, 'ck');
      await c.call('rbd_unlock', other, 'ck');
      await c.call('rbd_lock_shared', two, 'ck', 't');
      await c.call('rbd_unlock', two, 'ck');
      await c.close(two, other);
      await c.drop(io);
      await c.shutdown(cluster);
    },
  },
  {
    name: 'an advisory lock on an image without the exclusive-lock feature, whose writer has none',
    run: async (c) => {
      await c.need('rbd_create2', c.io, 'plain', 8 * MiB, 1, new Out('order', 'i32'));
      const one = await c.open('plain');
      const two = await c.open('plain', { as: 'img2' });
      await c.write(one, 0, 512, 1);
      await lockers(c, one);
      await c.call('rbd_lock_exclusive', two, 'ck');
      await c.write(one, 0, 512, 2);
      await c.call('rbd_unlock', two, 'ck');
      await c.close(one, two);
    },
  },
  {
    name: 'what else takes the lock by itself: a resize, a snapshot, metadata',
    run: async (c) => {
      for (const [name, fn, args] of [
        ['a', 'rbd_resize', [8 * MiB]], ['b', 'rbd_snap_create', ['s']], ['c', 'rbd_metadata_set', ['k', 'v']], ['d', 'rbd_flush', []], ['e', 'rbd_discard', [0, 65536]],
        ['f', 'rbd_write_zeroes', [0, 4096, 0, 0]], ['g', 'rbd_update_features', [16, 0]],
      ] as const) {
        const one = await c.fresh(name);
        await c.call(fn, one, ...args);
        await isOwner(c, one);
        await c.call('rbd_lock_exclusive', one, 'ck');
        // The real library lists those that it knew when it last looked: after a change of the image.
        if ('abcg'.includes(name)) await lockers(c, one);
        await c.call('rbd_unlock', one, 'ck');
        await c.close(one);
      }
    },
  },
  {
    name: 'a diff by whole objects from the beginning takes the lock by itself where it is free, with fast-diff, once',
    run: async (c) => {
      const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], () => 0);
      const size = 8 * MiB;
      const diff = async (image: Handle, from: string | null, wholeObject: 0 | 1, at: number | bigint = 0): Promise<void> => {
        await c.call('rbd_diff_iterate2', image, from, at, size, 1, wholeObject, callback, null);
        await isOwner(c, image);
      };
      for (const [name, features] of [['fast', 61], ['no-map', 5], ['no-lock', 1]] as const) {
        await c.need('rbd_create2', c.io, name, size, features, new Out('order', 'i32'));
        const one = await c.open(name);
        await c.write(one, 0, 512, 1);
        await c.need('rbd_snap_create', one, 's');
        await c.silent('rbd_lock_release', one);
        await isOwner(c, one);
        await diff(one, 's', 1);
        await diff(one, null, 0);
        const reader = await c.open(name, { as: 'reader', readOnly: true });
        await diff(reader, null, 1);
        const old = await c.open(name, { as: 'old', snap: 's' });
        await diff(old, null, 1);
        await diff(one, null, 1);
        await owners(c, one);
        const two = await c.open(name, { as: 'img2' });
        await diff(two, null, 1);
        await isOwner(c, one);
        await c.close(one);
        await c.call('rbd_diff_iterate', two, null, 0, size, callback, null);
        await isOwner(c, two);
        // It has tried, and does not again.
        await diff(two, null, 1);
        const three = await c.open(name, { as: 'img3' });
        await diff(three, null, 1);
        await c.silent('rbd_lock_release', three);
        await diff(three, null, 1);
        await c.write(three, 0, 512, 2);
        await c.silent('rbd_lock_release', three);
        await diff(three, null, 1);
        await c.close(three, two, old, reader);
      }
    },
  },
  {
    name: 'a handle that has called lock_acquire takes the lock by a diff only where it is free',
    run: async (c) => {
      const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], () => 0);
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      const diff = async (image: Handle): Promise<void> => {
        await c.call('rbd_diff_iterate2', image, null, 0, 16 * MiB, 1, 1, callback, null);
        c.note({ one: await quietOwner(c, one), two: await quietOwner(c, two) });
      };
      await c.call('rbd_lock_acquire', one, 0);
      await diff(two);
      await c.call('rbd_lock_release', one);
      await diff(two);
      await diff(one);
      await c.call('rbd_lock_release', two);
      await diff(one);
      await c.close(one, two);
    },
  },
  {
    name: 'a handle that goes to a snapshot gives the lock back, asked for or not',
    run: async (c) => {
      for (const [name, takes] of [['a', 'write'], ['b', 'acquire']] as const) {
        const one = await c.fresh(name);
        await c.need('rbd_snap_create', one, 's');
        if (takes === 'write') await c.write(one, 0, 512, 1);
        else await c.call('rbd_lock_acquire', one, 0);
        await isOwner(c, one);
        await c.call('rbd_snap_set', one, 's');
        await isOwner(c, one);
        await owners(c, one);
        await c.call('rbd_snap_set', one, null);
        await isOwner(c, one);
        await owners(c, one);
        await c.write(one, 0, 512, 2);
        await isOwner(c, one);
        await c.close(one);
      }
    },
  },
  {
    name: 'which requests take the lock though they change nothing: of no bytes, past the end, refused',
    run: async (c) => {
      const data = new Bytes('data', Buffer.alloc(4096));
      const number = new Out('mismatch', 'u64');
      const image = await c.fresh('i', MiB);
      for (const [offset, length] of [[0, 0], [MiB, 0], [2 * MiB, 0], [2 * MiB, 512]] as const) {
        const compared = Math.min(512, length);
        for (const [fn, args] of [
          ['rbd_write', [offset, length, data]], ['rbd_discard', [offset, length]], ['rbd_write_zeroes', [offset, length, 0, 0]], ['rbd_writesame', [offset, length, data, 512, 0]],
          ['rbd_compare_and_write', [offset, compared, data, data, number, 0]], ['rbd_aio_write', [offset, length, data, 'COMP']], ['rbd_aio_discard', [offset, length, 'COMP']],
          ['rbd_aio_write_zeroes', [offset, length, 'COMP', 0, 0]], ['rbd_aio_writesame', [offset, length, data, 512, 'COMP', 0]],
          ['rbd_aio_compare_and_write', [offset, compared, data, data, 'COMP', number, 0]], ['rbd_aio_read', [offset, length, data, 'COMP']], ['rbd_aio_flush', ['COMP']],
        ] as [string, (Argument | 'COMP')[]][]) {
          // That ends the process with the real library.
          if (fn.endsWith('compare_and_write') && length === 0) continue;
          const completion = await c.completion();
          const rc = await c.call(fn, image, ...args.map((arg) => (arg === 'COMP' ? completion : arg)));
          if (rc === 0 && fn.includes('_aio_')) {
            await c.silent('rbd_aio_wait_for_complete', completion);
            await c.call('rbd_aio_get_return_value', completion);
          }
          await c.silent('rbd_aio_release', completion);
          c.note({ owner: await quietOwner(c, image) });
          await c.call('rbd_lock_release', image);
        }
      }
      await c.close(image);
    },
  },
  {
    name: 'who has the lock keeps it when another changes the image, and loses it when another writes or flushes',
    run: async (c) => {
      const one = await c.fresh('i');
      const cluster = await c.client();
      const io = await c.ioctx({ cluster });
      const other = await c.open('i', { as: 'other', io });
      await c.write(one, 0, 512, 1);
      for (const [fn, args] of [
        ['rbd_resize', [8 * MiB]], ['rbd_snap_create', ['s']], ['rbd_snap_protect', ['s']], ['rbd_snap_unprotect', ['s']], ['rbd_snap_rename', ['s', 't']], ['rbd_snap_remove', ['t']],
        ['rbd_metadata_set', ['k', 'v']], ['rbd_metadata_remove', ['k']], ['rbd_snap_set_limit', [9]],
      ] as const) {
        await c.call(fn, other, ...args);
        await isOwner(c, one);
        await isOwner(c, other);
      }
      await c.call('rbd_flush', other);
      await isOwner(c, other);
      await c.close(other, one);
      await c.drop(io);
      await c.shutdown(cluster);
      for (const [name, fn, args] of [
        ['a', 'rbd_snap_protect', ['s']], ['b', 'rbd_snap_remove', ['s']], ['c', 'rbd_snap_rename', ['s', 't']], ['d', 'rbd_snap_set_limit', [9]], ['e', 'rbd_snap_rollback', ['s']],
        ['f', 'rbd_metadata_remove', ['k']], ['g', 'rbd_flatten', []], ['h', 'rbd_sparsify', [4096]], ['i', 'rbd_metadata_remove', ['nokey']], ['j', 'rbd_snap_remove', ['nosnap']],
      ] as const) {
        const first = await c.fresh(`x${name}`);
        await c.need('rbd_snap_create', first, 's');
        await c.need('rbd_metadata_set', first, 'k', 'v');
        await c.close(first);
        const again = await c.open(`x${name}`, { as: 'again' });
        await c.call(fn, again, ...args);
        await isOwner(c, again);
        await c.close(again);
      }
    },
  },
  {
    name: 'the managed lock: acquire, own, refuse the other, release',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      await isOwner(c, one);
      await owners(c, one);
      await c.call('rbd_lock_acquire', one, 0);
      await isOwner(c, one);
      await isOwner(c, two);
      await owners(c, one);
      await owners(c, two);
      await owners(c, two, 0);
      await c.call('rbd_lock_acquire', one, 0);
      await c.write(two, 0, 512, 1);
      await c.call('rbd_snap_set_limit', two, 9);
      await c.call('rbd_snap_create', two, 's');
      await c.call('rbd_snap_rollback', two, 's');
      await c.call('rbd_metadata_set', two, 'k', 'v');
      await c.call('rbd_snap_set_limit', one, 9);
      await c.write(one, 0, 512, 2);
      await c.read(two, 0, 512);
      await c.call('rbd_lock_release', one);
      await isOwner(c, one);
      await c.call('rbd_lock_release', one);
      await c.call('rbd_lock_release', two);
      await c.write(two, 0, 512, 3);
      await c.close(one, two);
    },
  },
  {
    name: 'a handle that asked for the lock once writes only while it has it, and gives it to nobody who does not ask',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      const both = async (): Promise<void> => {
        await c.write(two, 0, 512, 1);
        await c.call('rbd_flush', two);
        await c.write(one, 0, 512, 2);
        await c.call('rbd_flush', one);
        c.note({ one: await quietOwner(c, one), two: await quietOwner(c, two) });
      };
      await c.write(two, 0, 512, 1);
      await c.call('rbd_lock_acquire', one, 0);
      await both();
      await c.call('rbd_lock_release', one);
      await c.call('rbd_discard', one, 0, 65536);
      await c.call('rbd_write_zeroes', one, 0, 512, 0, 0);
      await both();
      await c.call('rbd_resize', one, 8 * MiB);
      await both();
      await c.call('rbd_lock_release', two);
      await c.call('rbd_resize', one, 12 * MiB);
      await both();
      await c.call('rbd_lock_acquire', two, 0);
      await c.call('rbd_lock_release', one);
      await c.call('rbd_lock_acquire', two, 0);
      await both();
      await c.call('rbd_remove', c.io, 'i');
      await both();
      await c.call('rbd_trash_move', c.io, 'i', 0);
      await both();
      await c.close(one, two);
    },
  },
  {
    name: 'the lock goes with its feature, whoever has it and however, and does not come back with it',
    run: async (c) => {
      const [one, two] = [await c.fresh('i'), await c.open('i', { as: 'img2' })];
      const handles = { one, two };
      // The real library's handles let go of what they had when they next look.
      const both = async (): Promise<void> => {
        for (const image of [one, two]) await c.silent('rbd_get_size', image, new Out('size', 'u64'));
        c.note({ one: await quietOwner(c, one), two: await quietOwner(c, two) });
      };
      const offAndOn = async (by: keyof typeof handles): Promise<void> => {
        await both();
        await c.call('rbd_update_features', handles[by], 28, 0);
        await both();
        await c.call('rbd_lock_exclusive', two, 'ck');
        await c.call('rbd_unlock', two, 'ck');
        await c.call('rbd_update_features', handles[by], 28, 1);
        await both();
        await owners(c, one);
      };
      await offAndOn('one');
      await c.write(one, 0, 512, 1);
      await offAndOn('one');
      await c.write(one, 0, 512, 1);
      await offAndOn('two');
      await c.call('rbd_lock_acquire', one, 0);
      await offAndOn('two');
      await c.write(one, 0, 512, 2);
      await both();
      await c.call('rbd_lock_acquire', one, 0);
      await offAndOn('one');
      await c.write(one, 0, 512, 2);
      await c.write(two, 0, 512, 2);
      await both();
      await c.close(one, two);
    },
  },
  {
    name: 'who wrote before another asked for the lock does not have it again when that one gives it back',
    run: async (c) => {
      const [one, two] = [await c.fresh('i'), await c.open('i', { as: 'img2' })];
      const both = async (): Promise<void> => { c.note({ one: await quietOwner(c, one), two: await quietOwner(c, two) }); };
      await c.write(one, 0, 512, 1);
      await c.call('rbd_lock_acquire', two, 0);
      await both();
      await c.call('rbd_lock_release', two);
      await both();
      await owners(c, one);
      await c.call('rbd_lock_exclusive', two, 'ck');
      await c.call('rbd_unlock', two, 'ck');
      await c.call('rbd_metadata_set', two, 'k', 'v');
      await both();
      await c.call('rbd_flush', one);
      await c.call('rbd_lock_release', two);
      await c.call('rbd_flush', one);
      await both();
      await c.close(one, two);
    },
  },
  ...[5, 61].map((features): Case => ({
    name: `which changes bring the lock to an image with features ${features}`,
    run: async (c) => {
      await c.need('rbd_create2', c.io, 'i', 8 * MiB, features, new Out('order', 'i32'));
      const one = await c.open('i');
      for (const name of ['protected', 'free']) await c.need('rbd_snap_create', one, name);
      await c.need('rbd_snap_protect', one, 'protected');
      for (const [fn, args] of [
        ['rbd_snap_remove', ['free']], ['rbd_snap_remove', ['protected']], ['rbd_snap_rename', ['protected', 'p']], ['rbd_resize', [8 * MiB]], ['rbd_resize', [4 * MiB]], ['rbd_sparsify', [4096]], ['rbd_sparsify', [1000]],
      ] as [string, Argument[]][]) {
        await c.silent('rbd_lock_release', one);
        await c.silent('rbd_get_size', one, new Out('size', 'u64'));
        await c.call(fn, one, ...args);
        c.note({ owner: await quietOwner(c, one) });
      }
      await c.close(one);
    },
  })),
  {
    name: 'which refused calls bring the lock all the same, and which do not',
    run: async (c) => {
      for (const [fn, args] of [
        ['rbd_update_features', [4, 0]], ['rbd_update_features', [8, 1]], ['rbd_update_features', [2, 0]], ['rbd_update_features', [32, 1]], ['rbd_update_features', [64, 0]],
        ['rbd_snap_remove', ['protected']], ['rbd_snap_remove2', ['protected', 0, null, null]], ['rbd_snap_remove', ['none']], ['rbd_snap_create', ['protected']], ['rbd_snap_protect', ['protected']], ['rbd_snap_unprotect', ['free']],
        ['rbd_snap_rename', ['none', 'x']], ['rbd_snap_rollback', ['none']], ['rbd_flatten', []], ['rbd_metadata_remove', ['none']],
      ] as [string, Argument[]][]) {
        const one = await c.fresh('i');
        for (const name of ['protected', 'free']) await c.need('rbd_snap_create', one, name);
        await c.need('rbd_snap_protect', one, 'protected');
        await c.silent('rbd_lock_release', one);
        await c.call(fn, one, ...(fn === 'rbd_snap_remove2' ? ['protected', 0, c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0), null] : args));
        await isOwner(c, one);
        await c.silent('rbd_snap_unprotect', one, 'protected');
        for (const name of ['protected', 'free']) await c.need('rbd_snap_remove', one, name);
        await c.close(one);
        await c.need('rbd_remove', c.io, 'i');
      }
    },
  },
  {
    name: 'an image in the trash whose lock was asked for: what its removal says, with snapshots and without',
    run: async (c) => {
      const one = await c.fresh('i');
      const id = c.hidden('id', await c.idOf(one));
      await c.need('rbd_snap_create', one, 's');
      await c.call('rbd_trash_move', c.io, 'i', 0);
      await c.call('rbd_trash_remove', c.io, id, false);
      await c.call('rbd_lock_acquire', one, 0);
      for (const force of [true, false]) await c.call('rbd_trash_remove', c.io, id, force);
      await isOwner(c, one);
      await c.call('rbd_trash_purge', c.io, 4102444800, -1);
      await isOwner(c, one);
      await c.need('rbd_snap_remove', one, 's');
      for (const force of [true, false]) await c.call('rbd_trash_remove', c.io, id, force);
      await isOwner(c, one);
      await c.call('rbd_trash_purge', c.io, 4102444800, -1);
      await isOwner(c, one);
      await c.close(one);
      await c.call('rbd_trash_remove', c.io, id, true);
      const named = await c.fresh('j');
      await c.need('rbd_snap_create', named, 's');
      await c.call('rbd_lock_acquire', named, 0);
      await c.call('rbd_remove', c.io, 'j');
      await isOwner(c, named);
      await c.close(named);
    },
  },
  {
    name: 'who removes an image or puts it into the trash takes the lock from its writer, whatever comes of it',
    run: async (c) => {
      const one = await c.fresh('i');
      const writes = async (): Promise<void> => { await c.need('rbd_write', one, 0, 512, new Bytes('data', Buffer.alloc(512))); };
      const after = async (fn: string, ...args: Argument[]): Promise<void> => {
        await writes();
        await c.call(fn, ...args);
        await isOwner(c, one);
      };
      await after('rbd_remove', c.io, 'i');
      await after('rbd_rename', c.io, 'i', 'j');
      await c.need('rbd_snap_create', one, 's');
      await after('rbd_remove', c.io, 'j');
      await after('rbd_trash_move', c.io, 'j', 0);
      await after('rbd_trash_purge', c.io, 4102444800, -1);
      await c.need('rbd_snap_remove', one, 's');
      await after('rbd_trash_purge', c.io, 4102444800, -1);
      await c.close(one);
      await c.call('rbd_trash_purge', c.io, 4102444800, -1);
    },
  },
  {
    name: 'the managed lock in shared mode and of images that have none',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.call('rbd_lock_acquire', image, 1);
      await c.call('rbd_lock_acquire', image, 7);
      await c.close(image);
      await c.need('rbd_create2', c.io, 'plain', 8 * MiB, 1, new Out('order', 'i32'));
      const plain = await c.open('plain');
      await c.call('rbd_lock_acquire', plain, 0);
      await c.call('rbd_lock_release', plain);
      await isOwner(c, plain);
      await owners(c, plain);
      await c.close(plain);
    },
  },
  {
    name: 'the managed lock through a read-only handle',
    run: async (c) => {
      await c.image('i');
      const image = await c.open('i', { readOnly: true });
      await c.call('rbd_lock_acquire', image, 0);
      await isOwner(c, image);
      await owners(c, image);
      await c.call('rbd_lock_release', image);
      await c.close(image);
    },
  },
  {
    name: 'a writer gets the lock by itself and passes it on',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      await c.write(one, 0, 512, 1);
      await isOwner(c, one);
      await isOwner(c, two);
      await c.write(two, 512, 512, 2);
      c.note({ passedOn: await c.until(async () => await quietOwner(c, one) === 0n && await quietOwner(c, two) === 1n) });
      await c.write(one, 1024, 512, 3);
      await c.read(two, 0, 2048);
      await c.close(two);
      await c.close(one);
    },
  },
  {
    name: 'breaking a managed lock that nobody holds, or with a wrong owner',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.call('rbd_lock_break', image, 0, '127.0.0.1:0/1');
      await c.call('rbd_lock_break', image, 1, '127.0.0.1:0/1');
      await c.call('rbd_lock_acquire', image, 0);
      await c.call('rbd_lock_break', image, 0, '');
      await c.call('rbd_lock_break', image, 0, '127.0.0.1:0/1');
      await isOwner(c, image);
      await c.call('rbd_lock_release', image);
      await c.close(image);
    },
  },
  {
    name: 'watchers: every handle that is open for writing, none that only reads',
    run: async (c) => {
      const one = await c.fresh('i');
      await watchers(c, one, 0);
      await watchers(c, one, 1);
      const two = await c.open('i', { as: 'img2' });
      await watchers(c, one, 1);
      await watchers(c, one, 2);
      const reader = await c.open('i', { as: 'reader', readOnly: true });
      await watchers(c, one, 8);
      await c.close(two);
      await watchers(c, one, 8);
      await watchers(c, reader, 8);
      await c.close(one);
      await watchers(c, reader, 8);
      await c.close(reader);
    },
  },
  {
    name: 'update_watch is told of a resize and of metadata, until it is ended',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      let told = 0;
      const callback = c.callback('updated', 'void', ['ptr'], () => { told++; });
      const handle = new Out('handle', 'u64');
      await c.call('rbd_update_watch', one, handle, callback, null);
      await c.call('rbd_resize', two, 32 * MiB);
      await c.get('rbd_get_size', one, 'size');
      c.note({ toldOfResize: told > 0 });
      await c.call('rbd_update_unwatch', one, new Shown('<handle>', handle.value));
      const before = told;
      await c.call('rbd_resize', two, 16 * MiB);
      await c.get('rbd_get_size', one, 'size');
      c.note({ toldAfterwards: told > before });
      await c.close(one, two);
    },
  },
];
