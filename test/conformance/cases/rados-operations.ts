// librados: several steps on one object at once, all or none: rados_write_op_* and rados_read_op_*, omap, iterators.
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { type Case, type Context } from '../context.js';
import { sizes, Strings, text, withObjects } from '../rados.js';

type Step = [fn: string, ...args: Argument[]];

async function made(c: Context, fn: string): Promise<Handle> {
  const op = new Handle('op');
  op.buffer.writeBigUInt64LE(BigInt(await c.silent(fn) ?? 0));
  return op;
}

/** Carries the steps out on an object, each written down. */
async function write(c: Context, name: string, steps: Step[], { by = 'rados_write_op_operate', flags = 0 }: { by?: string; flags?: number } = {}): Promise<number> {
  const op = await made(c, 'rados_create_write_op');
  for (const [fn, ...args] of steps) await c.call(`rados_write_op_${fn}`, op, ...args);
  const rc = await c.call(by, op, c.io, name, null, flags);
  await c.silent('rados_release_write_op', op);
  return rc;
}

async function read(c: Context, name: string, steps: Step[], flags = 0): Promise<number> {
  const op = await made(c, 'rados_create_read_op');
  for (const [fn, ...args] of steps) await c.call(`rados_read_op_${fn}`, op, ...args);
  const rc = await c.call('rados_read_op_operate', op, c.io, name, flags);
  await c.silent('rados_release_read_op', op);
  return rc;
}

async function pairs(c: Context, iterator: Out, withLengths: boolean): Promise<void> {
  if (iterator.value === 0n) return c.note({ pairs: null });
  const [key, value, keyLength, length] = [new Out('key', 'u64'), new Out('value', 'u64'), new Out('keyLength', 'u64'), new Out('length', 'u64')];
  const found: string[] = [];
  const size = await c.silent('rados_omap_iter_size', iterator.value);
  const next = async () => Number(await (withLengths
    ? c.silent('rados_omap_get_next2', iterator.value, key, value, keyLength, length) : c.silent('rados_omap_get_next', iterator.value, key, value, length)));
  while (await next() === 0 && key.value !== 0n && found.length < 20) {
    const name = withLengths ? c.bytes(key.value, Number(keyLength.value)).toString() : new Out('text', 'text', key.value).text;
    found.push(`${name}=${value.value === 0n ? '' : c.bytes(value.value, Number(length.value)).toString()}`);
  }
  await c.silent('rados_omap_get_end', iterator.value);
  c.note({ pairs: found, size: size ?? null });
}

const KEYS = ['a', 'b', 'bb', 'c'];

/** Four keys of an object's omap. */
async function filled(c: Context, name = 'o'): Promise<void> {
  const op = await made(c, 'rados_create_write_op');
  await c.silent('rados_write_op_omap_set', op, Strings.of('keys', KEYS), Strings.of('values', ['1', '22', '', '4']), sizes('lengths', [1, 2, 0, 1]), 4);
  await c.need('rados_write_op_operate', op, c.io, name, null, 0);
  await c.silent('rados_release_write_op', op);
}

async function omap(c: Context, name = 'o'): Promise<void> {
  const [iterator, more, result] = [new Out('iterator', 'u64'), new Out('more', 'bool'), new Out('result', 'i32', 7)];
  await read(c, name, [['omap_get_vals2', '', '', 100, iterator, more, result]]);
  c.show(more, result);
  await pairs(c, iterator, true);
}

async function state(c: Context, name = 'o'): Promise<void> {
  const data = Buffer.alloc(64);
  const rc = await c.call('rados_read', c.io, name, new Bytes('data', data), 64, 0);
  c.note({ data: data.subarray(0, Math.max(0, rc)).toString('latin1') });
}

function plays(name: string, run: (c: Context) => Promise<void>): Case {
  return { name, run: (c) => withObjects(c, () => run(c)) };
}

export const radosOperations: Case[] = [
  plays('write operations: data in every way, in order', async (c) => {
    await write(c, 'o', [['create', 1, null], ['write_full', text('abcdef'), 6], ['append', text('gh'), 2], ['write', text('X'), 1, 1]]);
    await state(c);
    await write(c, 'o', [['zero', 2, 3], ['truncate', 7], ['writesame', text('yz'), 2, 6, 4]]);
    await state(c);
    await write(c, 'o', [['set_alloc_hint', 4096, 4096], ['set_alloc_hint2', 4096, 4096, 0]]);
    await write(c, 'o', []);
    await write(c, 'o', [['remove']]);
    await state(c);
    await write(c, 'o', [['zero', 0, 10]]);
    await state(c);
  }),
  plays('write operations: what they demand of the object first, and nothing is done where it is not so', async (c) => {
    await write(c, 'o', [['assert_exists'], ['append', text('no'), 2]]);
    await state(c);
    await write(c, 'o', [['create', 0, null]]);
    await write(c, 'o', [['create', 1, null], ['append', text('no'), 2]]);
    await write(c, 'o', [['append', text('abc'), 3], ['assert_exists']]);
    const code = new Out('code', 'i32', 7);
    await write(c, 'o', [['cmpext', text('abc'), 3, 0, code], ['append', text('d'), 1]]);
    c.show(code);
    await write(c, 'o', [['cmpext', text('abX'), 3, 0, code], ['append', text('e'), 1]]);
    c.show(code);
    await state(c);
    await write(c, 'o', [['setxattr', 'k', text('5'), 1]]);
    for (const operator of [0, 1, 2, 3, 4, 5, 6, 7]) await write(c, 'o', [['cmpxattr', 'k', operator, text('4'), 1]]);
    await write(c, 'o', [['cmpxattr', 'none', 1, text(''), 0]]);
    await write(c, 'o', [['rmxattr', 'k'], ['rmxattr', 'none']]);
    await write(c, 'o', [['assert_version', 0]]);
    await write(c, 'o', [['assert_version', 1]]);
    await write(c, 'o', [['assert_version', 2n ** 40n * 1000n]]);
  }),
  plays('write operations: a step that may fail, and flags', async (c) => {
    await write(c, 'o', [['create', 0, null]]);
    await write(c, 'o', [['create', 1, null], ['set_flags', 2], ['append', text('yes'), 3]]);
    await state(c);
    await write(c, 'o', [['append', text('!'), 1]], { flags: 8 });
    await write(c, 'o', [['exec', 'nosuch', 'method', text('in'), 2, new Out('code', 'i32')]]);
    await state(c);
  }),
  plays('write operations: not waited for, with a time', async (c) => {
    for (const name of ['rados_aio_write_op_operate', 'rados_aio_write_op_operate2', 'rados_write_op_operate2']) {
      // The later forms take a timespec; the time of 16.2.15's is a time_t.
      const isAio = name.includes('_aio_');
      const fn = c.abi.has(name) ? name : 'rados_aio_write_op_operate';
      const op = await made(c, 'rados_create_write_op');
      await c.silent('rados_write_op_append', op, text('x'), 1);
      const completion = new Handle('comp');
      await c.need('rados_aio_create_completion2', null, null, completion.ref);
      const time = new Bytes('time', Buffer.alloc(16));
      time.buffer.writeBigInt64LE(1_000_000_000n);
      const rc = Number(await (isAio ? c.silent(fn, op, c.io, completion, 'o', time, 0) : c.silent(fn, op, c.io, 'o', time, 0)));
      if (isAio) await c.silent('rados_aio_wait_for_complete', completion);
      c.lines.push(`${name}() = ${rc}`);
      if (isAio) await c.call('rados_aio_get_return_value', completion);
      await c.silent('rados_aio_release', completion);
      await c.silent('rados_release_write_op', op);
      const [size, when] = [new Out('size', 'u64'), new Out('when', 'i64')];
      await c.call('rados_stat', c.io, 'o', size, when);
      c.show(size, when);
    }
  }),
  plays('omap: set, read in pages, by keys, compared, removed, cleared', async (c) => {
    await filled(c);
    await omap(c);
    for (const [after, prefix, max] of [['', '', 2], ['a', '', 2], ['b', 'b', 10], ['', 'b', 10], ['z', '', 10], ['', '', 0]] as const) {
      const [iterator, more, result] = [new Out('iterator', 'u64'), new Out('more', 'bool', 1), new Out('result', 'i32', 7)];
      await read(c, 'o', [['omap_get_vals2', after, prefix, max, iterator, more, result]]);
      c.show(more, result);
      await pairs(c, iterator, false);
      await read(c, 'o', [['omap_get_vals', after, prefix, max, iterator, result]]);
      await pairs(c, iterator, true);
      await read(c, 'o', [['omap_get_keys2', after, max, iterator, more, result]]);
      c.show(more, result);
      await pairs(c, iterator, true);
      await read(c, 'o', [['omap_get_keys', after, max, iterator, result]]);
      await pairs(c, iterator, false);
    }
    const [iterator, result] = [new Out('iterator', 'u64'), new Out('result', 'i32', 7)];
    await read(c, 'o', [['omap_get_vals_by_keys', Strings.of('keys', ['a', 'none', 'c']), 3, iterator, result]]);
    await pairs(c, iterator, true);
    await read(c, 'o', [['omap_get_vals_by_keys2', Strings.of('keys', ['bb']), 1, sizes('lengths', [2]), iterator, result]]);
    await pairs(c, iterator, true);
    for (const operator of [1, 2, 3, 4, 5, 6]) {
      await read(c, 'o', [['omap_cmp', 'b', operator, text('22'), 2, result]]);
      c.show(result);
      await write(c, 'o', [['omap_cmp', 'b', operator, text('21'), 2, result]]);
    }
    await read(c, 'o', [['omap_cmp2', 'b', 1, text('22'), 1, 2, result]]);
    await write(c, 'o', [['omap_cmp2', 'b', 1, text('22'), 1, 2, result]]);
    await write(c, 'o', [['omap_rm_keys', Strings.of('keys', ['a', 'none']), 2]]);
    await omap(c);
    await write(c, 'o', [['omap_rm_keys2', Strings.of('keys', ['bb']), sizes('lengths', [2]), 1]]);
    await omap(c);
    await write(c, 'o', [['omap_set2', Strings.of('keys', ['x', 'y', 'z']), Strings.of('values', ['7', '8', '9']), sizes('keyLengths', [1, 1, 1]), sizes('lengths', [1, 1, 1]), 3]]);
    await write(c, 'o', [['omap_rm_range2', text('x'), 1, text('z'), 1]]);
    await omap(c);
    await write(c, 'o', [['omap_clear']]);
    await omap(c);
    await write(c, 'p', [['omap_rm_keys', Strings.of('keys', ['a']), 1]]);
    await write(c, 'p', [['omap_clear']]);
    await omap(c, 'p');
    await omap(c, 'q');
  }),
  plays('read operations: data, size, attributes, comparisons, at once', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('abcdef'), 6);
    await c.need('rados_setxattr', c.io, 'o', 'k', text('v'), 1);
    const data = Buffer.alloc(8, 0xee);
    const [got, size, time, code, result, second] = [new Out('got', 'u64'), new Out('size', 'u64'), new Out('time', 'u64'), new Out('code', 'i32', 7), new Out('result', 'i32', 7), new Out('second', 'i32', 7)];
    const iterator = new Out('iterator', 'u64');
    await read(c, 'o', [['assert_exists'], ['read', 1, 3, new Bytes('data', data), got, result], ['stat', size, time, second], ['cmpext', text('abc'), 3, 0, code], ['getxattrs', iterator, new Out('r', 'i32')]]);
    c.note({ data });
    c.show(got, result, size, second, code);
    const [name, value, length] = [new Out('name', 'text'), new Out('value', 'u64'), new Out('length', 'u64')];
    while (Number(await c.silent('rados_getxattrs_next', iterator.value, name, value, length)) === 0 && name.text !== null) c.note({ name: name.text, value: c.bytes(value.value, Number(length.value)).toString() });
    await c.silent('rados_getxattrs_end', iterator.value);
    await read(c, 'o', [['read', 4, 8, new Bytes('data', data), got, result]]);
    c.show(got, result);
    await read(c, 'o', [['read', 100, 8, new Bytes('data', data), got, result]]);
    c.show(got, result);
    await read(c, 'o', [['cmpext', text('abX'), 3, 0, code], ['stat', size, time, second]]);
    c.show(code);
    await read(c, 'o', [['cmpxattr', 'k', 1, text('v'), 1]]);
    await read(c, 'o', [['cmpxattr', 'k', 2, text('v'), 1]]);
    await read(c, 'q', [['assert_exists']]);
    await read(c, 'q', [['stat', size, time, second]]);
    c.show(second);
    await read(c, 'q', []);
    await read(c, 'o', [['assert_version', 0]]);
    await read(c, 'o', [['assert_version', 1]]);
    await read(c, 'o', [['exec', 'nosuch', 'method', text('in'), 2, new Out('out', 'u64'), new Out('outSize', 'u64'), code]]);
    await read(c, 'o', [['exec_user_buf', 'nosuch', 'method', text('in'), 2, new Bytes('out', Buffer.alloc(8)), 8, new Out('outSize', 'u64'), code]]);
    await read(c, 'q', [['stat', size, time, second], ['set_flags', 2], ['assert_exists']]);
  }),
  plays('read operations: a checksum', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('abcdef'), 6);
    const sum = new Bytes('sum', Buffer.alloc(16));
    await read(c, 'o', [['checksum', 2, new Bytes('init', Buffer.alloc(4)), 4, 0, 6, 0, sum, 16, new Out('code', 'i32')]]);
  }),
  plays('read operations: not waited for', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('abcdef'), 6);
    for (const name of ['o', 'q']) {
      const op = await made(c, 'rados_create_read_op');
      const [got, result] = [new Out('got', 'u64'), new Out('result', 'i32', 7)];
      await c.call('rados_read_op_read', op, 0, 8, new Bytes('data', Buffer.alloc(8)), got, result);
      const completion = new Handle('comp');
      await c.need('rados_aio_create_completion2', null, null, completion.ref);
      await c.call('rados_aio_read_op_operate', op, c.io, completion, name, 0);
      await c.silent('rados_aio_wait_for_complete', completion);
      await c.call('rados_aio_get_return_value', completion);
      c.show(got, result);
      await c.silent('rados_aio_release', completion);
      await c.silent('rados_release_read_op', op);
    }
  }),
  plays('sizes and times in the form of later releases say what the earlier say', async (c) => {
    await c.need('rados_write_full', c.io, 'o', text('abcdef'), 6);
    for (const name of ['o', 'q']) {
      const [size, time] = [new Out('size', 'u64', 77), new Bytes('time', Buffer.alloc(16))];
      const recent = () => Math.abs(Number(time.buffer.readBigInt64LE()) - Date.now() / 1000) < 600;
      c.lines.push(`rados_stat2() = ${await c.silent(c.abi.has('rados_stat2') ? 'rados_stat2' : 'rados_stat', c.io, name, size, time)}`);
      c.note({ size: size.value, recent: recent() });
      const completion = new Handle('comp');
      await c.need('rados_aio_create_completion2', null, null, completion.ref);
      c.lines.push(`rados_aio_stat2() = ${await c.silent(c.abi.has('rados_aio_stat2') ? 'rados_aio_stat2' : 'rados_aio_stat', c.io, name, completion, size, time)}`);
      await c.silent('rados_aio_wait_for_complete', completion);
      await c.call('rados_aio_get_return_value', completion);
      await c.silent('rados_aio_release', completion);
      c.note({ size: size.value, recent: recent() });
      const op = await made(c, 'rados_create_read_op');
      const code = new Out('code', 'i32', 7);
      await c.silent(c.abi.has('rados_read_op_stat2') ? 'rados_read_op_stat2' : 'rados_read_op_stat', op, size, time, code);
      c.lines.push('rados_read_op_stat2() = void');
      await c.call('rados_read_op_operate', op, c.io, name, 0);
      c.show(size, code);
      await c.silent('rados_release_read_op', op);
    }
  }),
  plays('aio: attributes of an object', async (c) => {
    await c.need('rados_setxattr', c.io, 'o', 'k', text('v'), 1);
    for (const object of ['o', 'q']) {
      const [completion, iterator] = [new Handle('comp'), new Out('iterator', 'u64')];
      await c.need('rados_aio_create_completion2', null, null, completion.ref);
      const rc = await c.call('rados_aio_getxattrs', c.io, object, completion, iterator);
      if (rc === 0) await c.silent('rados_aio_wait_for_complete', completion);
      if (rc === 0 && await c.call('rados_aio_get_return_value', completion) >= 0) {
        const [name, value, length] = [new Out('name', 'text'), new Out('value', 'u64'), new Out('length', 'u64')];
        c.lines.push(`rados_getxattrs_next() = ${await c.silent('rados_getxattrs_next', iterator.value, name, value, length)}`);
        c.show(name);
        await c.silent('rados_getxattrs_end', iterator.value);
      }
      await c.silent('rados_aio_release', completion);
    }
  }),
];
