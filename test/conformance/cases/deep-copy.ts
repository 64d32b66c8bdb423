// rbd_deep_copy: an image with its snapshots, its options, its parent, and what is refused.
import { Bytes, Handle, Out } from '../transcript.js';
import { KiB, linkedImageSpec, MiB, OPTION, snapInfo, snapSpec, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

async function options(c: Context, values: Record<number, number | bigint> = {}): Promise<Handle> {
  const opts = new Handle('opts');
  await c.silent('rbd_image_options_create', opts.ref);
  for (const [option, value] of Object.entries(values)) await c.need('rbd_image_options_set_uint64', opts, Number(option), value);
  return opts;
}

/** Copies, and writes down what the caller's options hold afterwards. */
async function copy(c: Context, image: Handle, name: string, { io = c.io, set = {}, show = false }: { io?: Handle; set?: Record<number, number | bigint>; show?: boolean } = {}): Promise<number> {
  const opts = await options(c, set);
  const rc = await c.call('rbd_deep_copy', image, io, name, opts);
  if (show) {
    for (const option of [OPTION.format, OPTION.features, OPTION.order, OPTION.stripeUnit, OPTION.stripeCount, OPTION.flatten]) {
      await c.call('rbd_image_options_get_uint64', opts, option, new Out('value', 'u64', 0));
    }
  }
  await c.silent('rbd_image_options_destroy', opts);
  return rc;
}

async function snapshots(c: Context, image: Handle): Promise<string[]> {
  const max = new Out('max', 'i32', 16);
  const list = new Bytes('snaps', Buffer.alloc(17 * snapInfo.size));
  const count = Number(await c.silent('rbd_snap_list', image, list, max));
  const found = snapInfo.readAll(list.buffer, Math.max(0, count));
  const names: string[] = [];
  for (const { id, name, size } of found) {
    const [type, isProtected] = [new Out('type', 'u32', 9), new Out('protected', 'i32', 7)];
    await c.silent('rbd_snap_get_namespace_type', image, Number(id), type);
    const isTrash = type.value !== 0n;
    if (!isTrash) await c.silent('rbd_snap_is_protected', image, String(name), isProtected);
    c.note({ snap: isTrash ? '<in the trash>' : name, size, type: type.value, protected: isProtected.value });
    if (!isTrash) names.push(String(name));
  }
  await c.silent('rbd_snap_list_end', list);
  return names;
}

async function shape(c: Context, image: Handle): Promise<void> {
  for (const fn of ['rbd_get_size', 'rbd_get_features', 'rbd_get_op_features', 'rbd_get_stripe_unit', 'rbd_get_stripe_count', 'rbd_get_overlap', 'rbd_snap_get_limit']) await c.get(fn, image);
  const info = new Bytes('info', Buffer.alloc(256));
  await c.need('rbd_stat', image, info, 256);
  c.note({ order: info.buffer.readInt32LE(24) });
}

async function parent(c: Context, image: Handle): Promise<void> {
  const [spec, snap] = [new Bytes('parent', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
  if (await c.call('rbd_get_parent', image, spec, snap) !== 0) return;
  const of = linkedImageSpec.read(spec.buffer);
  c.note({ pool: of['poolName'], image: of['imageName'], snap: snapSpec.read(snap.buffer)['name'] });
  await c.silent('rbd_linked_image_spec_cleanup', spec);
  await c.silent('rbd_snap_spec_cleanup', snap);
}

async function children(c: Context, image: Handle): Promise<void> {
  const max = new Out('max', 'u64', 8);
  const specs = new Bytes('children', Buffer.alloc(8 * linkedImageSpec.size));
  if (await c.call('rbd_list_children3', image, specs, max) < 0) return;
  c.note({ children: linkedImageSpec.readAll(specs.buffer, Number(max.value)).map((s) => `${s['poolName']}/${s['imageName']}`).sort() });
  await c.silent('rbd_linked_image_spec_list_cleanup', specs, max.value);
}

async function metadata(c: Context, image: Handle): Promise<void> {
  const [keys, values] = [new Bytes('keys', Buffer.alloc(4096)), new Bytes('values', Buffer.alloc(4096))];
  const [keysSize, valuesSize] = [new Out('keysSize', 'u64', 4096), new Out('valuesSize', 'u64', 4096)];
  await c.need('rbd_metadata_list', image, '', 0, keys, keysSize, values, valuesSize);
  c.note({ keys: textsIn(keys.buffer, Number(keysSize.value)), values: textsIn(values.buffer, Number(valuesSize.value)) });
}

/** What the image and each of its snapshots are, in every particular. */
async function whole(c: Context, name: string, io = c.io): Promise<void> {
  const image = await c.open(name, { as: 'copy', io });
  await shape(c, image);
  await metadata(c, image);
  const names = await snapshots(c, image);
  for (const snap of [null, ...names]) {
    await c.need('rbd_snap_set', image, snap);
    await c.get('rbd_get_size', image, 'size');
    const size = new Out('size', 'u64');
    await c.silent('rbd_get_size', image, size);
    for (const offset of [0, 64 * KiB, 5 * MiB, 9 * MiB]) {
      if (BigInt(offset) < size.value) await c.read(image, offset, 16 * KiB);
    }
    if (snap !== null) await parent(c, image);
  }
  await c.need('rbd_snap_set', image, null);
  await parent(c, image);
  await c.close(image);
}

/** An image of three sizes, with data that comes, changes and goes. */
async function history(c: Context): Promise<Handle> {
  const image = await c.fresh('src', 8 * MiB);
  const fill = async (offset: number, length: number, value: number): Promise<number> => c.need('rbd_write', image, offset, length, new Bytes('data', Buffer.alloc(length, value)));
  await fill(0, 8 * KiB, 1);
  await fill(5 * MiB, 4 * KiB, 2);
  await c.need('rbd_snap_create', image, 'a');
  await fill(1000, 3000, 3);
  await c.need('rbd_resize', image, 4 * MiB + 512);
  await c.need('rbd_snap_create', image, 'b');
  await c.need('rbd_snap_protect', image, 'b');
  await c.need('rbd_resize', image, 12 * MiB);
  await fill(9 * MiB, 4 * KiB, 4);
  await c.need('rbd_discard', image, 0, 4 * MiB);
  await c.need('rbd_snap_create', image, 'c/d e');
  await fill(64 * KiB, 100, 5);
  return image;
}

/** `p@s` of 8 MiB, protected where asked, and `src`, a clone of it with writes and a snapshot of its own. */
async function cloned(c: Context, format: 1 | 2): Promise<{ base: Handle; child: Handle }> {
  const base = await c.fresh('p', 8 * MiB);
  const fill = async (image: Handle, offset: number, length: number, value: number): Promise<number> => c.need('rbd_write', image, offset, length, new Bytes('data', Buffer.alloc(length, value)));
  await fill(base, 0, 8 * KiB, 1);
  await fill(base, 5 * MiB, 4 * KiB, 2);
  await c.need('rbd_snap_create', base, 's');
  if (format === 1) await c.need('rbd_snap_protect', base, 's');
  const opts = await options(c, { [OPTION.cloneFormat]: format });
  await c.need('rbd_clone3', c.io, 'p', 's', c.io, 'src', opts);
  await c.silent('rbd_image_options_destroy', opts);
  const child = await c.open('src', { as: 'child' });
  await fill(child, 4 * KiB, 2 * KiB, 3);
  await c.need('rbd_snap_create', child, 'own');
  await c.need('rbd_discard', child, 4 * MiB, 4 * MiB);
  await fill(child, 64 * KiB, 100, 4);
  return { base, child };
}

export const deepCopy: Case[] = [
  {
    name: 'a deep copy has every snapshot: data, sizes, protection, metadata',
    run: async (c) => {
      const image = await history(c);
      await c.need('rbd_metadata_set', image, 'k', 'v');
      await c.need('rbd_metadata_set', image, 'conf_rbd_cache', 'false');
      await c.need('rbd_snap_set_limit', image, 9);
      await copy(c, image, 'dst', { show: true });
      await whole(c, 'dst');
      await c.write(image, 0, 4096, 9);
      await whole(c, 'src');
      const again = await c.open('dst', { as: 'copy' });
      await c.read(again, 0, 8192);
      await c.close(again, image);
    },
  },
  {
    name: 'a deep copy of a snapshot handle ends with that snapshot',
    run: async (c) => {
      const image = await history(c);
      await c.need('rbd_snap_set', image, 'b');
      await copy(c, image, 'dst');
      await whole(c, 'dst');
      await c.close(image);
      const reader = await c.open('src', { as: 'reader', readOnly: true, snap: 'a' });
      await copy(c, reader, 'dst2');
      await whole(c, 'dst2');
      await c.close(reader);
    },
  },
  {
    name: 'deep copies with options: order, striping, features, format',
    run: async (c) => {
      const image = await history(c);
      const cases: Record<string, Record<number, number | bigint>> = {
        order: { [OPTION.order]: 20 }, stripes: { [OPTION.stripeUnit]: 65536, [OPTION.stripeCount]: 4 }, plain: { [OPTION.features]: 1 }, none: { [OPTION.features]: 0 },
        set: { [OPTION.featuresClear]: 56 }, old: { [OPTION.format]: 1 }, tiny: { [OPTION.order]: 11 }, unknown: { [OPTION.features]: 1n << 40n }, format3: { [OPTION.format]: 3 },
        unit: { [OPTION.stripeUnit]: 1000, [OPTION.stripeCount]: 2 }, flat: { [OPTION.flatten]: 1 }, clone3: { [OPTION.cloneFormat]: 3 },
      };
      for (const [name, set] of Object.entries(cases)) {
        if (await copy(c, image, name, { set, show: name === 'order' || name === 'flat' }) !== 0) continue;
        const made = await c.open(name, { as: 'copy' });
        await shape(c, made);
        await snapshots(c, made);
        await c.close(made);
      }
      await c.noteNames();
      await c.close(image);
    },
  },
  {
    name: 'deep copies: what is refused',
    run: async (c) => {
      const image = await history(c);
      await copy(c, image, 'src');
      await copy(c, image, '');
      await copy(c, image, 'dst');
      await copy(c, image, 'dst');
      await c.noteNames();
      await c.close(image);
    },
  },
  {
    name: 'a deep copy into another pool, another namespace, and of an empty image',
    run: async (c) => {
      const image = await history(c);
      const io2 = await c.ioctx({ pool: 'conform2' });
      await copy(c, image, 'src', { io: io2 });
      await whole(c, 'src', io2);
      await c.need('rbd_namespace_create', c.io, 'ns');
      const inside = await c.ioctx({ namespace: 'ns', as: 'io3' });
      await copy(c, image, 'src', { io: inside });
      const made = await c.open('src', { as: 'copy', io: inside });
      await shape(c, made);
      await snapshots(c, made);
      await c.close(made);
      const nowhere = await c.ioctx({ namespace: 'nons', as: 'io4' });
      await copy(c, image, 'src', { io: nowhere });
      await c.close(image);
      const empty = await c.fresh('empty', 0);
      await copy(c, empty, 'empty2');
      await c.need('rbd_snap_create', empty, 's');
      await copy(c, empty, 'empty3');
      await c.close(empty);
      for (const name of ['empty2', 'empty3']) await whole(c, name);
      const gone = await c.open('src', { as: 'copy', io: inside });
      for (const snap of ['a', 'b', 'c/d e']) {
        await c.silent('rbd_snap_unprotect', gone, snap);
        await c.silent('rbd_snap_remove', gone, snap);
      }
      await c.close(gone);
      await c.need('rbd_remove', inside, 'src');
      await c.need('rbd_namespace_remove', c.io, 'ns');
      await c.drop(io2, inside, nowhere);
    },
  },
  {
    name: 'a deep copy tells its progress, and goes on whatever it is answered',
    run: async (c) => {
      const image = await history(c);
      for (const answer of [0, -1]) {
        const seen: [bigint, bigint][] = [];
        const progress = c.callback('progress', 'int', ['u64', 'u64', 'ptr'], (done, total) => {
          seen.push([done!, total!]);
          return answer;
        });
        const opts = await options(c);
        await c.call('rbd_deep_copy_with_progress', image, c.io, `dst${answer}`, opts, progress, null);
        await c.silent('rbd_image_options_destroy', opts);
        c.note({ told: seen.length > 0, grows: seen.every(([done], i) => i === 0 || done >= seen[i - 1]![0]), total: seen.at(-1)?.[1], within: seen.every(([done, total]) => done <= total) });
      }
      await c.noteNames();
      await c.close(image);
    },
  },
  ...([1, 2] as const).map((format): Case => ({
    name: `a deep copy of a clone of format ${format} is a clone, or an image of its own where that is asked for`,
    run: async (c) => {
      const { base, child } = await cloned(c, format);
      const set = { [OPTION.cloneFormat]: format };
      await copy(c, child, 'kept', { set });
      await whole(c, 'kept');
      await copy(c, child, 'default');
      await copy(c, child, 'flat', { set: { [OPTION.flatten]: 1 } });
      await whole(c, 'flat');
      await c.need('rbd_snap_set', base, 's');
      await children(c, base);
      await c.need('rbd_snap_set', base, null);
      await copy(c, child, 'bare', { set: { ...set, [OPTION.features]: 0 } });
      await copy(c, child, 'wide', { set: { ...set, [OPTION.order]: 24 } });
      await c.need('rbd_snap_set', child, 'own');
      await copy(c, child, 'ofsnap', { set });
      await whole(c, 'ofsnap');
      await c.noteNames();
      await c.close(child, base);
    },
  })),
  {
    name: 'a deep copy of a clone that was shrunk and grown',
    run: async (c) => {
      const { base, child } = await cloned(c, 2);
      await c.need('rbd_resize', child, MiB);
      await c.need('rbd_snap_create', child, 'small');
      await c.need('rbd_resize', child, 10 * MiB);
      await c.write(child, 9 * MiB, 4096, 7);
      await copy(c, child, 'kept', { set: { [OPTION.cloneFormat]: 2 } });
      await whole(c, 'kept');
      await c.close(child, base);
    },
  },
  {
    name: 'a deep copy after a rollback, and of an image whose removed snapshot has a clone',
    run: async (c) => {
      const image = await history(c);
      await c.need('rbd_snap_rollback', image, 'a');
      await c.write(image, 64 * KiB, 4096, 8);
      await c.need('rbd_snap_create', image, 'after');
      const opts = await options(c, { [OPTION.cloneFormat]: 2 });
      await c.need('rbd_clone3', c.io, 'src', 'a', c.io, 'k', opts);
      await c.need('rbd_snap_remove', image, 'a');
      await c.silent('rbd_image_options_destroy', opts);
      await snapshots(c, image);
      await copy(c, image, 'dst');
      await whole(c, 'dst');
      await c.close(image);
    },
  },
  {
    name: 'deep copies of an image with an open writer and without options',
    run: async (c) => {
      const image = await history(c);
      const writer = await c.open('src', { as: 'writer' });
      await c.need('rbd_write', writer, 0, 512, new Bytes('data', Buffer.alloc(512, 6)));
      const reader = await c.open('src', { as: 'reader', readOnly: true });
      await copy(c, reader, 'dst');
      const made = await c.open('dst', { as: 'copy' });
      await c.read(made, 0, 4096);
      await c.close(made, reader, writer, image);
    },
  },
] satisfies Case[];
