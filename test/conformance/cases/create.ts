// rbd_create and its later forms: what a name, a size, an order, features and striping may be.
import { Bytes, Handle, Out } from '../transcript.js';
import { FEATURES, GiB, MiB, OPTION, type Case, type Context } from '../context.js';

async function noteImage(c: Context, name: string): Promise<void> {
  const image = await c.open(name);
  await c.get('rbd_get_size', image, 'size');
  await c.get('rbd_get_features', image, 'features');
  await c.get('rbd_get_stripe_unit', image, 'unit');
  await c.get('rbd_get_stripe_count', image, 'count');
  await c.close(image);
}

async function options(c: Context, values: Partial<Record<keyof typeof OPTION, number | string>>): Promise<Handle> {
  const opts = new Handle('opts');
  await c.silent('rbd_image_options_create', opts.ref);
  for (const [key, value] of Object.entries(values)) {
    const number = OPTION[key as keyof typeof OPTION];
    if (typeof value === 'string') await c.need('rbd_image_options_set_string', opts, number, value);
    else await c.need('rbd_image_options_set_uint64', opts, number, value);
  }
  return opts;
}

function withName(label: string, name: string): Case {
  return {
    name: `create, open and remove an image whose name is ${label}`,
    run: async (c) => {
      const order = new Out('order', 'i32', 0);
      await c.call('rbd_create', c.io, name, 8 * MiB, order);
      await c.noteNames();
      const image = new Handle('img');
      if (await c.call('rbd_open', c.io, name, image.ref, null) === 0) {
        const size = new Out('size', 'u64', 8192);
        const text = new Bytes('name', Buffer.alloc(8192));
        await c.call('rbd_get_name', image, text, size);
        c.note({ name: text.text, size: size.value });
        await c.close(image);
      }
      await c.call('rbd_remove', c.io, name);
      await c.noteNames();
    },
  };
}

function withOrder(order: number): Case {
  return {
    name: `create with order ${order}`,
    run: async (c) => {
      const out = new Out('order', 'i32', order);
      if (await c.call('rbd_create', c.io, 'i', 8 * MiB, out) === 0) {
        const image = await c.open('i');
        await c.get('rbd_get_stripe_unit', image, 'unit');
        await c.close(image);
      }
      c.show(out);
    },
  };
}

function withSize(label: string, size: bigint): Case {
  return {
    name: `create with a size of ${label}`,
    run: async (c) => {
      const order = new Out('order', 'i32', 0);
      // Without an object map, which the real library refuses to make for a huge image.
      if (await c.call('rbd_create2', c.io, 'i', size, FEATURES.layering, order) === 0) {
        const image = await c.open('i');
        await c.get('rbd_get_size', image, 'size');
        await c.close(image);
      }
      await c.vanish('i');
      await c.call('rbd_create', c.io, 'j', size, order);
      await c.noteNames();
      if (size > 2n ** 44n) await c.vanish('j');
    },
  };
}

function withFeatures(label: string, features: number | bigint): Case {
  return {
    name: `create2 with features ${label}`,
    run: async (c) => {
      const order = new Out('order', 'i32', 0);
      if (await c.call('rbd_create2', c.io, 'i', 8 * MiB, features, order) === 0) await noteImage(c, 'i');
      c.show(order);
      await c.noteNames();
    },
  };
}

function withStriping(features: number, unit: number, count: number, order = 22): Case {
  return {
    name: `create3 with features ${features}, stripe unit ${unit}, count ${count}, order ${order}`,
    run: async (c) => {
      const out = new Out('order', 'i32', order);
      if (await c.call('rbd_create3', c.io, 'i', 8 * MiB, features, out, unit, count) === 0) await noteImage(c, 'i');
      await c.noteNames();
    },
  };
}

function withOptions(label: string, values: Partial<Record<keyof typeof OPTION, number | string>>): Case {
  return {
    name: `create4 with ${label}`,
    run: async (c) => {
      const opts = await options(c, values);
      if (await c.call('rbd_create4', c.io, 'i', 8 * MiB, opts) === 0) await noteImage(c, 'i');
      const order = new Out('order', 'u64', 0);
      await c.call('rbd_image_options_get_uint64', opts, OPTION.order, order);
      c.show(order);
      await c.silent('rbd_image_options_destroy', opts);
      await c.noteNames();
    },
  };
}

export const create: Case[] = [
  withName('ordinary', 'disk-1'),
  withName('empty', ''),
  withName('one slash', 'a/b'),
  withName('with @', 'a@b'),
  withName('a dot', '.'),
  withName('two dots and slashes', '../../etc/passwd'),
  withName('a leading slash', '/abs'),
  withName('a space', 'a b'),
  withName('a leading space', ' a'),
  withName('control bytes', 'a\u0001\n\tb'),
  withName('not ASCII', 'bild-äöü-✓'),
  withName('a quote and a backslash', 'a"\\\'b'),
  withName('a per cent sign', 'a%2Fb%'),
  withName('96 characters', 'n'.repeat(96)),
  withName('300 characters', 'n'.repeat(300)),
  withName('4096 characters', 'n'.repeat(4096)),
  ...[-1, 0, 1, 11, 12, 16, 25, 26, 64].map(withOrder),
  withSize('0', 0n),
  withSize('1', 1n),
  withSize('513', 513n),
  withSize('10 GiB', BigInt(10 * GiB)),
  withSize('16 TiB', 2n ** 44n),
  withSize('2^53', 2n ** 53n),
  withSize('2^62', 2n ** 62n),
  withSize('2^63 - 1', 2n ** 63n - 1n),
  withSize('2^63', 2n ** 63n),
  withSize('2^64 - 1', 2n ** 64n - 1n),
  withFeatures('none', 0),
  withFeatures('layering', FEATURES.layering),
  withFeatures('striping', FEATURES.striping),
  withFeatures('exclusive-lock', FEATURES.exclusiveLock),
  withFeatures('object-map without exclusive-lock', FEATURES.objectMap),
  withFeatures('fast-diff without object-map', FEATURES.layering | FEATURES.exclusiveLock | FEATURES.fastDiff),
  withFeatures('the default ones', 61),
  withFeatures('deep-flatten', FEATURES.deepFlatten),
  withFeatures('data-pool', FEATURES.layering | FEATURES.dataPool),
  withFeatures('operations', FEATURES.layering | FEATURES.operations),
  withFeatures('migrating', FEATURES.layering | FEATURES.migrating),
  withFeatures('an unknown one', 2n ** 50n),
  withFeatures('all bits', 2n ** 64n - 1n),
  withStriping(3, 65536, 4),
  withStriping(3, 4 * MiB, 1),
  withStriping(1, 65536, 4),
  withStriping(3, 0, 0),
  withStriping(1, 0, 0),
  withStriping(3, 1000, 3),
  withStriping(3, 65536, 0),
  withStriping(3, 0, 4),
  withStriping(3, 8 * MiB, 2),
  withStriping(3, 3 * MiB, 2),
  withStriping(3, 256, 2),
  withStriping(3, 4096, 1, 12),
  withStriping(1, 4 * MiB, 1),
  withOptions('no options', {}),
  withOptions('order 20', { order: 20 }),
  withOptions('order 11', { order: 11 }),
  withOptions('order 26', { order: 26 }),
  withOptions('order 0', { order: 0 }),
  withOptions('features 1', { features: 1 }),
  withOptions('fast-diff cleared', { featuresClear: 16 }),
  withOptions('features set 2', { featuresSet: 2 }),
  withOptions('features set unknown', { featuresSet: 2 ** 40 }),
  withOptions('striping', { features: 3, stripeUnit: 16384, stripeCount: 8 }),
  withOptions('a stripe unit alone', { stripeUnit: 16384 }),
  withOptions('a stripe count alone', { stripeCount: 8 }),
  withOptions('a stripe unit of the object size', { stripeUnit: 4 * MiB, stripeCount: 1 }),
  withOptions('format 1', { format: 1 }),
  withOptions('format 2', { format: 2 }),
  withOptions('format 3', { format: 3 }),
  ...[0, 1, 2, 3].map((n) => withOptions(`clone format ${n}`, { cloneFormat: n })),
  withOptions('flatten', { flatten: 1 }),
  withOptions('a data pool that does not exist', { dataPool: 'nopool' }),
  withOptions('a data pool', { dataPool: 'conform2' }),
  withOptions('its own pool as data pool', { dataPool: 'conform' }),
  withOptions('an empty data pool', { dataPool: '' }),
  withOptions('a journal pool that does not exist', { features: 69, journalPool: 'nopool' }),
  {
    name: 'create over an existing image',
    run: async (c) => {
      await c.image('i', 4 * MiB);
      const order = new Out('order', 'i32', 0);
      await c.call('rbd_create', c.io, 'i', 8 * MiB, order);
      c.show(order);
      await c.call('rbd_create2', c.io, 'i', 8 * MiB, 1, order);
      await c.call('rbd_create3', c.io, 'i', 8 * MiB, 3, order, 65536, 4);
      const bad = new Out('order', 'i32', 11);
      await c.call('rbd_create', c.io, 'i', 8 * MiB, bad);
      await noteImage(c, 'i');
    },
  },
  {
    name: 'the same name in another pool',
    run: async (c) => {
      await c.image('i');
      const io2 = await c.ioctx({ pool: 'conform2' });
      await c.call('rbd_create', io2, 'i', 4 * MiB, new Out('order', 'i32', 0));
      await c.noteNames();
      await c.noteNames(io2);
      await c.call('rbd_remove', c.io, 'i');
      await c.noteNames(io2);
      await c.drop(io2);
    },
  },
];
