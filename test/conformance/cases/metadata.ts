// Key and value: image metadata, pool metadata, the configuration that both carry, image options.
import { Bytes, Handle, Out } from '../transcript.js';
import { configOption, OPTION, type Case, type Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

interface Store {
  get: string;
  set: string;
  remove: string;
  list: string;
}

const OF_IMAGE: Store = { get: 'rbd_metadata_get', set: 'rbd_metadata_set', remove: 'rbd_metadata_remove', list: 'rbd_metadata_list' };
const OF_POOL: Store = { get: 'rbd_pool_metadata_get', set: 'rbd_pool_metadata_set', remove: 'rbd_pool_metadata_remove', list: 'rbd_pool_metadata_list' };

async function get(c: Context, store: Store, on: Handle, key: string, capacity: number): Promise<void> {
  const size = new Out('size', 'u64', capacity);
  const value = new Bytes('value', Buffer.alloc(Math.max(1, capacity), 0x2e));
  const rc = await c.call(store.get, on, key, value, size);
  c.note({ value: rc === 0 ? value.text : null, size: size.value });
}

async function list(c: Context, store: Store, on: Handle, start: string, max: number, capacity: number): Promise<void> {
  const [keysSize, valuesSize] = [new Out('keysSize', 'u64', capacity), new Out('valuesSize', 'u64', capacity)];
  const [keys, values] = [new Bytes('keys', Buffer.alloc(Math.max(1, capacity))), new Bytes('values', Buffer.alloc(Math.max(1, capacity)))];
  const rc = await c.call(store.list, on, start, max, keys, keysSize, values, valuesSize);
  c.show(keysSize, valuesSize);
  if (rc >= 0) c.note({ keys: textsIn(keys.buffer, Number(keysSize.value)), values: textsIn(values.buffer, Number(valuesSize.value)) });
}

async function roundTrip(c: Context, store: Store, on: Handle): Promise<void> {
  await get(c, store, on, 'k', 64);
  await c.call(store.remove, on, 'k');
  await c.call(store.set, on, 'k', 'vvv');
  for (const capacity of [0, 1, 3, 4, 64]) await get(c, store, on, 'k', capacity);
  await c.call(store.set, on, 'k', 'other');
  await get(c, store, on, 'k', 64);
  await c.call(store.set, on, 'empty', '');
  await get(c, store, on, 'empty', 64);
  await c.call(store.set, on, 'a/b c\n', 'ä✓');
  await get(c, store, on, 'a/b c\n', 64);
  await c.call(store.set, on, 'long', 'x'.repeat(5000));
  await get(c, store, on, 'long', 8192);
  await c.call(store.remove, on, 'k');
  await c.call(store.remove, on, 'k');
  await get(c, store, on, 'k', 64);
  for (const key of ['empty', 'a/b c\n', 'long']) await c.call(store.remove, on, key);
}

async function listing(c: Context, store: Store, on: Handle): Promise<void> {
  await list(c, store, on, '', 0, 256);
  for (const [key, value] of [['b', '2'], ['a', '1'], ['cc', '33'], ['B', '']] as const) await c.need(store.set, on, key, value);
  await list(c, store, on, '', 0, 256);
  await list(c, store, on, '', 2, 256);
  await list(c, store, on, 'B', 2, 256);
  await list(c, store, on, 'b', 0, 256);
  await list(c, store, on, 'zz', 0, 256);
  await list(c, store, on, '', 0, 0);
  await list(c, store, on, '', 0, 4);
  for (const key of ['a', 'b', 'cc', 'B']) await c.need(store.remove, on, key);
}

async function configuration(c: Context, store: Store, on: Handle, show: () => Promise<void>): Promise<void> {
  for (const [key, value] of [
    ['conf_rbd_qos_iops_limit', '100'], ['conf_rbd_qos_iops_limit', 'x'], ['conf_rbd_qos_bps_limit', '10M'], ['conf_rbd_qos_iops_burst', '-1'],
    ['conf_rbd_cache', 'false'], ['conf_rbd_cache', 'maybe'], ['conf_nosuch', 'x'], ['conf_', 'x'], ['conf_rbd_default_order', '22'],
    ['conf_osd_pool_default_size', '3'],
  ] as const) {
    await c.call(store.set, on, key, value);
  }
  await show();
  for (const key of ['conf_rbd_qos_iops_limit', 'conf_rbd_qos_bps_limit', 'conf_rbd_cache', 'conf_rbd_default_order', 'conf_osd_pool_default_size', 'conf_nosuch']) {
    await c.call(store.remove, on, key);
  }
  await show();
}

async function configList(c: Context, on: Handle, fn: string, cleanup: string): Promise<void> {
  const max = new Out('max', 'i32', 1);
  const small = new Bytes('options', Buffer.alloc(configOption.size));
  await c.call(fn, on, small, max);
  const enough = new Bytes('options', Buffer.alloc(configOption.size * 256));
  max.set(256);
  const rc = await c.call(fn, on, enough, max);
  if (rc < 0) return;
  const options = configOption.readAll(enough.buffer, Number(max.value));
  const wanted = ['rbd_cache', 'rbd_qos_iops_limit', 'rbd_qos_bps_limit', 'rbd_discard_granularity_bytes', 'rbd_concurrent_management_ops'];
  for (const option of options.filter((o) => wanted.includes(String(o['name'])))) c.note(option);
  await c.silent(cleanup, enough, max.value);
}

async function options(c: Context): Promise<Handle> {
  const opts = new Handle('opts');
  await c.call('rbd_image_options_create', opts.ref);
  return opts;
}

export const metadata: Case[] = [
  { name: 'image metadata: set, get, change, remove', run: async (c) => { const image = await c.fresh('i'); await roundTrip(c, OF_IMAGE, image); await c.close(image); } },
  { name: 'image metadata: list by start and number, and buffer sizes', run: async (c) => { const image = await c.fresh('i'); await listing(c, OF_IMAGE, image); await c.close(image); } },
  { name: 'pool metadata: set, get, change, remove', run: (c) => roundTrip(c, OF_POOL, c.io) },
  { name: 'pool metadata: list by start and number, and buffer sizes', run: (c) => listing(c, OF_POOL, c.io) },
  {
    name: 'image configuration in metadata',
    run: async (c) => {
      const image = await c.fresh('i');
      await configuration(c, OF_IMAGE, image, () => configList(c, image, 'rbd_config_image_list', 'rbd_config_image_list_cleanup'));
      await c.close(image);
    },
  },
  { name: 'pool configuration in metadata', run: (c) => configuration(c, OF_POOL, c.io, () => configList(c, c.io, 'rbd_config_pool_list', 'rbd_config_pool_list_cleanup')) },
  {
    name: 'an image takes the configuration of its pool, and its own over that',
    run: async (c) => {
      await c.need('rbd_pool_metadata_set', c.io, 'conf_rbd_qos_iops_limit', '500');
      const image = await c.fresh('i');
      await configList(c, image, 'rbd_config_image_list', 'rbd_config_image_list_cleanup');
      await c.call('rbd_metadata_set', image, 'conf_rbd_qos_iops_limit', '700');
      await configList(c, image, 'rbd_config_image_list', 'rbd_config_image_list_cleanup');
      await c.close(image);
      await c.need('rbd_pool_metadata_remove', c.io, 'conf_rbd_qos_iops_limit');
    },
  },
  {
    name: 'metadata is seen by other handles, and stays over reopening',
    run: async (c) => {
      const image = await c.fresh('i');
      const other = await c.open('i', { as: 'img2' });
      await c.call('rbd_metadata_set', image, 'k', 'v');
      await get(c, OF_IMAGE, other, 'k', 64);
      await c.close(image, other);
      const again = await c.open('i');
      await get(c, OF_IMAGE, again, 'k', 64);
      await c.close(again);
      const readOnly = await c.open('i', { readOnly: true });
      await get(c, OF_IMAGE, readOnly, 'k', 64);
      await c.call('rbd_metadata_set', readOnly, 'k', 'w');
      await c.call('rbd_metadata_remove', readOnly, 'k');
      await c.close(readOnly);
    },
  },
  {
    name: 'image options: set, get, unset, is_set, clear',
    run: async (c) => {
      const opts = await options(c);
      const [value, isSet] = [new Out('value', 'u64', 77), new Out('isSet', 'bool')];
      await c.call('rbd_image_options_is_empty', opts);
      for (const [name, option] of Object.entries(OPTION)) {
        c.note({ option: name });
        await c.call('rbd_image_options_get_uint64', opts, option, value);
        await c.call('rbd_image_options_set_uint64', opts, option, 3);
        await c.call('rbd_image_options_set_string', opts, option, '5');
        await c.call('rbd_image_options_set_string', opts, option, 'text');
        await c.call('rbd_image_options_get_uint64', opts, option, value);
        const text = new Bytes('text', Buffer.alloc(64));
        const rc = await c.call('rbd_image_options_get_string', opts, option, text, 64);
        c.note({ value: value.value, text: rc === 0 ? text.text : null });
        await c.call('rbd_image_options_get_string', opts, option, text, 1);
        await c.call('rbd_image_options_is_set', opts, option, isSet);
        c.show(isSet);
        await c.call('rbd_image_options_unset', opts, option);
        await c.call('rbd_image_options_unset', opts, option);
        await c.call('rbd_image_options_is_set', opts, option, isSet);
        c.show(isSet);
      }
      await c.call('rbd_image_options_set_uint64', opts, OPTION.order, 20);
      await c.call('rbd_image_options_is_empty', opts);
      await c.call('rbd_image_options_clear', opts);
      await c.call('rbd_image_options_is_empty', opts);
      for (const option of [-1, 14, 999]) {
        await c.call('rbd_image_options_set_uint64', opts, option, 1);
        await c.call('rbd_image_options_set_string', opts, option, '1');
        await c.call('rbd_image_options_get_uint64', opts, option, value);
        await c.call('rbd_image_options_is_set', opts, option, isSet);
        await c.call('rbd_image_options_unset', opts, option);
      }
      await c.call('rbd_image_options_destroy', opts);
    },
  },
  {
    name: 'pool metadata: every namespace has its own, made or not, and options only where there is none',
    run: async (c) => {
      await c.need('rbd_namespace_create', c.io, 'n');
      const io = await c.ioctx({ namespace: 'n' });
      const nowhere = await c.ioctx({ namespace: 'nowhere' });
      const value = new Bytes('value', Buffer.alloc(64));
      const get = async (from: Handle, key: string) => c.call('rbd_pool_metadata_get', from, key, value, new Out('size', 'u64', 64));
      await c.call('rbd_pool_metadata_set', io, 'k', 'of n');
      await get(c.io, 'k');
      await get(io, 'k');
      await c.call('rbd_pool_metadata_remove', c.io, 'k');
      await c.call('rbd_pool_metadata_remove', io, 'k');
      await c.call('rbd_pool_metadata_set', nowhere, 'k', 'v');
      await get(nowhere, 'k');
      await c.call('rbd_pool_metadata_remove', nowhere, 'k');
      await c.call('rbd_pool_metadata_set', io, 'conf_nonsense', '1');
      await c.call('rbd_pool_metadata_set', io, 'conf_rbd_qos_iops_limit', 'x');
      await c.call('rbd_pool_metadata_set', io, 'conf_rbd_qos_iops_limit', '500');
      await get(io, 'conf_rbd_qos_iops_limit');
      await get(c.io, 'conf_rbd_qos_iops_limit');
      await c.call('rbd_pool_metadata_remove', io, 'conf_rbd_qos_iops_limit');
      await c.drop(io, nowhere);
      // Of what is not there, a buffer of no bytes is too small all the same.
      const image = await c.fresh('i');
      for (const room of [0, 1]) {
        for (const [fn, on] of [['rbd_pool_metadata_get', c.io], ['rbd_metadata_get', image]] as const) {
          const size = new Out('size', 'u64', room);
          await c.call(fn, on, 'none', value, size);
          c.show(size);
        }
      }
      await c.close(image);
    },
  },
];
