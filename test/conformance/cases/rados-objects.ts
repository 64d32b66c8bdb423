// librados: objects, one call at a time: data, attributes, lists, locks, and the calls that do not wait.
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { MiB, type Case, type Context } from '../context.js';
import { objects, text, withObjects } from '../rados.js';
import { textsIn } from '../../lib/memory.js';

const LONG = 'x'.repeat(4096);

/** A case on three objects that are not there before and after. */
function plays(name: string, run: (c: Context) => Promise<void>): Case {
  return { name, run: (c) => withObjects(c, () => run(c)) };
}

async function put(c: Context, name: string, data: string): Promise<void> {
  await c.need('rados_write_full', c.io, name, text(data), Buffer.byteLength(data));
}

async function read(c: Context, name: string, { length = 64, offset = 0, io = c.io }: { length?: number; offset?: number | bigint; io?: Handle } = {}): Promise<void> {
  const data = Buffer.alloc(Math.max(1, length), 0xee);
  const rc = await c.call('rados_read', io, name, new Bytes('data', data), length, offset);
  if (rc >= 0) c.note({ data: data.subarray(0, rc).toString('latin1') });
}

async function stat(c: Context, name: string): Promise<void> {
  const [size, time] = [new Out('size', 'u64', 77), new Out('time', 'u64')];
  const rc = await c.call('rados_stat', c.io, name, size, time);
  c.note({ size: size.value, recent: rc === 0 ? Math.abs(Number(time.value) - Date.now() / 1000) < 600 : null });
}

async function xattr(c: Context, object: string, name: string, room = 64): Promise<void> {
  const data = Buffer.alloc(Math.max(1, room), 0xee);
  const rc = await c.call('rados_getxattr', c.io, object, name, new Bytes('value', data), room);
  if (rc >= 0) c.note({ value: data.subarray(0, rc).toString() });
}

async function xattrs(c: Context, object: string): Promise<void> {
  const iterator = new Out('iterator', 'u64');
  if (await c.call('rados_getxattrs', c.io, object, iterator) < 0) return;
  const found: string[] = [];
  const [name, value, length] = [new Out('name', 'text'), new Out('value', 'u64'), new Out('length', 'u64')];
  while (Number(await c.silent('rados_getxattrs_next', iterator.value, name, value, length)) === 0 && name.text !== null) {
    found.push(`${name.text}=${c.bytes(value.value, Number(length.value)).toString()}`);
  }
  await c.silent('rados_getxattrs_end', iterator.value);
  c.note({ found: found.sort() });
}

async function aio(c: Context, fn: string, ...args: (Argument | 'COMP')[]): Promise<number> {
  const completion = new Handle('comp');
  await c.need('rados_aio_create_completion2', null, null, completion.ref);
  const rc = await c.call(fn, ...args.map((a) => (a === 'COMP' ? completion : a)));
  if (rc >= 0) {
    await c.silent('rados_aio_wait_for_complete', completion);
    await c.call('rados_aio_get_return_value', completion);
  }
  await c.silent('rados_aio_release', completion);
  return rc;
}

async function lockers(c: Context, object: string, name: string, room = 256): Promise<string[]> {
  const exclusive = new Out('exclusive', 'i32', 9);
  const parts = ['tag', 'clients', 'cookies', 'addrs'].map((part) => ({ buffer: new Bytes(part, Buffer.alloc(Math.max(1, room))), size: new Out(`${part}Size`, 'u64', room) }));
  const rc = await c.call('rados_list_lockers', c.io, object, name, exclusive, ...parts.flatMap((part) => [part.buffer, part.size]));
  if (rc <= 0) return [];
  const [tag, clients, cookies] = parts.map((part) => textsIn(part.buffer.buffer, Number(part.size.value)).filter(Boolean)) as [string[], string[], string[]];
  c.note({ exclusive: exclusive.value, tag, clients: clients.map((client) => c.label('client', client)), cookies });
  return clients;
}

function odd(name: string, label: string): Case {
  return plays(`an object whose name is ${label}`, async (c) => {
    await c.call('rados_write_full', c.io, name, text('data'), 4);
    await read(c, name);
    c.note({ listed: (await objects(c, c.io)).includes(name) });
    await c.call('rados_remove', c.io, name);
    await c.call('rados_remove', c.io, name);
  });
}

export const radosObjects: Case[] = [
  plays('objects: what is not there', async (c) => {
    await read(c, 'o');
    await stat(c, 'o');
    await c.call('rados_remove', c.io, 'o');
    await c.call('rados_trunc', c.io, 'o', 10);
    await xattr(c, 'o', 'k');
    await xattrs(c, 'o');
    await c.call('rados_rmxattr', c.io, 'o', 'k');
    await c.call('rados_cmpext', c.io, 'o', text('ab'), 2, 0);
    await lockers(c, 'o', 'L');
    await stat(c, 'o');
  }),
  odd('', 'empty'), odd('a/b@c', 'with a slash and an @'), odd('a\u0001\n', 'control bytes'), odd('ä✓', 'not ASCII'), odd('x'.repeat(2048), 'the longest'), odd('x'.repeat(2049), 'too long'), odd(LONG, '4 KiB'),
  plays('rados_write: offsets and lengths', async (c) => {
    for (const [offset, length] of [[0, 5], [3, 5], [100, 1], [0, 0], [200, 0]] as const) {
      await c.call('rados_write', c.io, 'o', text('abcde'), length, offset);
      await stat(c, 'o');
    }
    await read(c, 'o', { length: 16 });
    await read(c, 'o', { length: 16, offset: 95 });
    for (const offset of [2 ** 40, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) await c.call('rados_write', c.io, 'o', text('x'), 1, offset);
    await c.call('rados_write', c.io, 'o', text('x'), 2 ** 31, 0);
    await c.call('rados_write_full', c.io, 'o', text('x'), 2 ** 31);
    await c.call('rados_append', c.io, 'o', text('x'), 2 ** 31);
    await stat(c, 'o');
  }),
  plays('rados_read: offsets and lengths', async (c) => {
    await put(c, 'o', 'abcdefgh');
    for (const [offset, length] of [[0, 8], [0, 100], [4, 2], [7, 1], [8, 1], [100, 1], [0, 0], [100, 0]] as const) await read(c, 'o', { offset, length });
    for (const offset of [2 ** 40, 2n ** 63n]) await read(c, 'o', { offset, length: 1 });
    await c.call('rados_read', c.io, 'o', new Bytes('data', Buffer.alloc(1)), 2 ** 31, 0);
  }),
  plays('objects with holes: read and compared in them', async (c) => {
    await c.call('rados_write', c.io, 'o', text('x'), 1, 0);
    await c.call('rados_trunc', c.io, 'o', 48576);
    await c.call('rados_write', c.io, 'o', text('y'), 1, 65536);
    for (const [offset, length] of [[512, 8], [48570, 8], [65530, 8], [0, 4]] as const) await read(c, 'o', { offset, length });
    await c.call('rados_cmpext', c.io, 'o', text('zz'), 2, 512);
    await c.call('rados_cmpext', c.io, 'o', text('\u0000\u0000'), 2, 512);
  }),
  plays('rados_write_full, rados_append, rados_trunc, rados_writesame', async (c) => {
    await put(c, 'o', 'long enough');
    await c.call('rados_write_full', c.io, 'o', text('xy'), 2);
    await read(c, 'o');
    await c.call('rados_append', c.io, 'o', text('z!'), 2);
    await c.call('rados_append', c.io, 'p', text('new'), 3);
    await c.call('rados_append', c.io, 'q', text(''), 0);
    await read(c, 'o');
    await stat(c, 'q');
    for (const size of [2, 6, 0, 2 ** 40, 2n ** 63n, 2n ** 64n - 1n]) await c.call('rados_trunc', c.io, 'o', size);
    await stat(c, 'o');
    for (const [length, total] of [[2, 6], [2, 5], [0, 4], [2, 0], [2, 2], [3, 2]] as const) await c.call('rados_writesame', c.io, 'p', text('abc'), length, total, 1);
    await read(c, 'p');
  }),
  plays('rados_write_full of several megabytes, and over the largest size', async (c) => {
    const large = new Bytes('<7*5 MiB>', Buffer.alloc(5 * MiB, 7));
    await c.call('rados_write_full', c.io, 'o', large, 5 * MiB);
    await stat(c, 'o');
    const back = Buffer.alloc(5 * MiB);
    await c.call('rados_read', c.io, 'o', new Bytes('back', back), 5 * MiB, 0);
    c.note({ same: back.equals(large.buffer) });
    // The real library's limit is 90 MiB, ours 8.
    await c.call('rados_write_full', c.io, 'o', new Bytes('<1*91 MiB>', Buffer.alloc(91 * MiB, 1)), 91 * MiB);
    await c.call('rados_trunc', c.io, 'o', 128 * MiB);
    await c.call('rados_trunc', c.io, 'o', 128 * MiB + 1);
    await c.call('rados_write', c.io, 'o', text('x'), 1, 128 * MiB - 1);
    await c.call('rados_write', c.io, 'o', text('x'), 1, 128 * MiB);
  }),
  plays('rados_cmpext', async (c) => {
    await put(c, 'o', 'abcdef');
    for (const [data, offset] of [['abc', 0], ['abX', 0], ['Xbc', 0], ['def', 3], ['ef\u0000', 4], ['efg', 4], ['\u0000', 10], ['x', 10], ['', 0]] as const) {
      await c.call('rados_cmpext', c.io, 'o', text(data), data.length, offset);
    }
  }),
  plays('xattrs: set, get, list, remove, buffers too small, names of every kind', async (c) => {
    await c.call('rados_setxattr', c.io, 'o', 'k', text('value'), 5);
    await stat(c, 'o');
    for (const room of [0, 1, 4, 5, 64]) await xattr(c, 'o', 'k', room);
    await xattr(c, 'o', 'none');
    await c.call('rados_setxattr', c.io, 'o', 'empty', text(''), 0);
    await xattr(c, 'o', 'empty');
    for (const name of ['', 'a b/c', 'ä', 'x'.repeat(128), 'x'.repeat(255), 'x'.repeat(256), LONG]) {
      await c.call('rados_setxattr', c.io, 'o', name, text('v'), 1);
      await xattr(c, 'o', name);
      await c.call('rados_rmxattr', c.io, 'o', name);
    }
    for (const size of [65536, 65537]) await c.call('rados_setxattr', c.io, 'o', 'big', new Bytes('value', Buffer.alloc(size)), size);
    await c.call('rados_rmxattr', c.io, 'o', 'big');
    await xattrs(c, 'o');
    await c.call('rados_rmxattr', c.io, 'o', 'k');
    await c.call('rados_rmxattr', c.io, 'o', 'k');
    await c.call('rados_write_full', c.io, 'o', text('x'), 1);
    await xattrs(c, 'o');
  }),
  plays('listing: by namespace, all of them, with a locator', async (c) => {
    const mine = async (io: Handle) => c.note({ names: (await objects(c, io)).filter((name) => /^(cf-[ab]\/)?[opq]( by .*)?$/.test(name)) });
    await put(c, 'o', '1');
    await put(c, 'p', '2');
    const io = await c.ioctx({ namespace: 'cf-a' });
    await c.call('rados_write_full', io, 'o', text('in a'), 4);
    await read(c, 'o', { io });
    await read(c, 'o');
    await mine(c.io);
    await mine(io);
    await c.silent('rados_ioctx_set_namespace', io, '\u0001');
    await mine(io);
    await read(c, 'o', { io });
    await c.silent('rados_ioctx_set_namespace', io, 'cf-a');
    await c.silent('rados_ioctx_locator_set_key', io, 'key');
    await c.call('rados_write_full', io, 'q', text('k'), 1);
    await mine(io);
    await c.call('rados_remove', io, 'q');
    await c.silent('rados_ioctx_locator_set_key', io, null);
    await c.call('rados_remove', io, 'o');
    await c.drop(io);
  }),
  plays('object locks: exclusive, shared, by another, broken', async (c) => {
    const lock = (io: Handle, fn: 'exclusive' | 'shared', cookie: string, tag = 't', flags = 0) =>
      c.call(`rados_lock_${fn}`, io, 'o', 'L', cookie, ...(fn === 'shared' ? [tag] : []), 'why', null, flags);
    await lock(c.io, 'exclusive', 'a');
    await lock(c.io, 'exclusive', 'a');
    await lock(c.io, 'exclusive', 'a', 't', 1);
    await lock(c.io, 'exclusive', 'b');
    await lock(c.io, 'shared', 'a');
    await lockers(c, 'o', 'L');
    await lockers(c, 'o', 'L', 2);
    const cluster = await c.client();
    const io = await c.ioctx({ cluster });
    await lock(io, 'exclusive', 'a');
    await c.call('rados_unlock', io, 'o', 'L', 'a');
    const clients = await lockers(c, 'o', 'L');
    await c.call('rados_break_lock', io, 'o', 'L', c.hidden('client', clients[0] ?? ''), 'nocookie');
    await c.call('rados_break_lock', io, 'o', 'L', 'nonsense', 'a');
    await c.call('rados_break_lock', io, 'o', 'L', c.hidden('client', clients[0] ?? ''), 'a');
    await c.call('rados_unlock', c.io, 'o', 'L', 'a');
    await lock(c.io, 'shared', 'a');
    await lock(io, 'shared', 'a');
    await lock(io, 'shared', 'b', 'other');
    await lockers(c, 'o', 'L');
    await c.call('rados_unlock', c.io, 'o', 'L', 'a');
    await c.call('rados_unlock', io, 'o', 'L', 'a');
    await aio(c, 'rados_aio_unlock', io, 'o', 'L', 'a', 'COMP');
    await c.call('rados_lock_exclusive', c.io, 'o', '', 'a', '', null, 0);
    await c.call('rados_lock_exclusive', c.io, 'o', LONG, '', '', null, 0);
    await c.call('rados_lock_exclusive', c.io, 'o', 'M', 'a', '', null, 0x80);
    await c.drop(io);
    await c.shutdown(cluster);
  }),
  plays('aio: what each call returns and completes with', async (c) => {
    await aio(c, 'rados_aio_write_full', c.io, 'o', 'COMP', text('abcd'), 4);
    await aio(c, 'rados_aio_append', c.io, 'o', 'COMP', text('ef'), 2);
    await aio(c, 'rados_aio_write', c.io, 'o', 'COMP', text('X'), 1, 1);
    await aio(c, 'rados_aio_writesame', c.io, 'o', 'COMP', text('y'), 1, 3, 6);
    const data = Buffer.alloc(64);
    await aio(c, 'rados_aio_read', c.io, 'o', 'COMP', new Bytes('data', data), 64, 0);
    c.note({ data: data.toString('latin1').replace(/\0+$/, '') });
    const [size, time] = [new Out('size', 'u64'), new Out('time', 'u64')];
    await aio(c, 'rados_aio_stat', c.io, 'o', 'COMP', size, time);
    c.show(size);
    await aio(c, 'rados_aio_stat', c.io, 'q', 'COMP', size, time);
    await aio(c, 'rados_aio_read', c.io, 'q', 'COMP', new Bytes('data', data), 64, 0);
    await aio(c, 'rados_aio_cmpext', c.io, 'o', 'COMP', text('aXc'), 3, 0);
    await aio(c, 'rados_aio_cmpext', c.io, 'o', 'COMP', text('aYc'), 3, 0);
    await aio(c, 'rados_aio_setxattr', c.io, 'o', 'COMP', 'k', text('v'), 1);
    await aio(c, 'rados_aio_getxattr', c.io, 'o', 'COMP', 'k', new Bytes('value', Buffer.alloc(8)), 8);
    await aio(c, 'rados_aio_getxattr', c.io, 'o', 'COMP', 'k', new Bytes('value', Buffer.alloc(8)), 0);
    await aio(c, 'rados_aio_rmxattr', c.io, 'o', 'COMP', 'k');
    await aio(c, 'rados_aio_getxattr', c.io, 'o', 'COMP', 'k', new Bytes('value', Buffer.alloc(8)), 8);
    await aio(c, 'rados_aio_write', c.io, 'o', 'COMP', text('X'), 1, 2 ** 40);
    await aio(c, 'rados_aio_write', c.io, 'o', 'COMP', text('X'), 2 ** 31, 0);
    await aio(c, 'rados_aio_remove', c.io, 'o', 'COMP');
    await aio(c, 'rados_aio_remove', c.io, 'o', 'COMP');
    await aio(c, 'rados_aio_flush_async', c.io, 'COMP');
    await aio(c, 'rados_aio_watch_flush', c.cluster, 'COMP');
    await c.call('rados_aio_flush', c.io);
    await c.call('rados_watch_flush', c.cluster);
  }),
  plays('aio: callbacks, and what a completion says inside and after', async (c) => {
    const completion = new Handle('comp');
    let ran = 0;
    const callback = c.callback('cb', 'void', ['ptr', 'ptr'], () => { ran++; });
    await c.call('rados_aio_create_completion', null, callback, null, completion.ref);
    await c.call('rados_aio_is_complete', completion);
    await c.call('rados_aio_write_full', c.io, 'o', completion, text('abcd'), 4);
    await c.call('rados_aio_wait_for_complete_and_cb', completion);
    c.note({ ran });
    for (const fn of ['is_complete', 'is_safe', 'is_complete_and_cb', 'is_safe_and_cb', 'get_return_value', 'wait_for_safe', 'wait_for_safe_and_cb']) await c.call(`rados_aio_${fn}`, completion);
    c.note({ version: Number(await c.silent('rados_aio_get_version', completion)) > 0 });
    await c.silent('rados_aio_release', completion);
  }),
  plays('aio: a flush ends after what was begun before it', async (c) => {
    const many = Array.from({ length: 40 }, (_, i) => new Handle(`comp${i}`));
    for (const completion of many) {
      await c.need('rados_aio_create_completion2', null, null, completion.ref);
      await c.need('rados_aio_append', c.io, 'o', completion, text('x'), 1);
    }
    await c.call('rados_aio_flush', c.io);
    const complete = await Promise.all(many.map((completion) => c.silent('rados_aio_is_complete', completion)));
    c.note({ complete: complete.filter((done) => Number(done) === 1).length });
    for (const completion of many) await c.silent('rados_aio_release', completion);
    await stat(c, 'o');
  }),
  plays('rados_set_alloc_hint and versions', async (c) => {
    await c.call('rados_set_alloc_hint', c.io, 'o', 4096, 4096);
    await c.call('rados_set_alloc_hint2', c.io, 'o', 4096, 4096, 0);
    await stat(c, 'o');
    await put(c, 'o', 'a');
    const first = Number(await c.silent('rados_get_last_version', c.io));
    await put(c, 'o', 'b');
    c.note({ grows: Number(await c.silent('rados_get_last_version', c.io)) > first && first > 0 });
  }),
];
