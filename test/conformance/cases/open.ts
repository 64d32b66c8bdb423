// Listing, opening and asking: buffer forms of the lists, the variants of open and close, every getter.
import { Bytes, Handle, Out, Shown } from '../transcript.js';
import { imageInfo, imageSpec, MiB, timespec, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

async function list(c: Context, capacity: number | null): Promise<void> {
  const size = new Out('size', 'u64', capacity ?? 0);
  const names = new Bytes('names', Buffer.alloc(Math.max(1, capacity ?? 0), 0x2e));
  const rc = await c.call('rbd_list', c.io, capacity === null ? null : names, size);
  c.note({ size: size.value, names: rc > 0 ? textsIn(names.buffer, rc) : [] });
}

async function list2(c: Context, capacity: number): Promise<void> {
  const max = new Out('max', 'u64', capacity);
  const images = new Bytes('images', Buffer.alloc(Math.max(1, capacity) * imageSpec.size));
  const rc = await c.call('rbd_list2', c.io, images, max);
  const entries = rc >= 0 ? imageSpec.readAll(images.buffer, Number(max.value)) : [];
  c.note({ max: max.value, images: entries.map((e) => ({ id: c.label('image', e['id']), name: e['name'] })) });
  if (rc >= 0) await c.silent('rbd_image_spec_list_cleanup', images, max.value);
}

/** Every getter that needs nothing but the image. */
async function askAll(c: Context, image: Handle): Promise<void> {
  await c.get('rbd_get_size', image, 'size');
  await c.get('rbd_get_features', image, 'features');
  await c.get('rbd_get_op_features', image, 'opFeatures');
  await c.get('rbd_get_flags', image, 'flags');
  await c.get('rbd_get_stripe_unit', image, 'unit');
  await c.get('rbd_get_stripe_count', image, 'count');
  await c.get('rbd_get_overlap', image, 'overlap');
  await c.get('rbd_get_old_format', image, 'old', 'bool');
  await c.get('rbd_is_exclusive_lock_owner', image, 'owner', 'i32');
  const dataPool = Number(await c.silent('rbd_get_data_pool_id', image));
  c.note({ dataPool: dataPool < 0 ? dataPool : c.label('pool', dataPool) });
  await c.get('rbd_snap_get_limit', image, 'limit');
}

async function noteText(c: Context, image: Handle, fn: string, size: number): Promise<void> {
  const text = new Bytes('text', Buffer.alloc(Math.max(size, 1), 0x2e));
  const rc = await c.call(fn, image, text, size);
  c.note({ length: rc === 0 ? text.text.length > 4 : 'none' });
}

async function noteName(c: Context, image: Handle, capacity: number): Promise<void> {
  const size = new Out('size', 'u64', capacity);
  const text = new Bytes('name', Buffer.alloc(Math.max(1, capacity), 0x2e));
  const rc = await c.call('rbd_get_name', image, text, size);
  c.note({ name: rc === 0 ? text.text : null, size: size.value });
}

async function noteTime(c: Context, image: Handle, fn: string): Promise<bigint> {
  const time = new Bytes('time', Buffer.alloc(16));
  await c.call(fn, image, time);
  const { sec, nsec } = timespec.read(time.buffer) as { sec: bigint; nsec: bigint };
  const age = Date.now() / 1000 - Number(sec);
  c.note({ recent: age > -5 && age < 300, nsecValid: nsec >= 0n && nsec < 1_000_000_000n });
  return sec * 1_000_000_000n + nsec;
}

async function stat(c: Context, image: Handle, size = imageInfo.size): Promise<void> {
  const info = new Bytes('info', Buffer.alloc(imageInfo.size, 0));
  const rc = await c.call('rbd_stat', image, info, size);
  if (rc < 0) return;
  const fields = imageInfo.read(info.buffer);
  const prefix = String(fields['prefix']);
  c.note({ ...fields, prefix: /^rbd_data\.[0-9a-f]{6,}$/.test(prefix) ? '<prefix>' : prefix });
}

const OPENERS: Record<string, { byId: boolean; aio: boolean }> = {
  rbd_open: { byId: false, aio: false },
  rbd_open_read_only: { byId: false, aio: false },
  rbd_open_by_id: { byId: true, aio: false },
  rbd_open_by_id_read_only: { byId: true, aio: false },
  rbd_aio_open: { byId: false, aio: true },
  rbd_aio_open_read_only: { byId: false, aio: true },
  rbd_aio_open_by_id: { byId: true, aio: true },
  rbd_aio_open_by_id_read_only: { byId: true, aio: true },
};

async function tryOpen(c: Context, opener: string, target: string, shown: string, snap: string | null): Promise<void> {
  const image = new Handle('img');
  const { aio } = OPENERS[opener]!;
  const argument = new Shown(shown, target);
  let rc: number;
  if (aio) {
    const completion = await c.completion();
    rc = await c.call(opener, c.io, argument, image.ref, snap, completion);
    if (rc === 0) rc = await c.finish(completion);
    else await c.silent('rbd_aio_release', completion);
  } else {
    rc = await c.call(opener, c.io, argument, image.ref, snap);
  }
  if (rc !== 0) return;
  await c.get('rbd_get_size', image, 'size');
  await c.write(image, 0, 512, 3);
  await c.call('rbd_flush', image);
  await c.call('rbd_resize', image, 8 * MiB);
  await c.call('rbd_metadata_set', image, 'k', 'v');
  if (aio) {
    const completion = await c.completion();
    await c.call('rbd_aio_close', image, completion);
    await c.finish(completion);
  } else {
    await c.call('rbd_close', image);
  }
}

const openers: Case[] = Object.entries(OPENERS).map(([opener, { byId }]) => ({
  name: `${opener}: the head, a snapshot, what is missing`,
  run: async (c) => {
    const made = await c.fresh('i');
    const id = await c.idOf(made);
    await c.need('rbd_snap_create', made, 's');
    await c.close(made);
    const target = byId ? id : 'i';
    const shown = byId ? '<id>' : '"i"';
    await tryOpen(c, opener, target, shown, null);
    await tryOpen(c, opener, target, shown, '');
    await tryOpen(c, opener, target, shown, 's');
    await tryOpen(c, opener, target, shown, 'nosnap');
    await tryOpen(c, opener, 'missing', '"missing"', null);
    await tryOpen(c, opener, '', '""', null);
  },
}));

export const open: Case[] = [
  {
    name: 'rbd_list gives the size it needs, in bytes',
    run: async (c) => {
      await list(c, null);
      await list(c, 0);
      await list(c, 64);
      for (const name of ['b', 'aa', 'c/d']) await c.image(name, MiB);
      await list(c, null);
      for (const capacity of [0, 1, 8, 9, 10, 64]) await list(c, capacity);
    },
  },
  {
    name: 'rbd_list2 gives the number it needs',
    run: async (c) => {
      await list2(c, 0);
      await list2(c, 4);
      for (const name of ['b', 'aa', 'c/d']) await c.image(name, MiB);
      for (const capacity of [0, 1, 2, 3, 4]) await list2(c, capacity);
    },
  },
  {
    name: 'lists are in the order of the names',
    run: async (c) => {
      for (const name of ['z', 'B', 'a', '10', '9', 'ä', 'a-b', 'a/b', 'a.b', 'A']) await c.image(name, MiB);
      await list(c, 256);
      await c.noteNames();
    },
  },
  ...openers,
  {
    name: 'getters of a new image',
    run: async (c) => {
      const image = await c.fresh('i', 10 * MiB + 513);
      await stat(c, image);
      await askAll(c, image);
      await c.close(image);
    },
  },
  {
    name: 'getters of an image with order 16 and striping',
    run: async (c) => {
      const order = new Out('order', 'i32', 16);
      await c.need('rbd_create3', c.io, 'i', 5 * MiB, 3, order, 4096, 4);
      const image = await c.open('i');
      await stat(c, image);
      await askAll(c, image);
      await c.close(image);
    },
  },
  {
    name: 'getters of an image of size 0',
    run: async (c) => {
      const image = await c.fresh('i', 0);
      await stat(c, image);
      await askAll(c, image);
      await c.close(image);
    },
  },
  {
    name: 'getters of a snapshot',
    run: async (c) => {
      const image = await c.fresh('i', 10 * MiB);
      await c.need('rbd_snap_create', image, 's');
      await c.need('rbd_resize', image, 12 * MiB);
      const snap = await c.open('i', { as: 'snap', snap: 's' });
      await stat(c, snap);
      await askAll(c, snap);
      await c.close(image, snap);
    },
  },
  {
    name: 'rbd_stat into a struct of another size',
    run: async (c) => {
      const image = await c.fresh('i');
      for (const size of [0, 8, 159, 160]) await stat(c, image, size);
      await c.close(image);
    },
  },
  {
    name: 'rbd_get_name gives the size it needs',
    run: async (c) => {
      const image = await c.fresh('name');
      for (const capacity of [0, 1, 4, 5, 64]) await noteName(c, image, capacity);
      await c.close(image);
    },
  },
  {
    name: 'rbd_get_id and rbd_get_block_name_prefix refuse a small buffer',
    run: async (c) => {
      const image = await c.fresh('i');
      for (const size of [0, 1, 8, 64]) await noteText(c, image, 'rbd_get_id', size);
      for (const size of [0, 1, 9, 64]) await noteText(c, image, 'rbd_get_block_name_prefix', size);
      const id = await c.idOf(image);
      const prefix = new Bytes('prefix', Buffer.alloc(64));
      await c.call('rbd_get_block_name_prefix', image, prefix, 64);
      c.note({ prefixIsOfId: prefix.text === `rbd_data.${id}`, idIsHex: /^[0-9a-f]{8,20}$/.test(id) });
      await c.close(image);
    },
  },
  {
    name: 'time stamps: creation stays, modification follows writes',
    run: async (c) => {
      const image = await c.fresh('i');
      const created = await noteTime(c, image, 'rbd_get_create_timestamp');
      const modified = await noteTime(c, image, 'rbd_get_modify_timestamp');
      const accessed = await noteTime(c, image, 'rbd_get_access_timestamp');
      c.note({ modifiedIsCreated: modified === created, accessedIsCreated: accessed === created });
      await c.close(image);
      const again = await c.open('i');
      c.note({ stays: created === await noteTime(c, again, 'rbd_get_create_timestamp') });
      await c.close(again);
    },
  },
  {
    name: 'two handles of one image in one client are two openings',
    run: async (c) => {
      const first = await c.fresh('i');
      const second = await c.open('i', { as: 'img2' });
      await c.write(first, 4096, 512, 5);
      await c.call('rbd_flush', first);
      await c.read(second, 4096, 512);
      await c.close(first);
      await c.read(second, 4096, 512);
      await c.close(second);
    },
  },
  {
    name: 'an ioctx may be destroyed while its image is open',
    run: async (c) => {
      await c.image('i');
      const io = await c.ioctx();
      const image = await c.open('i', { io });
      await c.drop(io);
      await c.write(image, 0, 512, 5);
      await c.read(image, 0, 512);
      await c.call('rbd_resize', image, 32 * MiB);
      await c.get('rbd_get_size', image, 'size');
      await c.call('rbd_close', image);
    },
  },
  {
    name: 'what was written is there after reopening, also for another client',
    run: async (c) => {
      const image = await c.fresh('i', 10 * MiB);
      await c.write(image, 1000, 5000, 7);
      await c.write(image, 10 * MiB - 100, 100, 8);
      await c.need('rbd_metadata_set', image, 'key', 'value');
      await c.call('rbd_close', image);
      const cluster = await c.client();
      const io = await c.ioctx({ cluster });
      const other = await c.open('i', { io });
      await c.read(other, 0, 8192);
      await c.read(other, 10 * MiB - 200, 200);
      await c.get('rbd_get_size', other, 'size');
      await c.close(other);
      await c.drop(io);
      await c.shutdown(cluster);
    },
  },
  {
    name: 'rbd_version and rados_version',
    run: async (c) => {
      for (const fn of ['rbd_version', 'rados_version']) {
        const [a, b, d] = [new Out('major', 'i32'), new Out('minor', 'i32'), new Out('extra', 'i32')];
        await c.call(fn, a, b, d);
        c.show(a, b, d);
      }
    },
  },
  {
    name: 'rbd_features_to_string and back',
    run: async (c) => {
      for (const features of [0, 1, 61, 127, 2 ** 20]) {
        const size = new Out('size', 'u64', 256);
        const text = new Bytes('text', Buffer.alloc(256));
        const rc = await c.call('rbd_features_to_string', features, text, size);
        c.note({ text: rc === 0 ? text.text : null, size: size.value });
      }
      const size = new Out('size', 'u64', 3);
      await c.call('rbd_features_to_string', 61, new Bytes('text', Buffer.alloc(8)), size);
      c.show(size);
      for (const text of ['layering', 'layering,exclusive-lock', '61', 'nosuch', '', 'layering,nosuch', 'layering, striping']) {
        const features = new Out('features', 'u64');
        await c.call('rbd_features_from_string', text, features);
        c.show(features);
      }
    },
  },
];
