// librados: watching objects and telling who watches.
import { Handle, Out, Shown, type Argument, type Named } from '../transcript.js';
import { type Case, type Context } from '../context.js';
import { text, withObjects } from '../rados.js';

interface Told { id: bigint; cookie: bigint; data: string }

/** A callback that notes what it is told and answers `reply`, or leaves the notifier waiting. */
function listener(c: Context, reply: string | null): { callback: Named; told: Told[] } {
  const told: Told[] = [];
  const callback = c.callback('told', 'void', ['ptr', 'u64', 'u64', 'u64', 'ptr', 'u64'], (_arg = 0n, id = 0n, cookie = 0n, _from = 0n, data = 0n, length = 0n) => {
    told.push({ id, cookie, data: c.bytes(data, Number(length)).toString() });
    if (reply !== null) void c.silent('rados_notify_ack', c.io, 'o', id, cookie, text(reply), reply.length);
  });
  return { callback, told };
}

async function notify(c: Context, object: string, message: string, timeoutMs = 10_000): Promise<void> {
  const [answer, size] = [new Out('answer', 'u64'), new Out('size', 'u64')];
  await c.call('rados_notify2', c.io, object, text(message), message.length, timeoutMs, answer, size);
  await show(c, answer, size);
}

async function show(c: Context, answer: Out, size: Out): Promise<void> {
  const [acks, ackCount, missing, missingCount] = [new Out('acks', 'u64'), new Out('ackCount', 'u64'), new Out('missing', 'u64'), new Out('missingCount', 'u64')];
  if (answer.value !== 0n) {
    await c.call('rados_decode_notify_response', answer.value === 0n ? null : new Shown('answer', answer.value), size.value === 0n ? 0 : new Shown('size', size.value), acks, ackCount, missing, missingCount);
    c.show(ackCount, missingCount);
    await c.silent('rados_free_notify_response', acks.value, ackCount.value, missing.value);
    await c.silent('rados_buffer_free', answer.value);
  }
}

function plays(name: string, run: (c: Context) => Promise<void>): Case {
  return { name, run: (c) => withObjects(c, () => run(c)) };
}

function watching(fn: string, ...more: Argument[]): Case {
  return plays(`${fn}: told once, answers, told no more`, async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('x'), 1);
    const { callback, told } = listener(c, 'here');
    const cookie = new Out('cookie', 'u64');
    await c.call(fn, c.io, 'o', cookie, callback, null, ...more, null);
    await notify(c, 'o', 'hello');
    c.note({ told: told.map(({ data }) => data), same: told.every((one) => one.cookie === cookie.value) });
    c.note({ alive: Number(await c.silent('rados_watch_check', c.io, cookie.value)) >= 0 });
    await c.call('rados_unwatch2', c.io, new Shown('<cookie>', cookie.value));
    await notify(c, 'o', 'again');
    c.note({ told: told.length });
    await c.call('rados_watch_flush', c.cluster);
  });
}

export const radosWatches: Case[] = [
  watching('rados_watch2'),
  watching('rados_watch3', 30),
  plays('rados_watch and rados_notify: the older form', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('x'), 1);
    let told = 0;
    const callback = c.callback('told', 'void', ['u8', 'u64', 'ptr'], () => { told++; });
    const cookie = new Out('cookie', 'u64');
    await c.call('rados_watch', c.io, 'o', 0, cookie, callback, null);
    await c.call('rados_notify', c.io, 'o', 0, text('hello'), 5);
    c.note({ told: await c.until(async () => told > 0) });
    await c.call('rados_unwatch', c.io, 'o', new Shown('<cookie>', cookie.value));
    await c.call('rados_notify', c.io, 'o', 0, text('hello'), 5);
    c.note({ times: told });
  }),
  plays('watches not waited for, and a notification', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('x'), 1);
    const { callback, told } = listener(c, 'ok');
    const wait = async (completion: Handle): Promise<void> => {
      await c.silent('rados_aio_wait_for_complete', completion);
      await c.call('rados_aio_get_return_value', completion);
      await c.silent('rados_aio_release', completion);
    };
    for (const [fn, ...more] of [['rados_aio_watch'], ['rados_aio_watch2', 30]] as const) {
      const cookie = new Out('cookie', 'u64');
      const begun = async (): Promise<Handle> => {
        const completion = new Handle('comp');
        await c.need('rados_aio_create_completion2', null, null, completion.ref);
        return completion;
      };
      const watched = await begun();
      await c.call(fn, c.io, 'o', watched, cookie, callback, null, ...more, null);
      await wait(watched);
      const [answer, size] = [new Out('answer', 'u64'), new Out('size', 'u64')];
      const notified = await begun();
      await c.call('rados_aio_notify', c.io, 'o', notified, text('hello'), 5, 10_000, answer, size);
      await wait(notified);
      await show(c, answer, size);
      const ended = await begun();
      await c.call('rados_aio_unwatch', c.io, new Shown('<cookie>', cookie.value), ended);
      await wait(ended);
    }
    c.note({ told: told.map(({ data }) => data) });
  }),
  plays('watches: what is not there, and who does not answer', async (c) => {
    const { callback } = listener(c, null);
    const cookie = new Out('cookie', 'u64');
    await c.call('rados_watch2', c.io, 'o', cookie, callback, null, null);
    await notify(c, 'o', 'nobody');
    await c.need('rados_write_full', c.io, 'o', text('x'), 1);
    await notify(c, 'o', 'nobody');
    await c.call('rados_watch2', c.io, 'o', cookie, callback, null, null);
    await notify(c, 'o', 'in vain', 1000);
    await c.call('rados_unwatch2', c.io, new Shown('<cookie>', cookie.value));
  }),
];
