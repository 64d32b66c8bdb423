// Who watches an image, and who is told of its changes.
import { Bytes, Out, Shown, type Handle } from '../transcript.js';
import { MiB, watcher, type Case, type Context } from '../context.js';

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

export const watching: Case[] = [
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
