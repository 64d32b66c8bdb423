// Steps of the random test on objects: librados beside the images.
import { Bytes, Handle, Out } from './transcript.js';
import { objects, sizes, Strings, text as bytesOf } from './rados.js';
import { number, text, type Operation, type Step, type World } from './world.js';

/** Objects are named after images, so that a sequence meets them again; images' own objects are called otherwise. */
const nameOf = (s: Step): string => `obj-${text(s, 'name').replace('/', '')}`;

async function write(w: World, s: Step, steps: (op: Handle) => Promise<void>): Promise<void> {
  const op = new Handle('op');
  op.buffer.writeBigUInt64LE(BigInt(await w.c.silent('rados_create_write_op') ?? 0));
  await steps(op);
  await w.c.call('rados_write_op_operate', op, w.c.io, nameOf(s), null, 0);
  await w.c.silent('rados_release_write_op', op);
}

async function pairs(w: World, iterator: Out): Promise<string[]> {
  const [key, value, keyLength, length] = [new Out('key', 'u64'), new Out('value', 'u64'), new Out('keyLength', 'u64'), new Out('length', 'u64')];
  const found: string[] = [];
  while (Number(await w.c.silent('rados_omap_get_next2', iterator.value, key, value, keyLength, length)) === 0 && key.value !== 0n) {
    found.push(`${w.c.bytes(key.value, Number(keyLength.value)).toString()}=${w.c.bytes(value.value, Number(length.value)).toString()}`);
  }
  await w.c.silent('rados_omap_get_end', iterator.value);
  return found;
}

const data = (s: Step): [Bytes, number] => {
  const length = number(s, 'length') % 5000;
  return [new Bytes(`<${number(s, 'value')}*${length}>`, Buffer.alloc(Math.max(1, length), number(s, 'value'))), length];
};

// A write of no bytes behind the end of an object that was written whole spoils its checksum in the real 16.2.15, whose osd then lets
// everybody who reads it wait for another copy.
const someData = (s: Step): [Bytes, number] => data({ ...s, length: Math.max(1, number(s, 'length') % 5000) });

export const OBJECT_OPERATIONS: Record<string, Operation> = {
  objectWriteFull: async (w, s) => { await w.c.call('rados_write_full', w.c.io, nameOf(s), ...data(s)); },
  objectWrite: async (w, s) => { await w.c.call('rados_write', w.c.io, nameOf(s), ...someData(s), number(s, 'offset') % 100000); },
  objectAppend: async (w, s) => { await w.c.call('rados_append', w.c.io, nameOf(s), ...data(s)); },
  objectTruncate: async (w, s) => { await w.c.call('rados_trunc', w.c.io, nameOf(s), number(s, 'size') % 100000); },
  objectRemove: async (w, s) => { await w.c.call('rados_remove', w.c.io, nameOf(s)); },
  objectRead: async (w, s) => {
    const length = number(s, 'length') % 100000;
    const buffer = Buffer.alloc(Math.max(1, length), 0xee);
    const got = await w.c.call('rados_read', w.c.io, nameOf(s), new Bytes('data', buffer), length, number(s, 'offset') % 100000);
    if (got >= 0) w.c.note({ data: buffer.subarray(0, got) });
  },
  objectStat: async (w, s) => {
    const size = new Out('size', 'u64', 77);
    await w.c.call('rados_stat', w.c.io, nameOf(s), size, null);
    w.c.show(size);
  },
  objectCompare: async (w, s) => { await w.c.call('rados_cmpext', w.c.io, nameOf(s), ...data(s), number(s, 'offset') % 100000); },
  objectSetAttribute: async (w, s) => { await w.c.call('rados_setxattr', w.c.io, nameOf(s), text(s, 'key'), bytesOf(text(s, 'cookie')), 2); },
  objectAttribute: async (w, s) => {
    const [buffer, room] = [Buffer.alloc(8), number(s, 'slot')];
    const got = await w.c.call('rados_getxattr', w.c.io, nameOf(s), text(s, 'key'), new Bytes('value', buffer), room);
    if (got >= 0) w.c.note({ value: buffer.subarray(0, Math.min(got, room)).toString() });
  },
  objectRemoveAttribute: async (w, s) => { await w.c.call('rados_rmxattr', w.c.io, nameOf(s), text(s, 'key')); },
  objectSetKeys: (w, s) => write(w, s, async (op) => {
    if (s['on'] === true) await w.c.silent('rados_write_op_assert_exists', op);
    const [keys, values] = [Strings.of('keys', [text(s, 'key'), 'other']), Strings.of('values', [text(s, 'cookie'), text(s, 'name')])];
    await w.c.silent('rados_write_op_omap_set', op, keys, values, sizes('lengths', [2, text(s, 'name').length]), 2);
  }),
  objectRemoveKeys: (w, s) => write(w, s, async (op) => {
    const keys = Strings.of('keys', [text(s, 'key')]);
    if (s['on'] === true) await w.c.silent('rados_write_op_omap_clear', op);
    else await w.c.silent('rados_write_op_omap_rm_keys', op, keys, 1);
  }),
  objectCompound: (w, s) => write(w, s, async (op) => {
    const [bytes, length] = someData(s);
    await w.c.silent('rados_write_op_create', op, s['on'] === true ? 1 : 0, null);
    await w.c.silent('rados_write_op_write', op, bytes, length, number(s, 'offset') % 10000);
    await w.c.silent('rados_write_op_setxattr', op, text(s, 'key'), bytesOf('xy'), 2);
    if (s['readOnly'] === true) await w.c.silent('rados_write_op_rmxattr', op, 'none');
    if (s['thick'] === true) await w.c.silent('rados_write_op_truncate', op, number(s, 'size') % 5000);
  }),
  objectKeys: async (w, s) => {
    const op = new Handle('op');
    op.buffer.writeBigUInt64LE(BigInt(await w.c.silent('rados_create_read_op') ?? 0));
    const [iterator, more, result] = [new Out('iterator', 'u64'), new Out('more', 'bool'), new Out('result', 'i32', 7)];
    await w.c.silent('rados_read_op_omap_get_vals2', op, s['on'] === true ? text(s, 'key') : '', '', 1 + number(s, 'slot'), iterator, more, result);
    const rc = await w.c.call('rados_read_op_operate', op, w.c.io, nameOf(s), 0);
    if (rc === 0) {
      w.c.note({ pairs: await pairs(w, iterator) });
      w.c.show(more, result);
    }
    await w.c.silent('rados_release_read_op', op);
  },
  objects: async (w) => { w.c.note({ objects: (await objects(w.c, w.c.io)).filter((name) => /(^|\/)obj-/.test(name)) }); },
  objectLock: async (w, s) => {
    await w.c.call(s['on'] === true ? 'rados_lock_exclusive' : 'rados_lock_shared', w.c.io, nameOf(s), 'L', text(s, 'cookie'), ...(s['on'] === true ? [] : ['tag']), '', null, 0);
  },
  objectUnlock: async (w, s) => { await w.c.call('rados_unlock', w.c.io, nameOf(s), 'L', text(s, 'cookie')); },
};

