// What holds and moves images: namespaces, trash, copies, and which ranges hold data.
import { Bytes, Handle, Out } from '../transcript.js';
import { FEATURES, MiB, OPTION, trashInfo, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

async function spaces(c: Context, capacity: number | null): Promise<void> {
  const size = new Out('size', 'u64', capacity ?? 0);
  const names = new Bytes('names', Buffer.alloc(Math.max(1, capacity ?? 0)));
  const rc = await c.call('rbd_namespace_list', c.io, capacity === null ? null : names, size);
  c.note({ size: size.value, names: rc >= 0 ? textsIn(names.buffer, Number(size.value)) : [] });
}

async function exists(c: Context, name: string): Promise<void> {
  const out = new Out('exists', 'bool', 0);
  await c.call('rbd_namespace_exists', c.io, name, out);
  c.show(out);
}

async function trash(c: Context, capacity = 8, io = c.io): Promise<string[]> {
  const max = new Out('max', 'u64', capacity);
  const list = new Bytes('entries', Buffer.alloc(Math.max(1, capacity) * trashInfo.size));
  const rc = await c.call('rbd_trash_list', io, list, max);
  c.show(max);
  if (rc < 0) return [];
  const now = Math.floor(Date.now() / 1000);
  const entries = trashInfo.readAll(list.buffer, rc).map((e) => ({
    ...e, age: now - Number(e['deletionTime']), wait: Number(e['defermentEnd']) - Number(e['deletionTime']),
  })) as { id: string; name: string; source: number; age: number; wait: number }[];
  for (const e of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    c.note({ name: e.name, source: e.source, recent: e.age > -5 && e.age < 300, wait: e.wait });
  }
  await c.silent('rbd_trash_list_cleanup', list, rc);
  return entries.map((e) => e.id);
}

function id(c: Context, value: string | undefined): Parameters<Context['call']>[1] {
  return c.hidden('image', value ?? '');
}

interface Extent { at: bigint; length: bigint; exists: bigint }

// The ranges that a diff reports, pieces side by side taken together: where the library cuts is its own business.
async function diff(c: Context, image: Handle, { from = null, offset = 0, length, parent = 1, whole = 0 }: { from?: string | null; offset?: number; length: number; parent?: number; whole?: number }): Promise<void> {
  const seen: Extent[] = [];
  const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], (at, n, there) => {
    const last = seen.at(-1);
    if (last !== undefined && last.at + last.length === at && last.exists === there) last.length += n!;
    else seen.push({ at: at!, length: n!, exists: there! });
    return 0;
  });
  await c.call('rbd_diff_iterate2', image, from, offset, length, parent, whole, callback, null);
  c.note({ seen: seen.map((e) => `${e.at}+${e.length}${e.exists === 1n ? '' : ' gone'}`) });
}

async function target(c: Context, values: Partial<Record<keyof typeof OPTION, number>> = {}): Promise<Handle> {
  const opts = new Handle('opts');
  await c.silent('rbd_image_options_create', opts.ref);
  for (const [key, value] of Object.entries(values)) await c.need('rbd_image_options_set_uint64', opts, OPTION[key as keyof typeof OPTION], value);
  return opts;
}

async function source(c: Context): Promise<Handle> {
  const image = await c.fresh('src', 10 * MiB);
  await c.need('rbd_write', image, 1000, 9000, new Bytes('data', Buffer.alloc(9000, 3)));
  await c.need('rbd_write', image, 9 * MiB, 4096, new Bytes('data', Buffer.alloc(4096, 4)));
  await c.need('rbd_metadata_set', image, 'key', 'value');
  return image;
}

async function noteCopy(c: Context, name: string, io = c.io): Promise<void> {
  const copy = new Handle('copy');
  if (await c.call('rbd_open', io, name, copy.ref, null) < 0) return;
  await c.get('rbd_get_size', copy, 'size');
  await c.get('rbd_get_features', copy, 'features');
  await c.get('rbd_get_stripe_unit', copy, 'unit');
  await c.read(copy, 0, 16384);
  await c.read(copy, 9 * MiB, 8192);
  const size = new Out('size', 'u64', 64);
  const value = new Bytes('value', Buffer.alloc(64));
  await c.call('rbd_metadata_get', copy, 'key', value, size);
  await c.close(copy);
}

const quiet = (c: Context) => c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0);

export const spacesCases: Case[] = [
  {
    name: 'namespaces: create, exists, list, remove',
    run: async (c) => {
      await spaces(c, 64);
      await exists(c, 'a');
      for (const name of ['b', 'a', 'a', '', 'x/y', 'n'.repeat(300)]) await c.call('rbd_namespace_create', c.io, name);
      for (const capacity of [null, 0, 1, 64, 4096]) await spaces(c, capacity);
      for (const name of ['a', 'nosuch', '']) await exists(c, name);
      for (const name of ['a', 'a', 'nosuch', '', 'b', 'x/y', 'n'.repeat(300)]) await c.call('rbd_namespace_remove', c.io, name);
      await spaces(c, 4096);
    },
  },
  {
    name: 'images live in their namespace, which cannot be removed before them',
    run: async (c) => {
      await c.need('rbd_namespace_create', c.io, 'ns');
      const io = await c.ioctx({ namespace: 'ns' });
      const order = new Out('order', 'i32');
      await c.call('rbd_create', io, 'i', 8 * MiB, order);
      await c.call('rbd_create', c.io, 'i', 4 * MiB, order);
      await c.noteNames(io);
      await c.noteNames();
      await c.call('rbd_create', io, 'only', 8 * MiB, order);
      await c.call('rbd_open', c.io, 'only', new Handle('img').ref, null);
      const image = await c.open('i', { io });
      await c.get('rbd_get_size', image, 'size');
      await c.write(image, 0, 512, 1);
      await c.close(image);
      const outer = await c.open('i');
      await c.read(outer, 0, 512);
      await c.close(outer);
      await c.call('rbd_namespace_remove', c.io, 'ns');
      await c.call('rbd_trash_move', io, 'i', 0);
      await c.call('rbd_remove', io, 'only');
      await c.call('rbd_namespace_remove', c.io, 'ns');
      const ids = await trash(c, 8, io);
      await trash(c, 8);
      await c.call('rbd_trash_remove', io, id(c, ids[0]), false);
      await c.call('rbd_namespace_remove', c.io, 'ns');
      await c.drop(io);
    },
  },
  {
    name: 'what was set on a namespace goes with it',
    run: async (c) => {
      await c.need('rbd_namespace_create', c.io, 'ns');
      const io = await c.ioctx({ namespace: 'ns' });
      await c.call('rbd_pool_metadata_set', io, 'k', 'v');
      await c.call('rbd_pool_metadata_set', c.io, 'k', 'of the pool');
      for (const fn of ['rbd_namespace_remove', 'rbd_namespace_create', 'rbd_namespace_remove', 'rbd_namespace_remove']) {
        await c.call(fn, c.io, 'ns');
        await c.call('rbd_pool_metadata_get', io, 'k', new Bytes('value', Buffer.alloc(64)), new Out('size', 'u64', 64));
        // On one that is not there, too.
        if (fn === 'rbd_namespace_remove') await c.call('rbd_pool_metadata_set', io, 'k', 'late');
      }
      await c.call('rbd_pool_metadata_get', c.io, 'k', new Bytes('value', Buffer.alloc(64)), new Out('size', 'u64', 64));
      await c.drop(io);
    },
  },
  {
    name: 'an image in a namespace that does not exist',
    run: async (c) => {
      const io = await c.ioctx({ namespace: 'nosuch' });
      await c.call('rbd_create', io, 'i', 8 * MiB, new Out('order', 'i32'));
      await c.noteNames(io);
      await c.call('rbd_open', io, 'i', new Handle('img').ref, null);
      await c.call('rbd_remove', io, 'i');
      await trash(c, 8, io);
      await c.drop(io);
    },
  },
  {
    name: 'namespaces are made only in the default one',
    run: async (c) => {
      await c.need('rbd_namespace_create', c.io, 'ns');
      const io = await c.ioctx({ namespace: 'ns' });
      await c.call('rbd_namespace_create', io, 'inner');
      const out = new Out('exists', 'bool');
      await c.call('rbd_namespace_exists', io, 'ns', out);
      c.show(out);
      const size = new Out('size', 'u64', 64);
      await c.call('rbd_namespace_list', io, new Bytes('names', Buffer.alloc(64)), size);
      await c.call('rbd_namespace_remove', io, 'ns');
      await c.call('rbd_namespace_remove', c.io, 'inner');
      await c.drop(io);
    },
  },
  {
    name: 'trash: move, list, get, restore, remove',
    run: async (c) => {
      await trash(c, 0);
      await trash(c);
      await c.call('rbd_trash_move', c.io, 'nosuch', 0);
      await c.call('rbd_trash_move', c.io, '', 0);
      await c.image('a');
      await c.image('b');
      await c.call('rbd_trash_move', c.io, 'a', 0);
      await c.call('rbd_trash_move', c.io, 'b', 3600);
      await c.noteNames();
      await trash(c, 0);
      await trash(c, 1);
      const [a, b] = await trash(c);
      await c.call('rbd_open', c.io, 'a', new Handle('img').ref, null);
      const info = new Bytes('info', Buffer.alloc(trashInfo.size));
      if (await c.call('rbd_trash_get', c.io, id(c, a), info) === 0) {
        const { name, source: from } = trashInfo.read(info.buffer);
        c.note({ name, source: from });
        await c.silent('rbd_trash_get_cleanup', info);
      }
      await c.call('rbd_trash_get', c.io, 'nosuch', info);
      await c.call('rbd_trash_remove', c.io, id(c, b), false);
      await c.call('rbd_trash_remove', c.io, 'nosuch', false);
      await c.call('rbd_trash_restore', c.io, 'nosuch', 'x');
      await c.image('taken');
      await c.call('rbd_trash_restore', c.io, id(c, a), 'taken');
      await c.call('rbd_trash_restore', c.io, id(c, a), '');
      await c.noteNames();
      await c.call('rbd_trash_restore', c.io, id(c, b), 'c/d');
      await c.noteNames();
      await trash(c);
    },
  },
  {
    name: 'trash: forced removal, and an open by id of what is in it',
    run: async (c) => {
      const image = await c.fresh('a');
      const imageId = await c.idOf(image);
      await c.write(image, 0, 512, 1);
      await c.close(image);
      await c.call('rbd_trash_move', c.io, 'a', 3600);
      const inTrash = new Handle('img');
      await c.call('rbd_open_by_id_read_only', c.io, id(c, imageId), inTrash.ref, null);
      await c.read(inTrash, 0, 512);
      await c.call('rbd_trash_remove', c.io, id(c, imageId), true);
      await c.close(inTrash);
      await c.call('rbd_trash_remove', c.io, id(c, imageId), false);
      await c.call('rbd_trash_remove', c.io, id(c, imageId), true);
      await trash(c);
    },
  },
  {
    name: 'trash: two of one name, and one that is open',
    run: async (c) => {
      for (let i = 0; i < 2; i++) {
        await c.image('same');
        await c.call('rbd_trash_move', c.io, 'same', 0);
      }
      await trash(c);
      const image = await c.fresh('open');
      await c.call('rbd_trash_move', c.io, 'open', 0);
      await c.write(image, 0, 512, 1);
      await c.read(image, 0, 512);
      await c.close(image);
      c.note({ inTrash: (await trash(c)).length });
    },
  },
  {
    name: 'trash purge takes what has waited long enough',
    run: async (c) => {
      for (const [name, delay] of [['a', 0], ['b', 3600]] as const) {
        await c.image(name);
        await c.need('rbd_trash_move', c.io, name, delay);
      }
      const now = Math.floor(Date.now() / 1000);
      await c.call('rbd_trash_purge', c.io, c.timeLabel('before', now - 100), -1);
      await trash(c);
      await c.call('rbd_trash_purge', c.io, c.timeLabel('now', now + 2), -1);
      await trash(c);
      await c.call('rbd_trash_purge', c.io, c.timeLabel('tomorrow', now + 86400), -1);
      await trash(c);
      await c.call('rbd_trash_purge_with_progress', c.io, c.timeLabel('tomorrow', now + 86400), 2, quiet(c), null);
    },
  },
  {
    name: 'copies: rbd_copy, to another pool, over an existing image',
    run: async (c) => {
      const image = await source(c);
      const io2 = await c.ioctx({ pool: 'conform2' });
      await c.call('rbd_copy', image, c.io, 'a');
      await noteCopy(c, 'a');
      await c.call('rbd_copy', image, c.io, 'a');
      await c.call('rbd_copy', image, c.io, 'src');
      await c.call('rbd_copy', image, c.io, '');
      await c.call('rbd_copy', image, io2, 'src');
      await noteCopy(c, 'src', io2);
      await c.close(image);
      await c.drop(io2);
    },
  },
  {
    name: 'copies: rbd_copy2 into an open image',
    run: async (c) => {
      const image = await source(c);
      for (const [name, size] of [['same', 10 * MiB], ['larger', 12 * MiB], ['smaller', 4 * MiB]] as const) {
        await c.image(name, size);
        const to = await c.open(name, { as: name });
        await c.call('rbd_copy2', image, to);
        await c.get('rbd_get_size', to, 'size');
        await c.read(to, 0, 16384);
        await c.close(to);
      }
      await c.close(image);
    },
  },
  {
    name: 'copies: rbd_copy3 and rbd_copy4 with options, and with progress',
    run: async (c) => {
      const image = await source(c);
      const opts = await target(c, { order: 23, features: FEATURES.layering });
      await c.call('rbd_copy3', image, c.io, 'a', opts);
      await noteCopy(c, 'a');
      await c.call('rbd_copy4', image, c.io, 'b', opts, 4096);
      await noteCopy(c, 'b');
      await c.call('rbd_copy4', image, c.io, 'c', opts, 1000);
      await c.call('rbd_copy4', image, c.io, 'd', opts, 0);
      await c.call('rbd_copy_with_progress', image, c.io, 'e', quiet(c), null);
      await c.call('rbd_copy_with_progress3', image, c.io, 'f', opts, quiet(c), null);
      await c.call('rbd_copy_with_progress4', image, c.io, 'g', opts, quiet(c), null, 65536);
      await c.noteNames();
      await c.silent('rbd_image_options_destroy', opts);
      await c.close(image);
    },
  },
  {
    name: 'diff of a whole image: what was written, zeroed, discarded',
    run: async (c) => {
      const image = await c.fresh('i', 16 * MiB);
      await diff(c, image, { length: 16 * MiB, whole: 1 });
      await c.write(image, 0, 4096, 1);
      await c.write(image, 6 * MiB, 4096, 1);
      await diff(c, image, { length: 16 * MiB, whole: 1 });
      await diff(c, image, { length: 16 * MiB, whole: 1, parent: 0 });
      await diff(c, image, { offset: 5 * MiB, length: 2 * MiB, whole: 1 });
      await diff(c, image, { offset: 8 * MiB, length: 8 * MiB, whole: 1 });
      // Of no length, or past the end, the real library asserts.
      await diff(c, image, { length: 64 * MiB, whole: 1 });
      await diff(c, image, { length: 16 * MiB, from: 'nosnap', whole: 1 });
      await c.call('rbd_discard', image, 4 * MiB, 4 * MiB);
      await diff(c, image, { length: 16 * MiB, whole: 1 });
      await c.close(image);
    },
  },
  {
    name: 'what a diff callback returns below 0 is returned',
    run: async (c) => {
      const image = await c.fresh('i', 16 * MiB);
      await c.write(image, 0, 8 * MiB, 1);
      for (const answer of [-9000, -1, -125, 1]) {
        let calls = 0;
        const callback = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], () => {
          calls++;
          return answer;
        });
        await c.call('rbd_diff_iterate2', image, null, 0, 16 * MiB, 1, 1, callback, null);
        c.note({ answer, called: calls > 0, once: answer < 0 ? calls === 1 : undefined });
      }
      await c.close(image);
    },
  },
];
