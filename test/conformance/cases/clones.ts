// Clones of both formats: what they have of their parent, children, flatten, and what holds on to what.
import { Bytes, Handle, Out } from '../transcript.js';
import { childInfo, linkedImageSpec, MiB, OPTION, snapSpec, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';
import { clone, list } from './snapshot-views.js';

async function children(c: Context, image: Handle): Promise<void> {
  const max = new Out('max', 'u64', 8);
  const specs = new Bytes('children', Buffer.alloc(8 * linkedImageSpec.size));
  const rc = await c.call('rbd_list_children3', image, specs, max);
  c.show(max);
  if (rc < 0) return;
  const found = linkedImageSpec.readAll(specs.buffer, Number(max.value)).map((s) => `${s['poolName']}/${s['poolNamespace']}/${s['imageName']}${s['trash'] === true ? ' (trash)' : ''}`);
  c.note({ children: found.sort() });
  await c.silent('rbd_linked_image_spec_list_cleanup', specs, max.value);
}

async function children1(c: Context, image: Handle, capacity: number): Promise<void> {
  const [poolsSize, imagesSize] = [new Out('poolsSize', 'u64', capacity), new Out('imagesSize', 'u64', capacity)];
  const [pools, images] = [new Bytes('pools', Buffer.alloc(Math.max(1, capacity))), new Bytes('images', Buffer.alloc(Math.max(1, capacity)))];
  const rc = await c.call('rbd_list_children', image, pools, poolsSize, images, imagesSize);
  c.show(poolsSize, imagesSize);
  if (rc >= 0) c.note({ pools: textsIn(pools.buffer, Number(poolsSize.value)).filter(Boolean), images: textsIn(images.buffer, Number(imagesSize.value)).filter(Boolean).sort() });
}

async function children2(c: Context, image: Handle, capacity: number): Promise<void> {
  const max = new Out('max', 'i32', capacity);
  const infos = new Bytes('infos', Buffer.alloc((capacity + 1) * childInfo.size));
  const rc = await c.call('rbd_list_children2', image, infos, max);
  c.show(max);
  if (rc < 0) return;
  c.note({ children: childInfo.readAll(infos.buffer, rc).map((i) => `${i['poolName']}/${i['imageName']}${i['trash'] === true ? ' (trash)' : ''}`).sort() });
  await c.silent('rbd_list_children_cleanup', infos, rc);
}

async function parent(c: Context, image: Handle): Promise<void> {
  const [spec, snap] = [new Bytes('parent', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
  if (await c.call('rbd_get_parent', image, spec, snap) === 0) {
    const of = linkedImageSpec.read(spec.buffer);
    const at = snapSpec.read(snap.buffer);
    c.note({ pool: of['poolName'], namespace: of['poolNamespace'], image: of['imageName'], trash: of['trash'], snap: at['name'], type: at['namespaceType'] });
    await c.silent('rbd_linked_image_spec_cleanup', spec);
    await c.silent('rbd_snap_spec_cleanup', snap);
  }
  const texts = ['pool', 'name', 'snapName'].map((name) => new Bytes(name, Buffer.alloc(64)));
  const rc = await c.call('rbd_get_parent_info', image, texts[0]!, 64, texts[1]!, 64, texts[2]!, 64);
  c.note({ info: rc === 0 ? texts.map((t) => t.text) : null });
  await c.call('rbd_get_parent_info', image, texts[0]!, 1, texts[1]!, 64, texts[2]!, 64);
  await c.call('rbd_get_parent_info', image, null, 0, null, 0, null, 0);
  await c.get('rbd_get_overlap', image, 'overlap');
}

/** `p` with snapshot `s` (protected) of 8 MiB with some data, and its handle. */
async function parentImage(c: Context): Promise<Handle> {
  const image = await c.fresh('p', 8 * MiB);
  await c.need('rbd_write', image, 0, 8192, new Bytes('data', Buffer.alloc(8192, 1)));
  await c.need('rbd_write', image, 5 * MiB, 4096, new Bytes('data', Buffer.alloc(4096, 2)));
  await c.need('rbd_snap_create', image, 's');
  await c.need('rbd_snap_protect', image, 's');
  return image;
}

/** Clones p@s with options and writes down what became of the features and stripes. */
async function shapeOfClone(c: Context, options: Record<number, number>, name: string): Promise<void> {
  const opts = new Handle('opts');
  await c.need('rbd_image_options_create', opts.ref);
  for (const [key, value] of Object.entries(options)) await c.need('rbd_image_options_set_uint64', opts, Number(key), value);
  const rc = await c.call('rbd_clone3', c.io, 'p', 's', c.io, name, opts);
  await c.silent('rbd_image_options_destroy', opts);
  if (rc >= 0) await shape(c, name);
}

async function shape(c: Context, name: string): Promise<void> {
  const child = await c.open(name, { as: 'child' });
  await c.get('rbd_get_features', child, 'features');
  await c.get('rbd_get_stripe_unit', child, 'unit');
  await c.get('rbd_get_stripe_count', child, 'count');
  await c.close(child);
}

export const clones: Case[] = [
  {
    name: 'clone and clone2: what is refused',
    run: async (c) => {
      const image = await c.fresh('p', 8 * MiB);
      await c.need('rbd_snap_create', image, 's');
      const order = new Out('order', 'i32', 0);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 1, order);
      await c.need('rbd_snap_protect', image, 's');
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'p', 1, order);
      await c.call('rbd_clone', c.io, 'p', 'nosnap', c.io, 'c', 1, order);
      await c.call('rbd_clone', c.io, 'nosuch', 's', c.io, 'c', 1, order);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, '', 1, order);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 0, order);
      order.set(11);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 1, order);
      order.set(0);
      await c.call('rbd_clone2', c.io, 'p', 's', c.io, 'c', 1, order, 1000, 3);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 1, order);
      c.show(order);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 1, order);
      await c.noteNames();
      await c.close(image);
    },
  },
  {
    name: 'a clone has its parent\'s features where none are asked for, as they are now, and the order and stripes',
    run: async (c) => {
      let n = 0;
      for (const [features, unit, count] of [[1, 0, 0], [3, 65536, 4], [5, 0, 0], [13, 0, 0], [29, 0, 0], [33, 0, 0], [61, 0, 0]] as const) {
        await c.call('rbd_create3', c.io, 'p', 8 * MiB, features, new Out('order', 'i32'), unit, count);
        const image = await c.open('p');
        await c.need('rbd_snap_create', image, 's');
        await c.need('rbd_snap_protect', image, 's');
        for (const options of [{}, { [OPTION.order]: 23 }, { [OPTION.featuresSet]: 4 }, { [OPTION.featuresSet]: 8 }, { [OPTION.featuresClear]: 4 }, { [OPTION.featuresClear]: 56 }, { [OPTION.featuresClear]: 1 }, { [OPTION.features]: 5, [OPTION.featuresSet]: 32 }]) {
          c.note({ options: JSON.stringify(options) });
          await shapeOfClone(c, options, `c${n++}`);
        }
        if (features === 5) {
          await c.call('rbd_update_features', image, 24, 1);
          await shapeOfClone(c, {}, `c${n++}`);
        }
        for (; n > 0; n--) await c.silent('rbd_remove', c.io, `c${n - 1}`);
        await c.need('rbd_snap_unprotect', image, 's');
        await c.need('rbd_snap_remove', image, 's');
        await c.close(image);
        await c.need('rbd_remove', c.io, 'p');
      }
    },
  },
  ...([[16, 0, 0], [22, 65536, 2], [16, 4096, 2]] as const).map(([order, unit, count]): Case => ({
    name: `what a clone has of a parent of order ${order} and stripes ${unit} x ${count}, where less, more or 0 is asked for`,
    run: async (c) => {
      await c.need('rbd_create3', c.io, 'p', MiB, 1, new Out('order', 'i32', order), unit, count);
      const image = await c.open('p');
      await c.need('rbd_snap_create', image, 's');
      await c.need('rbd_snap_protect', image, 's');
      let n = 0;
      for (const asked of [0, 12, 20]) {
        for (const stripes of [[0, 0], [8192, 2], [8192, 0], [0, 2]]) {
          const name = `c${n++}`;
          const out = new Out('order', 'i32', asked);
          c.note({ asked });
          const rc = await c.call('rbd_clone2', c.io, 'p', 's', c.io, name, 61, out, ...stripes);
          c.show(out);
          if (rc >= 0) await shape(c, name);
        }
      }
      await c.call('rbd_clone', c.io, 'p', 's', c.io, `c${n}`, 61, new Out('order', 'i32', 0));
      await shape(c, `c${n++}`);
      const [objects, size, number] = [OPTION.order, OPTION.stripeUnit, OPTION.stripeCount];
      for (const options of [
        {}, { [objects]: 0 }, { [objects]: 12 }, { [objects]: 20 }, { [size]: 8192 }, { [number]: 3 }, { [number]: 0 }, { [size]: 0 }, { [size]: 0, [number]: 0 },
        { [objects]: 0, [size]: 0, [number]: 0 }, { [objects]: 20, [size]: 8192, [number]: 3 },
      ]) {
        c.note({ options: JSON.stringify(options) });
        await shapeOfClone(c, options, `c${n++}`);
      }
      await c.close(image);
    },
  })),
  ...[1, 2].map((format): Case => ({
    name: `a clone of format ${format} that was shrunk to no bytes shows no parent, and is its child all the same`,
    run: async (c) => {
      const image = await c.fresh('p', 8 * MiB);
      await c.need('rbd_snap_create', image, 's');
      if (format === 1) await c.need('rbd_snap_protect', image, 's');
      await clone(c, 'c', { format });
      const child = await c.open('c', { as: 'child' });
      const parent = async (): Promise<void> => {
        await c.get('rbd_get_overlap', child, 'overlap');
        const name = new Bytes('name', Buffer.alloc(64));
        await c.call('rbd_get_parent_info', child, null, 0, name, 64, null, 0);
        const [spec, snap] = [new Bytes('spec', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
        if (await c.call('rbd_get_parent', child, spec, snap) === 0) {
          await c.silent('rbd_linked_image_spec_cleanup', spec);
          await c.silent('rbd_snap_spec_cleanup', snap);
        }
        const max = new Out('max', 'u64', 8);
        const list = new Bytes('children', Buffer.alloc(8 * linkedImageSpec.size));
        await c.call('rbd_list_children3', image, list, max);
        c.show(max);
        await c.silent('rbd_linked_image_spec_list_cleanup', list, max.value);
      };
      await parent();
      await c.call('rbd_resize', child, 0);
      await parent();
      await c.call('rbd_resize', child, 4 * MiB);
      await parent();
      if (format === 1) await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_flatten', child);
      await parent();
      if (format === 1) await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_flatten_with_progress', child, c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0), null);
      await c.close(child, image);
    },
  })),
  {
    name: 'a snapshot of no bytes is not cloned, with either format',
    run: async (c) => {
      const image = await c.fresh('p', 0);
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 61, new Out('order', 'i32'));
      await c.need('rbd_snap_create', image, 's');
      for (const format of [1, 2]) await clone(c, 'c', { format });
      await c.need('rbd_snap_protect', image, 's');
      await c.need('rbd_resize', image, 4 * MiB);
      for (const format of [1, 2]) await clone(c, 'c', { format });
      await clone(c, 'p');
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 61, new Out('order', 'i32', 64));
      await c.call('rbd_clone', c.io, 'p', 's', c.io, 'c', 0, new Out('order', 'i32'));
      await c.noteNames();
      await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_snap_remove', image, 's');
      await c.close(image);
    },
  },
  ...[undefined, 1, 2].map((format): Case => ({
    name: `a clone of ${format === undefined ? 'the default format' : `format ${format}`}: data, parent, children, holds on its parent, flatten`,
    run: async (c) => {
      const image = await parentImage(c);
      if (format === 2) await c.need('rbd_snap_unprotect', image, 's');
      await clone(c, 'c', format === undefined ? {} : { format });
      const child = await c.open('c', { as: 'child' });
      await parent(c, child);
      await c.read(child, 0, 16384);
      await c.write(child, 4096, 8192, 7);
      await c.call('rbd_discard', child, 4 * MiB, 4 * MiB);
      await c.read(child, 0, 16384);
      await c.read(child, 5 * MiB, 4096);
      await c.read(image, 0, 16384);
      await c.need('rbd_snap_set', image, 's');
      await children(c, image);
      await c.need('rbd_snap_set', image, null);
      await c.call('rbd_snap_unprotect', image, 's');
      await c.call('rbd_snap_remove', image, 's');
      await list(c, image);
      await c.call('rbd_remove', c.io, 'p');
      await c.call('rbd_resize', child, 2 * MiB);
      await c.call('rbd_resize', child, 8 * MiB);
      await c.get('rbd_get_overlap', child, 'overlap');
      await c.read(child, 5 * MiB, 4096);
      await c.call('rbd_flatten', child);
      await c.call('rbd_flatten', child);
      await parent(c, child);
      await c.read(child, 0, 16384);
      await c.close(child, image);
    },
  })),
  {
    name: 'children are listed in each form, also those in the trash and in another pool',
    run: async (c) => {
      const image = await parentImage(c);
      const io2 = await c.ioctx({ pool: 'conform2' });
      await c.need('rbd_snap_set', image, 's');
      await children(c, image);
      await children1(c, image, 64);
      await clone(c, 'a');
      await clone(c, 'b');
      await clone(c, 'other', { io: io2 });
      await children(c, image);
      for (const capacity of [0, 1, 64]) await children1(c, image, capacity);
      for (const capacity of [0, 2, 4]) await children2(c, image, capacity);
      await c.need('rbd_trash_move', c.io, 'b', 0);
      await children(c, image);
      await children2(c, image, 4);
      await c.need('rbd_remove', io2, 'other');
      await children(c, image);
      await c.close(image);
      await c.drop(io2);
    },
  },
  {
    name: 'a clone of a clone, snapshots of a clone, and flatten below them',
    run: async (c) => {
      const image = await parentImage(c);
      await clone(c, 'c');
      const child = await c.open('c', { as: 'child' });
      await c.write(child, 0, 4096, 5);
      await c.need('rbd_snap_create', child, 's');
      await c.need('rbd_snap_protect', child, 's');
      await c.call('rbd_clone', c.io, 'c', 's', c.io, 'g', 61, new Out('order', 'i32'));
      await c.write(child, 4096, 4096, 6);
      const grandchild = await c.open('g', { as: 'grandchild' });
      await parent(c, grandchild);
      await c.read(grandchild, 0, 16384);
      await c.call('rbd_flatten', child);
      await c.read(grandchild, 0, 16384);
      await c.read(grandchild, 5 * MiB, 4096);
      await c.call('rbd_flatten', grandchild);
      await c.read(grandchild, 0, 16384);
      await c.close(grandchild, child, image);
    },
  },
  {
    name: 'removal and trash of images with snapshots and clones',
    run: async (c) => {
      const image = await parentImage(c);
      await c.close(image);
      await c.call('rbd_remove', c.io, 'p');
      await clone(c, 'c');
      await c.call('rbd_remove', c.io, 'p');
      await c.call('rbd_trash_move', c.io, 'p', 0);
      const child = await c.open('c', { as: 'child' });
      await c.read(child, 0, 8192);
      const [spec, snap] = [new Bytes('parent', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
      await c.call('rbd_get_parent', child, spec, snap);
      c.note({ trash: linkedImageSpec.read(spec.buffer)['trash'] });
      await c.close(child);
      await c.call('rbd_remove', c.io, 'c');
      await c.noteNames();
    },
  },
  {
    name: 'an open clone tells whether its parent is in the trash now',
    run: async (c) => {
      const image = await c.fresh('p', 8 * MiB);
      await c.need('rbd_snap_create', image, 's');
      await clone(c, 'c', { format: 2 });
      const child = await c.open('c', { as: 'child' });
      const id = c.hidden('image', await c.idOf(image));
      const parent = async (): Promise<void> => {
        const [spec, snap] = [new Bytes('parent', Buffer.alloc(linkedImageSpec.size)), new Bytes('snap', Buffer.alloc(snapSpec.size))];
        if (await c.call('rbd_get_parent', child, spec, snap) !== 0) return;
        const { imageName, trash } = linkedImageSpec.read(spec.buffer);
        c.note({ imageName, trash, snap: snapSpec.read(snap.buffer)['name'] });
        await c.silent('rbd_linked_image_spec_cleanup', spec);
        await c.silent('rbd_snap_spec_cleanup', snap);
      };
      await parent();
      await c.call('rbd_trash_move', c.io, 'p', 0);
      // The handle looks at its image while the parent is in the trash.
      await c.call('rbd_metadata_set', child, 'k', 'v');
      await parent();
      await c.call('rbd_trash_restore', c.io, id, 'p');
      await parent();
      await c.close(child, image);
    },
  },
];
