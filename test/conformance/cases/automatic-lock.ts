// The lock that a writer takes by itself: which calls take it, who has to give it back.
import { Bytes, Out, type Argument, type Handle } from '../transcript.js';
import { MiB, type Case } from '../context.js';
import { isOwner, lockers, owners, quietOwner } from './lock-views.js';

export const automaticLock: Case[] = [
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
];
