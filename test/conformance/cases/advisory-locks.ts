// Advisory locks: who has them, who is kept out, who breaks them.
import { Out } from '../transcript.js';
import { MiB, type Case } from '../context.js';
import { isOwner, lockers } from './lock-views.js';

export const advisoryLocks: Case[] = [
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
];
