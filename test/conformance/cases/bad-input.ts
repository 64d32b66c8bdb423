// Every call of librbd that takes a name, a size, an order, features or a range, with what is none. Nothing may have changed.
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { imageInfo, MiB, type Case, type Context } from '../context.js';

/** What stands for the argument that is tried. */
const HERE = Symbol('here');
type Template = (Argument | typeof HERE | 'io' | 'image' | 'handle' | 'number' | 'buffer')[];

const LONG = 'x'.repeat(4096);
const NAMES: readonly string[] = ['', 'none', 'a/b', 'a@b', '../..', 'a\u0001\n', 'ä✓', ' ', LONG];
const ORDERS: readonly number[] = [-1, 1, 11, 26, 64];
const FEATURES: readonly (number | bigint)[] = [2n ** 50n, 2n ** 63n, 2n ** 64n - 1n];

interface Tried {
  fn: string;
  with: Template;
  values: readonly (string | number | bigint | null)[];
}

function fill(c: Context, image: Handle, part: Template[number], value: string | number | bigint | null): Argument {
  if (part === HERE) return value;
  if (part === 'io') return c.io;
  if (part === 'image') return image;
  if (part === 'handle') return new Handle('out').ref;
  if (part === 'number') return new Out('number', 'u64');
  if (part === 'buffer') return new Bytes('buffer', Buffer.alloc(8192));
  return part;
}

// An image that was opened or made by mistake is closed or stays for the sweep.
async function attempt(c: Context, image: Handle, { fn, with: template, values }: Tried): Promise<void> {
  for (const value of values) {
    const out = new Handle('out');
    const rc = await c.call(fn, ...template.map((part) => (part === 'handle' ? out.ref : fill(c, image, part, value))));
    if (rc >= 0 && /^rbd_open/.test(fn)) await c.close(out);
  }
}

async function state(c: Context, image: Handle): Promise<void> {
  await c.noteNames();
  const info = new Bytes('info', Buffer.alloc(imageInfo.size));
  await c.need('rbd_stat', image, info, imageInfo.size);
  const { size, numObjs, order } = imageInfo.read(info.buffer);
  c.note({ size, numObjs, order });
}

function tries(name: string, tried: Tried[]): Case {
  return {
    name: `bad input: ${name}`,
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const each of tried) await attempt(c, image, each);
      await state(c, image);
      await c.close(image);
    },
  };
}

const names = (fn: string, ...template: Template): Tried => ({ fn, with: template, values: NAMES });
const opts = (): Handle => new Handle('opts');
const comp = (): Handle => new Handle('comp');

async function withOptions(c: Context, run: (handle: Handle) => Promise<void>): Promise<void> {
  const handle = opts();
  await c.need('rbd_image_options_create', handle.ref);
  await run(handle);
  await c.silent('rbd_image_options_destroy', handle);
}

/** Calls that complete later: what they return, or complete with. */
async function later(c: Context, fn: string, ...args: (Argument | 'COMP')[]): Promise<void> {
  const completion = comp();
  await c.need('rbd_aio_create_completion', null, null, completion.ref);
  const rc = await c.call(fn, ...args.map((arg) => (arg === 'COMP' ? completion : arg)));
  if (rc === 0) {
    await c.silent('rbd_aio_wait_for_complete', completion);
    await c.call('rbd_aio_get_return_value', completion);
  }
  await c.silent('rbd_aio_release', completion);
}

const RANGES: readonly [number | bigint, number][] = [[8 * MiB, 1], [8 * MiB + 1, 0], [2n ** 53n, 512], [2n ** 63n - 1n, 512], [2n ** 63n, 1], [2n ** 64n - 1n, 1], [2n ** 64n - 4096n, 8192]];

export const badInput: Case[] = [
  tries('names of images to open', [
    names('rbd_open', 'io', HERE, 'handle', null), names('rbd_open_read_only', 'io', HERE, 'handle', null),
    names('rbd_open_by_id', 'io', HERE, 'handle', null), names('rbd_open_by_id_read_only', 'io', HERE, 'handle', null),
  ]),
  tries('names of snapshots to open', [names('rbd_open', 'io', 'i', 'handle', HERE), names('rbd_open_read_only', 'io', 'i', 'handle', HERE)]),
  tries('names of images to remove and rename', [
    { fn: 'rbd_remove', with: ['io', HERE], values: NAMES }, { fn: 'rbd_rename', with: ['io', HERE, 'j'], values: NAMES },
    { fn: 'rbd_trash_move', with: ['io', HERE, 0], values: NAMES },
  ]),
  tries('ids in the trash', [
    { fn: 'rbd_trash_remove', with: ['io', HERE, true], values: NAMES }, { fn: 'rbd_trash_restore', with: ['io', HERE, 'j'], values: NAMES },
    { fn: 'rbd_trash_get', with: ['io', HERE, 'buffer'], values: NAMES },
  ]),
  tries('names of snapshots', [
    names('rbd_snap_remove', 'image', HERE), names('rbd_snap_protect', 'image', HERE), names('rbd_snap_unprotect', 'image', HERE), names('rbd_snap_rollback', 'image', HERE),
    names('rbd_snap_exists', 'image', HERE, 'number'), names('rbd_snap_is_protected', 'image', HERE, 'number'), names('rbd_snap_get_id', 'image', HERE, 'number'),
    names('rbd_snap_set', 'image', HERE),
    // Setting "" takes it back.
    { fn: 'rbd_snap_set', with: ['image', HERE], values: [''] },
  ]),
  {
    name: 'bad input: names of new snapshots',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const name of NAMES) {
        if (await c.call('rbd_snap_create', image, name) === 0) {
          await c.call('rbd_snap_rename', image, name, 'other');
          await c.call('rbd_snap_rename', image, 'other', name);
          await c.call('rbd_snap_remove', image, name);
        }
      }
      for (const id of [0, 1, 999999, 2n ** 64n - 2n, 2n ** 64n - 1n]) {
        await c.call('rbd_snap_remove_by_id', image, id);
        await c.call('rbd_snap_set_by_id', image, id);
        await c.call('rbd_snap_get_namespace_type', image, id, new Out('type', 'u32'));
        await c.call('rbd_snap_get_name', image, id, new Bytes('name', Buffer.alloc(64)), new Out('size', 'u64', 64));
      }
      for (const limit of [0, 2n ** 63n, 2n ** 64n - 1n]) await c.call('rbd_snap_set_limit', image, limit);
      await c.close(image);
    },
  },
  {
    name: 'bad input: names of clones and their parents',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.need('rbd_snap_create', image, 's');
      await c.need('rbd_snap_protect', image, 's');
      await withOptions(c, async (handle) => {
        for (const name of NAMES) {
          await c.call('rbd_clone', c.io, name, 's', c.io, 'c', 61, new Out('order', 'i32'));
          // Without a snapshot's name the real library ends the process.
          if (name !== '') await c.call('rbd_clone', c.io, 'i', name, c.io, 'c', 61, new Out('order', 'i32'));
          if (await c.call('rbd_clone3', c.io, 'i', 's', c.io, name, handle) === 0) await c.call('rbd_remove', c.io, name);
          await c.call('rbd_clone3', c.io, name, 's', c.io, 'c', handle);
        }
      });
      for (const order of ORDERS) await c.call('rbd_clone2', c.io, 'i', 's', c.io, 'c', 61, new Out('order', 'i32', order), 0, 0);
      for (const features of FEATURES) await c.call('rbd_clone', c.io, 'i', 's', c.io, 'c', features, new Out('order', 'i32'));
      for (const unit of [1000, 256, 3, 2n ** 62n]) await c.call('rbd_clone2', c.io, 'i', 's', c.io, 'c', 63, new Out('order', 'i32'), unit, 2);
      await c.noteNames();
      await c.call('rbd_snap_unprotect', image, 's');
      await c.close(image);
    },
  },
  {
    name: 'bad input: names, orders and features of copies',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const name of NAMES) {
        if (await c.call('rbd_copy', image, c.io, name) === 0) await c.call('rbd_remove', c.io, name);
        await withOptions(c, async (handle) => {
          if (await c.call('rbd_deep_copy', image, c.io, name, handle) === 0) await c.call('rbd_remove', c.io, name);
        });
      }
      for (const order of [0, 11, 26, 64]) {
        await withOptions(c, async (handle) => {
          await c.need('rbd_image_options_set_uint64', handle, 2, order);
          if (await c.call('rbd_copy3', image, c.io, 'c', handle) === 0) await c.call('rbd_remove', c.io, 'c');
          if (await c.call('rbd_deep_copy', image, c.io, 'c', handle) === 0) await c.call('rbd_remove', c.io, 'c');
        });
      }
      await c.noteNames();
      await c.close(image);
    },
  },
  {
    name: 'bad input: orders, features and stripes of new images',
    run: async (c) => {
      for (const order of ORDERS) {
        await c.call('rbd_create2', c.io, 'n', MiB, 1, new Out('order', 'i32', order));
        await c.call('rbd_create3', c.io, 'n', MiB, 1, new Out('order', 'i32', order), 0, 0);
      }
      for (const features of FEATURES) await c.call('rbd_create3', c.io, 'n', MiB, features, new Out('order', 'i32'), 0, 0);
      for (const [unit, count] of [[2n ** 62n, 1], [1, 2n ** 62n], [2n ** 64n - 1n, 2n ** 64n - 1n]] as const) {
        await c.call('rbd_create3', c.io, 'n', MiB, 3, new Out('order', 'i32'), unit, count);
      }
      await c.noteNames();
    },
  },
  tries('sizes to resize to', [
    // 2^64 - 1 the real library takes, and ends the process later.
    { fn: 'rbd_resize', with: ['image', HERE], values: [2n ** 63n] },
    { fn: 'rbd_resize2', with: ['image', HERE, false, null, null], values: [0, 1] },
  ]),
  tries('features to change', [
    { fn: 'rbd_update_features', with: ['image', HERE, 1], values: [...FEATURES, 0, 1, 2, 32, 128, 256, 512] },
    { fn: 'rbd_update_features', with: ['image', HERE, 0], values: [...FEATURES, 0, 1, 2, 128, 256, 512] },
  ]),
  {
    name: 'bad input: ranges past the end, synchronous',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      const data = new Bytes('data', Buffer.alloc(8192));
      for (const [offset, length] of RANGES) {
        await c.call('rbd_read', image, offset, length, data);
        await c.call('rbd_read2', image, offset, length, data, 0);
        await c.call('rbd_write', image, offset, length, data);
        await c.call('rbd_write2', image, offset, length, data, 0);
        await c.call('rbd_discard', image, offset, length);
        await c.call('rbd_write_zeroes', image, offset, length, 0, 0);
        await c.call('rbd_writesame', image, offset, length, data, 1, 0);
        if (length > 0) await c.call('rbd_compare_and_write', image, offset, Math.min(512, length), data, data, new Out('mismatch', 'u64'), 0);
      }
      await c.close(image);
    },
  },
  {
    name: 'bad input: ranges past the end, not waited for',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      const data = new Bytes('data', Buffer.alloc(8192));
      for (const [offset, length] of RANGES) {
        await later(c, 'rbd_aio_read', image, offset, length, data, 'COMP');
        await later(c, 'rbd_aio_write', image, offset, length, data, 'COMP');
        await later(c, 'rbd_aio_discard', image, offset, length, 'COMP');
        await later(c, 'rbd_aio_write_zeroes', image, offset, length, 'COMP', 0, 0);
        await later(c, 'rbd_aio_writesame', image, offset, length, data, 1, 'COMP', 0);
      }
      await c.close(image);
    },
  },
  {
    name: 'bad input: keys and namespaces',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const name of NAMES) {
        for (const [kind, on] of [['rbd_metadata', image], ['rbd_pool_metadata', c.io]] as const) {
          await c.call(`${kind}_get`, on, name, new Bytes('value', Buffer.alloc(64)), new Out('size', 'u64', 64));
          await c.call(`${kind}_set`, on, name, 'v');
          await c.call(`${kind}_remove`, on, name);
        }
        const exists = new Out('exists', 'bool');
        await c.call('rbd_namespace_exists', c.io, name, exists);
        await c.call('rbd_namespace_remove', c.io, name);
        if (await c.call('rbd_namespace_create', c.io, name) === 0) await c.call('rbd_namespace_remove', c.io, name);
      }
      await c.close(image);
    },
  },
  {
    name: 'bad input: sparsify, purge, lock modes',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const size of [0, 1, 1000, 2048, 4096, 8 * MiB, 2n ** 40n]) await c.call('rbd_sparsify', image, size);
      for (const mode of [2, 9]) {
        await c.call('rbd_lock_acquire', image, mode);
        await c.call('rbd_lock_break', image, mode, 'nobody');
      }
      await c.close(image);
    },
  },
];
