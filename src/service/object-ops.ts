// The operations that an atomic read or write of a librados object is made of, one function each. Behind: rados_write_op_*,
// rados_read_op_* and the single calls. Values travel in base64, omap keys in hex.
import { ServiceError } from './errors.js';
import type { ObjectDraft } from './object-draft.js';
import { lockOps } from './object-locks.js';
import type { Params } from './object-params.js';

/** Ceph's defaults for osd_max_object_size and osd_max_attr_name_len. */
const maxObjectSize = 134_217_728;
const maxXattrName = 100;
const cmpextErrors = 4095;

/** An operation that does not hold or cannot be done, with a code that is no plain errno where librados has one of its own. */
export class OpFailed extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
    this.name = 'OpFailed';
  }
}

export interface Op {
  /** May stand in a read. */
  readonly reads?: true;
  run(draft: ObjectDraft, params: Params): Promise<object | void> | object | void;
}

const exists = (draft: ObjectDraft): void => {
  if (!draft.exists) throw new ServiceError('ENOENT', 'the object does not exist');
};

const checkRange = (offset: number, length: number): void => {
  if (offset >= maxObjectSize || offset + length > maxObjectSize) throw new ServiceError('EFBIG', `an object has at most ${maxObjectSize} bytes`);
};

const range = (params: Params): { offset: number; length: number } => {
  const offset = params.number('offset'), length = params.number('length');
  checkRange(offset, length);
  return { offset, length };
};

const write = async (draft: ObjectDraft, offset: number, data: Buffer): Promise<void> => {
  checkRange(offset, data.length);
  await draft.write(offset, data);
};

/** Only setting one minds its length: no other name can be too long for what is not there. */
const newXattrName = (params: Params): string => {
  const name = params.text('name');
  if (Buffer.byteLength(name) > maxXattrName) throw new ServiceError('ENAMETOOLONG', `xattr name ${name.slice(0, 20)}... is longer than ${maxXattrName} bytes`);
  return name;
};

/** librados' comparison operators, 1 to 6, on how `theirs` sorts against `mine`. */
function compares(operator: number, theirs: Buffer, mine: Buffer): boolean {
  const order = Buffer.compare(theirs, mine);
  const holds = [undefined, order === 0, order !== 0, order > 0, order >= 0, order < 0, order <= 0][operator];
  if (holds === undefined) throw new ServiceError('EINVAL', `${operator} is no comparison`);
  return holds;
}

const differs = (what: string): ServiceError => new ServiceError('ECANCELED', `${what} is not what the comparison asks for`);

export const objectOps: Readonly<Record<string, Op>> = {
  ...lockOps,

  assertExists: { reads: true, run: (draft) => exists(draft) },
  assertVersion: {
    reads: true,
    run: (draft, params) => {
      const version = params.number('version');
      if (version === 0) throw new ServiceError('EINVAL', 'version 0 is no version');
      if (version < draft.version) throw new ServiceError('ERANGE', `the object is newer: ${draft.version}`);
      if (version > draft.version) throw new OpFailed(-75, `the object is older: ${draft.version}`);  // EOVERFLOW
    },
  },
  cmpext: {
    reads: true,
    run: async (draft, params) => {
      exists(draft);
      const data = params.bytes('data');
      // Behind the object's end there are zeroes.
      const there = Buffer.alloc(data.length);
      (await draft.read(params.number('offset'), data.length)).copy(there);
      const at = there.findIndex((byte, index) => byte !== data[index]);
      if (at >= 0) throw new OpFailed(-cmpextErrors - at, `byte ${at} differs`);
    },
  },
  cmpxattr: {
    reads: true,
    run: (draft, params) => {
      exists(draft);
      const theirs = Buffer.from(draft.xattrs.get(params.text('name')) ?? '', 'base64');
      // Ceph compares what is given with what is there, in this order.
      if (!compares(params.number('operator'), params.bytes('value'), theirs)) throw differs(`xattr ${params.text('name')}`);
    },
  },
  omapCmp: {
    reads: true,
    run: async (draft, params) => {
      exists(draft);
      if (![1, 3, 5].includes(params.number('operator'))) throw new ServiceError('EINVAL', 'omap values are compared by eq, gt and lt only');
      const theirs = Buffer.from(await draft.omapValue(params.text('key')) ?? '', 'base64');
      if (!compares(params.number('operator'), theirs, params.bytes('value'))) throw differs('the omap entry');
    },
  },

  stat: { reads: true, run: (draft) => { exists(draft); return { size: draft.size, mtime: draft.mtime }; } },
  read: {
    reads: true,
    run: async (draft, params) => {
      exists(draft);
      const length = params.number('length');
      return { data: (await draft.read(params.number('offset'), length === 0 ? Number.MAX_SAFE_INTEGER : length)).toString('base64') };
    },
  },
  getxattr: {
    reads: true,
    run: (draft, params) => {
      exists(draft);
      const value = draft.xattrs.get(params.text('name'));
      if (value === undefined) throw new ServiceError('ENODATA', `xattr ${params.text('name')} is not set`);
      return { value };
    },
  },
  getxattrs: { reads: true, run: (draft) => { exists(draft); return { xattrs: [...draft.xattrs].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))) }; } },
  omapGet: {
    reads: true,
    run: async (draft, params) => {
      exists(draft);
      const max = Math.min(params.number('max'), 1_000_000);
      const after = params.text('after', '');
      const entries = await draft.omap({ ...(after === '' ? {} : { after }), prefix: params.text('prefix', ''), limit: max + 1 });
      const kept = entries.slice(0, max);
      return { entries: params.flag('keysOnly', false) ? kept.map(([key]) => [key, '']) : kept, more: entries.length > max };
    },
  },
  omapGetByKeys: {
    reads: true,
    run: async (draft, params) => {
      exists(draft);
      const entries: [string, string][] = [];
      for (const key of [...new Set(params.texts('keys'))].sort()) {
        const value = await draft.omapValue(key);
        if (value !== undefined) entries.push([key, value]);
      }
      return { entries };
    },
  },

  create: {
    run: (draft, params) => {
      if (draft.exists && params.flag('exclusive', false)) throw new ServiceError('EEXIST', 'the object exists');
      draft.touch();
    },
  },
  /** A hint about sizes changes nothing here, but makes the object as Ceph does. */
  allocHint: { run: (draft) => draft.touch() },
  write: { run: (draft, params) => write(draft, params.number('offset'), params.bytes('data')) },
  writeFull: {
    run: async (draft, params) => {
      await draft.truncate(0);
      await write(draft, 0, params.bytes('data'));
    },
  },
  append: { run: (draft, params) => write(draft, draft.size, params.bytes('data')) },
  writeSame: {
    run: async (draft, params) => {
      const { offset, length } = range(params);
      const data = params.bytes('data');
      if (data.length === 0 || length % data.length !== 0) throw new ServiceError('EINVAL', `${length} is no multiple of the data's length`);
      await write(draft, offset, Buffer.alloc(length, data));
    },
  },
  /** What reaches to the end is cut off instead, as Ceph's OSD does it. */
  zero: {
    run: async (draft, params) => {
      const { offset, length } = range(params);
      if (!draft.exists || offset >= draft.size) return;
      if (offset + length >= draft.size) await draft.truncate(offset);
      else await draft.write(offset, Buffer.alloc(length));
    },
  },
  truncate: {
    run: async (draft, params) => {
      const size = params.number('size');
      checkRange(size, 0);
      if (draft.exists) await draft.truncate(size);
    },
  },
  remove: { run: (draft) => { exists(draft); draft.remove(); } },
  setxattr: { run: (draft, params) => draft.setXattr(newXattrName(params), params.bytes('value').toString('base64')) },
  rmxattr: {
    run: (draft, params) => {
      exists(draft);
      draft.removeXattr(params.text('name'));
    },
  },
  omapSet: { run: (draft, params) => { draft.touch(); for (const [key, value] of params.pairs('entries')) draft.setOmap(key, value); } },
  omapRemove: { run: (draft, params) => { exists(draft); for (const key of params.texts('keys')) draft.setOmap(key, undefined); } },
  omapRemoveRange: {
    run: async (draft, params) => {
      exists(draft);
      const from = params.text('from'), to = params.text('to');
      for (const [key] of await draft.omap()) if (key >= from && key < to) draft.setOmap(key, undefined);
    },
  },
  omapClear: { run: (draft) => { exists(draft); draft.clearOmap(); } },
};
