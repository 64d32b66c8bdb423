// The lock that a client asks for: acquire, own, release, break; between handles, and as its feature comes and goes.
import { Out, type Handle } from '../transcript.js';
import { MiB, type Case } from '../context.js';
import { isOwner, owners, quietOwner } from './lock-views.js';

export const managedLock: Case[] = [
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
];
