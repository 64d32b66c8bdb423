// Steps of the random test with calls that complete later: one, and several on their way at once.
import { Bytes, type Argument, type Handle } from './transcript.js';
import { number, open, text, type Operation, type Step, type World } from './world.js';

const filled = (value: number, length: number): Bytes => new Bytes(`<${value}*${length}>`, Buffer.alloc(Math.max(1, length), value));

async function waited(w: World, completion: Handle): Promise<void> {
  await w.c.silent('rbd_aio_wait_for_complete', completion);
  await w.c.call('rbd_aio_get_return_value', completion);
  await w.c.silent('rbd_aio_release', completion);
}

// One call, its completion's result where it was taken.
async function later(w: World, fn: string, args: (completion: Handle) => Argument[]): Promise<void> {
  const completion = await w.c.completion();
  if (await w.c.call(fn, ...args(completion)) === 0) await waited(w, completion);
  else await w.c.silent('rbd_aio_release', completion);
}

const range = (s: Step): [number, number] => [number(s, 'offset'), number(s, 'length')];

export const WAITING_OPERATIONS: Record<string, Operation> = {
  laterWrite: open((w, s, image) => later(w, 'rbd_aio_write', (done) => [image, ...range(s), filled(number(s, 'value'), number(s, 'length')), done])),
  laterDiscard: open(async (w, s, image) => {
    await later(w, 'rbd_aio_discard', (done) => [image, ...range(s), done]);
    if (s['onCurvebs'] === true) await later(w, 'rbd_aio_write_zeroes', (done) => [image, ...range(s), done, 0, 0]);
  }),
  laterZeroes: open((w, s, image) => later(w, 'rbd_aio_write_zeroes', (done) => [image, ...range(s), done, 0, 0])),
  laterFlush: open((w, _, image) => later(w, 'rbd_aio_flush', (done) => [image, done])),
  laterRead: open(async (w, s, image) => {
    const data = Buffer.alloc(Math.max(1, number(s, 'length')), 0xee);
    await later(w, 'rbd_aio_read', (done) => [image, ...range(s), new Bytes('data', data), done]);
    w.c.note({ data });
  }),
  laterCompare: open((w, s, image) => later(w, 'rbd_aio_compare_and_write', (done) => {
    const length = s['op'] === 'laterCompare' ? 1 + number(s, 'length') % 512 : 0;
    const offset = number(s, 'offset') - number(s, 'offset') % 512;
    return [image, offset, length, filled(number(s, 'was'), length), filled(number(s, 'value'), length), done, new Bytes('mismatch', Buffer.alloc(8)), 0];
  })),
  // Neighbours that do not overlap, so that the end is the same in whatever order they are done.
  several: open(async (w, s, image) => {
    const [offset, length] = [number(s, 'offset'), Math.min(8192, number(s, 'length'))];
    const begun: Handle[] = [];
    for (let i = 0; i < 6; i++) {
      const completion = await w.c.completion(`comp${i}`);
      const args: Argument[] = i % 3 === 2 ? [image, offset + i * length, length, completion, 0, 0] : [image, offset + i * length, length, filled(number(s, 'value') + i, length), completion];
      if (await w.c.call(i % 3 === 2 ? 'rbd_aio_write_zeroes' : 'rbd_aio_write', ...args) === 0) begun.push(completion);
    }
    for (const completion of begun) await waited(w, completion);
    await w.c.read(image, offset, 6 * length);
  }),
  openLater: async (w, s) => {
    const slot = number(s, 'slot');
    if (w.handles.has(slot)) return;
    const handle = w.newHandle(slot);
    const completion = await w.c.completion();
    if (await w.c.call('rbd_aio_open', w.c.io, text(s, 'name'), handle.ref, null, completion) !== 0) return;
    await w.c.silent('rbd_aio_wait_for_complete', completion);
    if (await w.c.call('rbd_aio_get_return_value', completion) === 0) w.handles.set(slot, handle);
    await w.c.silent('rbd_aio_release', completion);
  },
  closeLater: open(async (w, s, image) => {
    w.handles.delete(number(s, 'slot'));
    await later(w, 'rbd_aio_close', (done) => [image, done]);
  }),
};
