// What the library tells its user: completions by eventfd and pipe, update and quiesce watchers, progress, callbacks of iterations.
import { closeSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { Bytes, Handle, Out, Shown } from '../transcript.js';
import { MiB, type Case, type Context } from '../context.js';

const libc = koffi.load('libc.so.6');
const eventfd = libc.func('int eventfd(unsigned int, int)');
const pipe = libc.func('int pipe2(_Out_ int *, int)');
const NONBLOCK = 0o4000;
const PIPE = 1;
const EVENTFD = 2;

/** What a descriptor holds now: an eventfd's count, a pipe's bytes; null where there is nothing. */
function drain(fd: number, kind: number): number | null {
  const data = Buffer.alloc(kind === EVENTFD ? 8 : 4096);
  try {
    const n = readSync(fd, data);
    return kind === EVENTFD ? Number(data.readBigUInt64LE()) : n;
  } catch {
    return null;
  }
}

interface Told { reader: number; writer: number; close(): void }

function descriptors(kind: number): Told {
  if (kind === EVENTFD) {
    const fd = Number(eventfd(0, NONBLOCK));
    return { reader: fd, writer: fd, close: () => closeSync(fd) };
  }
  const pair: number[] = [0, 0];
  pipe(pair, NONBLOCK);
  return { reader: pair[0]!, writer: pair[1]!, close: () => pair.forEach((fd) => closeSync(fd)) };
}

async function poll(c: Context, image: Handle, room: number): Promise<bigint[]> {
  const list = Buffer.alloc(Math.max(1, room) * 8);
  const n = await c.call('rbd_poll_io_events', image, new Bytes('comps', list), room);
  return Array.from({ length: Math.max(0, n) }, (_, i) => list.readBigUInt64LE(i * 8));
}

function notified(label: string, kind: number): Case {
  return {
    name: `rbd_set_image_notification and rbd_poll_io_events: ${label}`,
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      const told = descriptors(kind);
      await poll(c, image, 4);
      await c.call('rbd_set_image_notification', image, new Shown('<fd>', told.writer), kind);
      await c.call('rbd_set_image_notification', image, new Shown('<fd>', told.writer), kind);
      c.note({ atFirst: drain(told.reader, kind) });
      await poll(c, image, 4);
      let ran = 0;
      const callback = c.callback('cb', 'void', ['ptr', 'ptr'], () => { ran++; });
      const many = await Promise.all(Array.from({ length: 5 }, (_, i) => c.completion(`comp${i}`, callback, i + 1)));
      const data = Buffer.alloc(4096, 1);
      for (const [i, completion] of many.entries()) await c.call('rbd_aio_write', image, i * 4096, 4096, new Bytes('data', data), completion);
      for (const completion of many) await c.silent('rbd_aio_wait_for_complete', completion);
      c.note({ all: await c.until(async () => ran === 5) });
      let counted = 0;
      c.note({ counted: await c.until(async () => (counted += drain(told.reader, kind) ?? 0) >= 5), sum: counted });
      const got = [...await poll(c, image, 2), ...await poll(c, image, 2), ...await poll(c, image, 2)];
      c.note({ each: new Set(got).size, known: got.every((one) => many.some((completion) => completion.address === one)) });
      c.note({ args: (await Promise.all(got.map((one) => c.silent('rbd_aio_get_arg', one)))).map(Number).sort() });
      await poll(c, image, 4);
      await poll(c, image, 0);
      for (const completion of many) await c.silent('rbd_aio_release', completion);
      // Of synchronous calls and of a failed one.
      await c.write(image, 0, 512, 1);
      c.note({ afterSync: drain(told.reader, kind) });
      const bad = await c.completion('bad');
      await c.call('rbd_aio_read', image, 64 * MiB, 1, new Bytes('data', data), bad);
      await c.silent('rbd_aio_wait_for_complete', bad);
      let more = 0;
      c.note({ more: await c.until(async () => (more += drain(told.reader, kind) ?? 0) >= 1) });
      c.note({ bad: (await poll(c, image, 4)).map((one) => one === bad.address) });
      await c.call('rbd_aio_get_return_value', bad);
      await c.silent('rbd_aio_release', bad);
      await c.close(image);
      c.note({ afterClose: drain(told.reader, kind) });
      told.close();
    },
  };
}

export const events: Case[] = [
  notified('an eventfd', EVENTFD),
  notified('a pipe', PIPE),
  {
    name: 'rbd_set_image_notification: bad kinds and descriptors',
    run: async (c) => {
      const image = await c.fresh('i', MiB);
      const told = descriptors(EVENTFD);
      for (const kind of [0, 3, 9, -1]) await c.call('rbd_set_image_notification', image, new Shown('<fd>', told.writer), kind);
      await c.call('rbd_set_image_notification', image, new Shown('<fd>', told.writer), EVENTFD);
      await poll(c, image, 0);
      await c.close(image);
      told.close();
    },
  },
  {
    name: 'update watchers: more than one, unwatch twice, unknown handles, on a reader',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      const counts = [0, 0];
      const callbacks = counts.map((_, i) => c.callback(`updated${i}`, 'void', ['ptr'], () => { counts[i]!++; }));
      const handles = [new Out('first', 'u64'), new Out('second', 'u64')] as const;
      for (const [i, handle] of handles.entries()) await c.call('rbd_update_watch', one, handle, callbacks[i]!, null);
      c.note({ different: handles[0].value !== handles[1].value });
      await c.call('rbd_snap_create', two, 's');
      c.note({ both: await c.until(async () => counts.every((count) => count > 0)) });
      await c.call('rbd_update_unwatch', one, new Shown('<first>', handles[0].value));
      const before = [...counts];
      await c.call('rbd_snap_remove', two, 's');
      c.note({ second: await c.until(async () => counts[1]! > before[1]!), first: counts[0]! > before[0]! });
      await c.call('rbd_update_unwatch', one, new Shown('<second>', handles[1].value));
      await c.close(one, two);
      const reader = await c.open('i', { as: 'reader', readOnly: true });
      const handle = new Out('third', 'u64');
      if (await c.call('rbd_update_watch', reader, handle, callbacks[0]!, null) === 0) await c.call('rbd_update_unwatch', reader, new Shown('<third>', handle.value));
      await c.close(reader);
    },
  },
  {
    name: 'quiesce watchers are asked before a snapshot of another handle and told after it',
    run: async (c) => {
      const one = await c.fresh('i');
      const two = await c.open('i', { as: 'img2' });
      const order: string[] = [];
      const handle = new Out('handle', 'u64');
      const quiesce = c.callback('quiesce', 'void', ['ptr'], () => {
        order.push('quiesce');
        void c.silent('rbd_quiesce_complete', one, new Shown('<handle>', handle.value), 0);
      });
      const unquiesce = c.callback('unquiesce', 'void', ['ptr'], () => { order.push('unquiesce'); });
      await c.call('rbd_quiesce_watch', one, quiesce, unquiesce, null, handle);
      await c.call('rbd_snap_create', two, 's1');
      c.note({ told: await c.until(async () => order.length >= 2), order });
      await c.call('rbd_snap_create', one, 's2');
      c.note({ told: await c.until(async () => order.length >= 4), order });
      await c.call('rbd_quiesce_unwatch', one, new Shown('<handle>', handle.value));
      await c.call('rbd_snap_create', two, 's3');
      c.note({ times: order.length });
      await c.close(one, two);
    },
  },
  {
    name: 'progress callbacks: grow to their total, and stop with what they return',
    run: async (c) => {
      const image = await c.fresh('i', 32 * MiB);
      await c.write(image, 0, MiB, 1);
      await c.write(image, 20 * MiB, MiB, 2);
      await c.need('rbd_snap_create', image, 's');
      await c.need('rbd_snap_protect', image, 's');
      const watch = (answer: number) => {
        const seen: [bigint, bigint][] = [];
        const callback = c.callback('progress', 'int', ['u64', 'u64', 'ptr'], (done = 0n, total = 0n) => {
          seen.push([done, total]);
          return answer;
        });
        return { callback, show: () => c.note({ called: seen.length > 0, grows: seen.every(([done], i) => i === 0 || done >= seen[i - 1]![0]), inside: seen.every(([done, total]) => done <= total) }) };
      };
      const copied = watch(0);
      await c.call('rbd_copy_with_progress', image, c.io, 'copy', copied.callback, null);
      copied.show();
      const rolled = watch(0);
      await c.call('rbd_snap_rollback_with_progress', image, 's', rolled.callback, null);
      rolled.show();
      await c.need('rbd_clone', c.io, 'i', 's', c.io, 'clone', 61, new Out('order', 'i32'));
      const clone = await c.open('clone', { as: 'clone' });
      const flat = watch(0);
      await c.call('rbd_flatten_with_progress', clone, flat.callback, null);
      flat.show();
      await c.close(clone);
      await c.call('rbd_snap_unprotect', image, 's');
      const removed = watch(0);
      await c.call('rbd_snap_remove2', image, 's', 0, removed.callback, null);
      const sparse = watch(0);
      await c.call('rbd_sparsify_with_progress', image, 4096, sparse.callback, null);
      sparse.show();
      await c.close(image);
      const gone = watch(0);
      await c.call('rbd_remove_with_progress', c.io, 'copy', gone.callback, null);
      gone.show();
    },
  },
  {
    name: 'diff_iterate: callbacks see what changed in order, and end it with what they return below 0',
    run: async (c) => {
      const image = await c.fresh('i', 32 * MiB);
      await c.write(image, 0, 4 * MiB, 1);
      await c.need('rbd_snap_create', image, 's1');
      await c.write(image, 8 * MiB, 4 * MiB, 2);
      await c.call('rbd_discard', image, 0, 4 * MiB);
      await c.write(image, 24 * MiB, 4 * MiB, 3);
      for (const [fn, answer] of [['rbd_diff_iterate', 0], ['rbd_diff_iterate2', 0], ['rbd_diff_iterate2', -5], ['rbd_diff_iterate2', 7]] as const) {
        const seen: string[] = [];
        const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], (offset = 0n, length = 0n, exists = 0n) => {
          seen.push(`${offset}+${length}:${exists}`);
          return answer;
        });
        const tail = fn === 'rbd_diff_iterate' ? [callback, null] : [1, 1, callback, null];
        await c.call(fn, image, 's1', 0, 32 * MiB, ...tail);
        c.note({ seen: answer < 0 ? seen.length : seen });
      }
      await c.close(image);
    },
  },
];
