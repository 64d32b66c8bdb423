// librados: pools, I/O contexts, applications and what the cluster says of itself.
import { Bytes, Handle, Out, Shown } from '../transcript.js';
import { POOL, type Case, type Context } from '../context.js';
import { withPool } from '../rados.js';
import { textsIn } from '../../lib/memory.js';

const LONG = 'x'.repeat(4096);

function buffer(name: string, room: number): Bytes {
  return new Bytes(name, Buffer.alloc(Math.max(1, room), 0x2e));
}

async function reverse(c: Context, id: number | bigint | Shown, room: number): Promise<void> {
  const name = buffer('name', room);
  const rc = await c.call('rados_pool_reverse_lookup', c.cluster, id, name, room);
  c.note({ name: rc >= 0 ? name.text : null });
}

/** Makes a pool of this name, finds it in every way, and removes it. */
function withName(label: string, name: string): Case {
  return {
    name: `pool create, lookup and delete: ${label}`,
    run: async (c) => {
      const rc = await c.call('rados_pool_create', c.cluster, name);
      if (rc === 0) await c.call('rados_pool_create', c.cluster, name);
      const id = Number(await c.silent('rados_pool_lookup', c.cluster, name));
      c.note({ found: id > 0, result: id > 0 ? null : id });
      if (id > 0) await reverse(c, new Shown('<its id>', id), 8192);
      const io = new Handle('io2');
      if (await c.call('rados_ioctx_create', c.cluster, name, io.ref) === 0) await c.silent('rados_ioctx_destroy', io);
      await c.call('rados_pool_delete', c.cluster, name);
      await c.call('rados_pool_delete', c.cluster, name);
      await c.call('rados_ioctx_create', c.cluster, name, io.ref);
    },
  };
}

async function applications(c: Context, io: Handle, room: number): Promise<void> {
  const [names, size] = [buffer('names', room), new Out('size', 'u64', room)];
  const rc = await c.call('rados_application_list', io, names, size);
  c.note({ size: size.value, names: rc >= 0 ? textsIn(names.buffer, Number(size.value)) : null });
}

async function applicationGet(c: Context, io: Handle, application: string, key: string, room: number): Promise<void> {
  const [value, size] = [buffer('value', room), new Out('size', 'u64', room)];
  const rc = await c.call('rados_application_metadata_get', io, application, key, value, size);
  c.note({ size: size.value, value: rc >= 0 ? value.text : null });
}

async function applicationEntries(c: Context, io: Handle, application: string, keysRoom: number, valuesRoom = keysRoom): Promise<void> {
  const [keys, values] = [buffer('keys', keysRoom), buffer('values', valuesRoom)];
  const [keysSize, valuesSize] = [new Out('keysSize', 'u64', keysRoom), new Out('valuesSize', 'u64', valuesRoom)];
  const rc = await c.call('rados_application_metadata_list', io, application, keys, keysSize, values, valuesSize);
  c.show(keysSize, valuesSize);
  if (rc >= 0) c.note({ keys: textsIn(keys.buffer, Number(keysSize.value)), values: textsIn(values.buffer, Number(valuesSize.value)) });
}

async function spaceOf(c: Context, io: Handle, room = 8192): Promise<void> {
  const name = buffer('space', room);
  const rc = await c.call('rados_ioctx_get_namespace', io, name, room);
  c.note({ space: rc >= 0 ? name.text : null });
}

export const radosPools: Case[] = [
  withName('ordinary', 'cf-pool'),
  withName('an empty name', ''),
  withName('a slash, an @ and a space', 'cf a/b@c'),
  withName('dots', 'cf..'),
  withName('control bytes', 'cf\u0001\n\t'),
  withName('not ASCII', 'cf-ä✓'),
  withName('a leading dot', '.cf'),
  withName('quotes', 'cf"\'\\'),
  withName('4 KiB', LONG),
  {
    name: 'lookups of what is not there',
    run: async (c) => {
      for (const name of ['nopool', '', 'conform ', 'CONFORM', LONG]) await c.call('rados_pool_lookup', c.cluster, name);
      for (const id of [-1, 0, 999999, 2n ** 62n, -(2n ** 63n)]) await reverse(c, id, 64);
    },
  },
  {
    name: 'rados_pool_reverse_lookup: buffers too small',
    run: async (c) => {
      const id = new Shown('<its id>', await c.silent('rados_pool_lookup', c.cluster, POOL) ?? 0);
      for (const room of [0, 1, 6, 7, 8, 64]) await reverse(c, id, room);
    },
  },
  {
    name: 'rados_pool_list gives the size it needs, and fills what fits',
    run: async (c) => {
      const needed = Number(await c.silent('rados_pool_list', c.cluster, null, 0));
      const full = buffer('names', needed);
      c.note({ same: Number(await c.silent('rados_pool_list', c.cluster, full, needed)) === needed });
      const names = textsIn(full.buffer).filter(Boolean);
      c.note({ size: needed === names.reduce((sum, name) => sum + Buffer.byteLength(name) + 1, 1), has: [names.includes('conform'), names.includes('conform2')] });
      for (const less of [1, 2, needed - 1]) {
        const some = buffer('names', needed - less);
        const rc = Number(await c.silent('rados_pool_list', c.cluster, some, needed - less));
        c.note({ less: less > 2 ? '<all>' : less, same: rc === needed, texts: textsIn(some.buffer).filter((t) => /^[\w.-]+$/.test(t) && names.includes(t)).length === names.length - (less > 1 ? less > 2 ? names.length : 1 : 0) });
      }
    },
  },
  {
    name: 'rados_cluster_fsid: buffers too small',
    run: async (c) => {
      for (const room of [0, 1, 36, 37, 64]) {
        const id = buffer('fsid', room);
        const rc = await c.call('rados_cluster_fsid', c.cluster, id, room);
        c.note({ form: rc >= 0 ? /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id.text) : null });
      }
    },
  },
  {
    name: 'rados_cluster_stat: what the numbers are of',
    run: async (c) => {
      const stat = new Bytes('stat', Buffer.alloc(32, 0xff));
      await c.call('rados_cluster_stat', c.cluster, stat);
      const [kb, used, free, count] = [0, 8, 16, 24].map((at) => stat.buffer.readBigUInt64LE(at)) as [bigint, bigint, bigint, bigint];
      c.note({ some: kb > 0n, parts: used <= kb && free <= kb, objects: count < 10n ** 9n });
    },
  },
  {
    name: 'rados_ioctx_pool_stat: an empty pool',
    run: (c) => withPool(c, 'cf-stat', async (io) => {
      const stat = new Bytes('stat', Buffer.alloc(128, 0xff));
      await c.call('rados_ioctx_pool_stat', io, stat);
      c.note({ bytes: stat.buffer.readBigUInt64LE(0), objects: stat.buffer.readBigUInt64LE(16), clones: stat.buffer.readBigUInt64LE(24), degraded: stat.buffer.readBigUInt64LE(56) });
    }),
  },
  {
    name: 'rados_pool_create_with_auid, _with_crush_rule and _with_all',
    run: async (c) => {
      for (const [fn, ...args] of [
        ['rados_pool_create_with_auid', 7], ['rados_pool_create_with_auid', 2n ** 64n - 1n], ['rados_pool_create_with_crush_rule', 0], ['rados_pool_create_with_crush_rule', 77],
        ['rados_pool_create_with_all', 2n ** 64n - 1n, 0], ['rados_pool_create_with_all', 7, 0],
      ] as const) {
        await c.call(fn, c.cluster, 'cf-made', ...args);
        await c.call('rados_pool_delete', c.cluster, 'cf-made');
      }
    },
  },
  {
    name: 'auids, tiers, alignment, least versions',
    run: async (c) => {
      const [number, flag] = [new Out('number', 'u64', 77), new Out('flag', 'i32', 77)];
      await c.call('rados_ioctx_pool_set_auid', c.io, 7);
      await c.call('rados_ioctx_pool_get_auid', c.io, number);
      await c.call('rados_ioctx_pool_requires_alignment', c.io);
      await c.call('rados_ioctx_pool_requires_alignment2', c.io, flag);
      c.show(flag);
      await c.call('rados_ioctx_pool_required_alignment', c.io);
      await c.call('rados_ioctx_pool_required_alignment2', c.io, number);
      c.show(number);
      const id = await c.silent('rados_ioctx_get_id', c.io);
      await c.call('rados_pool_get_base_tier', c.cluster, new Shown('<id>', id ?? 0), number);
      c.note({ tierIsItself: number.value === BigInt(id ?? 0) });
      await c.call('rados_pool_get_base_tier', c.cluster, 999999, number);
    },
  },
  {
    name: 'rados_ioctx_create2: by id, good and bad',
    run: async (c) => {
      const io = new Handle('io2');
      const id = await c.silent('rados_pool_lookup', c.cluster, POOL);
      await c.call('rados_ioctx_create2', c.cluster, new Shown('<id>', id ?? 0), io.ref);
      c.note({ sameId: String(await c.silent('rados_ioctx_get_id', io)) === String(id) });
      await c.noteNames(io);
      await c.drop(io);
      for (const bad of [-1, 0, 999999, 2n ** 63n - 1n]) {
        if (await c.call('rados_ioctx_create2', c.cluster, bad, io.ref) === 0) await c.drop(io);
      }
    },
  },
  {
    name: 'rados_ioctx_get_pool_name: buffers too small',
    run: async (c) => {
      for (const room of [0, 1, 6, 7, 8, 64]) {
        const name = buffer('name', room);
        const rc = await c.call('rados_ioctx_get_pool_name', c.io, name, room);
        c.note({ name: rc >= 0 ? name.text : null });
      }
    },
  },
  {
    name: 'rados_ioctx_set_namespace and rados_ioctx_get_namespace: no limit on names, buffers too small',
    run: async (c) => {
      const io = await c.ioctx();
      await spaceOf(c, io);
      for (const name of ['one', '', 'a/b@c', 'a\u0001\n', 'ä✓', LONG, null]) {
        await c.silent('rados_ioctx_set_namespace', io, name);
        await spaceOf(c, io);
      }
      await c.silent('rados_ioctx_set_namespace', io, 'space');
      for (const room of [0, 1, 4, 5, 6]) await spaceOf(c, io, room);
      // Not made by rbd_namespace_create, so images find no room in it.
      await c.call('rbd_create', io, 'i', 4096, new Out('order', 'i32'));
      await c.noteNames(io);
      await c.drop(io);
    },
  },
  {
    name: 'an I/O context of a pool that is deleted',
    run: async (c) => {
      await c.need('rados_pool_create', c.cluster, 'cf-gone');
      const io = await c.ioctx({ pool: 'cf-gone' });
      await c.call('rados_write_full', io, 'o', new Bytes('data', Buffer.from('x')), 1);
      await c.call('rados_pool_delete', c.cluster, 'cf-gone');
      await c.call('rados_read', io, 'o', new Bytes('data', Buffer.alloc(8)), 8, 0);
      await c.call('rbd_create', io, 'i', 4096, new Out('order', 'i32'));
      await c.call('rados_ioctx_get_pool_name', io, buffer('name', 64), 64);
      await c.drop(io);
      await c.call('rados_pool_create', c.cluster, 'cf-gone');
      const again = await c.ioctx({ pool: 'cf-gone' });
      await c.call('rados_read', again, 'o', new Bytes('data', Buffer.alloc(8)), 8, 0);
      await c.drop(again);
      await c.call('rados_pool_delete', c.cluster, 'cf-gone');
    },
  },
  {
    name: 'rados_application_enable and rados_application_list: twice, a second one, by force, buffers too small',
    run: (c) => withPool(c, 'cf-app', async (io) => {
      await applications(c, io, 64);
      await c.call('rados_application_enable', io, 'rbd', 0);
      await c.call('rados_application_enable', io, 'rbd', 0);
      await applications(c, io, 64);
      await c.call('rados_application_enable', io, 'other', 0);
      await c.call('rados_application_enable', io, 'other', 1);
      for (const room of [0, 3, 9, 10, 64]) await applications(c, io, room);
      for (const name of ['', 'a b', 'ä', 'x'.repeat(128), 'x'.repeat(129), LONG]) await c.call('rados_application_enable', io, name, 1);
    }),
  },
  {
    name: 'rados_application_metadata: set, get, list, remove, buffers too small',
    run: (c) => withPool(c, 'cf-meta', async (io) => {
      await applicationEntries(c, io, 'rbd', 64);
      await c.call('rados_application_metadata_set', io, 'rbd', 'k', 'v');
      await c.call('rados_application_enable', io, 'rbd', 1);
      await applicationEntries(c, io, 'rbd', 64);
      await applicationGet(c, io, 'rbd', 'k', 64);
      for (const [key, value] of [['k', 'vvv'], ['j', ''], ['a b', 'ä'], ['k', 'ww'], ['', 'x'], ['x'.repeat(129), 'v'], ['y', 'v'.repeat(129)]] as const) {
        await c.call('rados_application_metadata_set', io, 'rbd', key, value);
      }
      for (const room of [0, 1, 2, 3, 64]) await applicationGet(c, io, 'rbd', 'k', room);
      await applicationGet(c, io, 'rbd', 'none', 64);
      await applicationGet(c, io, 'other', 'k', 64);
      for (const [keys, values] of [[0, 0], [3, 64], [64, 3], [64, 64]] as const) await applicationEntries(c, io, 'rbd', keys, values);
      await c.call('rados_application_metadata_remove', io, 'rbd', 'k');
      await c.call('rados_application_metadata_remove', io, 'rbd', 'k');
      await c.call('rados_application_metadata_remove', io, 'other', 'k');
      await applicationEntries(c, io, 'rbd', 64);
    }),
  },
];
