// What the other areas leave out: each remaining function once, good and, where it has one, its refusal.
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { linkedImageSpec, MiB, OPTION, snapInfo, type Case, type Context } from '../context.js';
import { command, objects, text, withObjects } from '../rados.js';
import { addressOf } from '../../lib/memory.js';

async function options(c: Context, set: Record<number, number>): Promise<Handle> {
  const handle = new Handle('opts');
  await c.need('rbd_image_options_create', handle.ref);
  for (const [key, value] of Object.entries(set)) await c.need('rbd_image_options_set_uint64', handle, Number(key), value);
  return handle;
}

const progress = (c: Context): Argument => c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0);

/** An image with a snapshot "s" that is protected, open. */
async function parent(c: Context, name = 'i'): Promise<Handle> {
  const image = await c.fresh(name, 8 * MiB);
  await c.write(image, 0, 4096, 1);
  await c.need('rbd_snap_create', image, 's');
  await c.need('rbd_snap_protect', image, 's');
  return image;
}

async function snapIds(c: Context, image: Handle): Promise<bigint[]> {
  const list = new Bytes('list', Buffer.alloc(17 * snapInfo.size));
  const count = Number(await c.silent('rbd_snap_list', image, list, new Out('max', 'i32', 16)));
  const ids = snapInfo.readAll(list.buffer, Math.max(0, count)).map((snap) => snap['id'] as bigint);
  if (count >= 0) await c.silent('rbd_snap_list_end', list);
  return ids;
}

export const further: Case[] = [
  {
    name: 'what an image belongs to: no group, no migration, no other data pool',
    run: async (c) => {
      const image = await c.fresh('i', MiB);
      const group = new Bytes('group', Buffer.alloc(64));
      await c.call('rbd_get_group', image, group, 16);
      c.note({ name: group.buffer.readBigUInt64LE() === 0n ? null : c.bytes(group.buffer.readBigUInt64LE(), 1).toString('latin1'), pool: group.buffer.readBigInt64LE(8) });
      await c.silent('rbd_group_info_cleanup', group, 16);
      await c.call('rbd_get_migration_source_spec', image, new Bytes('source', Buffer.alloc(4096)), 4096);
      c.note({ same: String(await c.silent('rbd_get_data_pool_id', image)) === String(await c.silent('rados_ioctx_get_id', c.io)) });
      await c.close(image);
    },
  },
  {
    name: 'rbd_get_parent_info2: parents, none, buffers too small',
    run: async (c) => {
      const image = await parent(c);
      await c.need('rbd_clone', c.io, 'i', 's', c.io, 'child', 61, new Out('order', 'i32'));
      const child = await c.open('child', { as: 'child' });
      const texts = ['pool', 'name', 'id', 'snapName'].map((name) => new Bytes(name, Buffer.alloc(64)));
      for (const room of [64, 1, 0]) {
        const rc = await c.call('rbd_get_parent_info2', child, ...texts.flatMap((part) => [part, room]));
        if (rc === 0) c.note({ pool: texts[0]!.text, name: texts[1]!.text, snap: texts[3]!.text });
      }
      await c.call('rbd_get_parent_info2', image, ...texts.flatMap((part) => [part, 64]));
      await c.close(child, image);
    },
  },
  {
    name: 'rbd_list_descendants: children and their children, room for too few',
    run: async (c) => {
      const image = await parent(c);
      await c.need('rbd_clone', c.io, 'i', 's', c.io, 'child', 61, new Out('order', 'i32'));
      const child = await c.open('child', { as: 'child' });
      await c.need('rbd_snap_create', child, 's');
      await c.need('rbd_snap_protect', child, 's');
      await c.need('rbd_clone', c.io, 'child', 's', c.io, 'grandchild', 61, new Out('order', 'i32'));
      for (const [of, room] of [[image, 8], [image, 1], [image, 0], [child, 8]] as const) {
        const [list, max] = [new Bytes('list', Buffer.alloc(8 * linkedImageSpec.size)), new Out('max', 'u64', room)];
        const rc = await c.call('rbd_list_descendants', of, list, max);
        c.show(max);
        if (rc < 0) continue;
        c.note({ names: linkedImageSpec.readAll(list.buffer, Number(max.value)).map((spec) => String(spec['imageName'])).sort() });
        await c.silent('rbd_linked_image_spec_list_cleanup', list, max.value);
      }
      await c.close(child, image);
    },
  },
  {
    name: 'rbd_pool_init and rbd_pool_stats: what a pool holds, options, an unknown one',
    run: async (c) => {
      await c.call('rbd_pool_init', c.io, false);
      await c.call('rbd_pool_init', c.io, true);
      const image = await parent(c);
      await c.image('j', 16 * MiB);
      await c.call('rbd_trash_move', c.io, 'j', 0);
      const stats = new Handle('stats');
      await c.silent('rbd_pool_stats_create', stats.ref);
      const numbers = Array.from({ length: 8 }, (_, i) => new Out(`n${i}`, 'u64', 7));
      for (const [i, number] of numbers.entries()) await c.call('rbd_pool_stats_option_add_uint64', stats, i, number);
      await c.call('rbd_pool_stats_option_add_uint64', stats, 99, numbers[0]!);
      await c.call('rbd_pool_stats_get', c.io, stats);
      c.show(...numbers);
      await c.silent('rbd_pool_stats_destroy', stats);
      await c.close(image);
    },
  },
  {
    name: 'rbd_snap_create2: flags, progress, refused names',
    run: async (c) => {
      const image = await c.fresh('i', MiB);
      for (const [name, flags] of [['a', 0], ['b', 1], ['c', 2], ['a', 0], ['d', 99]] as const) await c.call('rbd_snap_create2', image, name, flags, progress(c), null);
      c.note({ snaps: (await snapIds(c, image)).length });
      await c.close(image);
    },
  },
  {
    name: 'a removed snapshot that a clone still shows: its namespace, its first name, in both forms',
    run: async (c) => {
      const image = await parent(c);
      const opts = await options(c, { [OPTION.cloneFormat]: 2 });
      await c.need('rbd_clone3', c.io, 'i', 's', c.io, 'child', opts);
      await c.silent('rbd_image_options_destroy', opts);
      const [before] = await snapIds(c, image);
      const name = new Bytes('name', Buffer.alloc(64));
      const ask = async (id: bigint): Promise<void> => {
        for (const room of [64, 2, 1, 0]) {
          const rc = Number(await c.silent('rbd_snap_get_trash_namespace', image, id, name, room));
          c.lines.push(`rbd_snap_get_trash_namespace(img, <id>, name, ${room}) = ${rc}`);
          if (rc === 0) c.note({ name: name.text });
        }
        const space = new Bytes('space', Buffer.alloc(64));
        if (c.abi.has('rbd_snap_get_trash_namespace2')) {
          const rc = Number(await c.silent('rbd_snap_get_trash_namespace2', image, id, space, 16));
          c.lines.push(`rbd_snap_get_trash_namespace2() = ${rc}`);
          if (rc === 0) await c.silent('rbd_snap_trash_namespace_cleanup', space, 16);
        } else {
          c.lines.push(`rbd_snap_get_trash_namespace2() = ${await c.silent('rbd_snap_get_trash_namespace', image, id, name, 64)}`);
        }
      };
      await ask(before!);
      await c.need('rbd_snap_unprotect', image, 's');
      await c.call('rbd_snap_remove', image, 's');
      const [after] = await snapIds(c, image);
      if (after !== undefined) await ask(after);
      await c.close(image);
    },
  },
  {
    name: 'copies and removals with progress: rbd_copy_with_progress2, rbd_trash_remove_with_progress',
    run: async (c) => {
      const image = await c.fresh('i', MiB);
      await c.image('target', MiB);
      const target = await c.open('target', { as: 'target' });
      await c.write(image, 0, 4096, 3);
      await c.call('rbd_copy_with_progress2', image, target, progress(c), null);
      await c.read(target, 0, 8192);
      await c.close(target, image);
      await c.call('rbd_trash_move', c.io, 'target', 0);
      await c.call('rbd_trash_remove_with_progress', c.io, 'none', true, progress(c), null);
      await c.noteNames();
    },
  },
  {
    name: 'rbd_clone4, rbd_diff_iterate3 and rbd_aio_compare_and_writev do what the earlier forms do',
    run: async (c) => {
      const image = await parent(c);
      const [id] = await snapIds(c, image);
      const opts = await options(c, { [OPTION.cloneFormat]: 2 });
      const args4: Argument[] = [c.io, 'i', id!, c.io, 'child', opts];
      const args3: Argument[] = [c.io, 'i', 's', c.io, 'child', opts];
      for (let i = 0; i < 2; i++) c.lines.push(`rbd_clone4() = ${await (c.abi.has('rbd_clone4') ? c.silent('rbd_clone4', ...args4) : c.silent('rbd_clone3', ...args3))}`);
      await c.silent('rbd_image_options_destroy', opts);
      await c.write(image, 4 * MiB, 4096, 2);
      const seen: string[] = [];
      const each = c.callback('each', 'int', ['u64', 'u64', 'i32', 'ptr'], (offset = 0n, length = 0n, exists = 0n) => {
        seen.push(`${offset}+${length}:${exists}`);
        return 0;
      });
      const WHOLE = 2;
      const rc = c.abi.has('rbd_diff_iterate3')
        ? await c.silent('rbd_diff_iterate3', image, id!, 0, 8 * MiB, WHOLE, each, null) : await c.silent('rbd_diff_iterate2', image, 's', 0, 8 * MiB, 0, 1, each, null);
      c.lines.push(`rbd_diff_iterate3() = ${rc}`);
      c.note({ seen });
      const [was, now] = [Buffer.alloc(512, 1), Buffer.alloc(512, 9)];
      const vector = (data: Buffer): Bytes => {
        const one = Buffer.alloc(16);
        one.writeBigUInt64LE(addressOf(data));
        one.writeBigUInt64LE(BigInt(data.length), 8);
        return new Bytes('vector', one);
      };
      for (let i = 0; i < 2; i++) {
        const [completion, mismatch] = [await c.completion(), new Out('mismatch', 'u64', 77)];
        const begun = c.abi.has('rbd_aio_compare_and_writev')
          ? await c.silent('rbd_aio_compare_and_writev', image, 0, vector(was), 1, vector(now), 1, completion, mismatch, 0)
          : await c.silent('rbd_aio_compare_and_write', image, 0, 512, new Bytes('was', was), new Bytes('now', now), completion, mismatch, 0);
        c.lines.push(`rbd_aio_compare_and_writev() = ${begun}`);
        await c.silent('rbd_aio_wait_for_complete', completion);
        await c.call('rbd_aio_get_return_value', completion);
        c.show(mismatch);
        await c.silent('rbd_aio_release', completion);
      }
      await c.read(image, 0, 1024);
      await c.close(image);
    },
  },
  {
    name: 'cleanups of single entries: rbd_image_spec_cleanup, rbd_list_child_cleanup',
    run: async (c) => {
      await c.image('i', MiB);
      const [list, max] = [new Bytes('list', Buffer.alloc(64)), new Out('max', 'u64', 4)];
      await c.call('rbd_list2', c.io, list, max);
      await c.call('rbd_image_spec_cleanup', list);
      await c.call('rbd_image_spec_list_cleanup', list, 0);
      await c.call('rbd_list_child_cleanup', new Bytes('child', Buffer.alloc(64)));
      await c.call('rbd_list_children_cleanup', new Bytes('children', Buffer.alloc(64)), 0);
    },
  },
  {
    name: 'contexts: what they belong to, full pools, snapshots to read, the later listing',
    run: (c) => withObjects(c, async () => {
      c.note({
        cct: await c.silent('rados_cct', c.cluster) !== 0, io: await c.silent('rados_ioctx_cct', c.io) !== 0,
        cluster: BigInt(await c.silent('rados_ioctx_get_cluster', c.io) ?? 0) !== 0n, id: Number(await c.silent('rados_ioctx_get_id', c.io)) > 0,
      });
      for (const fn of ['rados_set_osdmap_full_try', 'rados_unset_osdmap_full_try', 'rados_set_pool_full_try', 'rados_unset_pool_full_try']) await c.call(fn, c.io);
      await c.call('rados_write_full', c.io, 'o', text('abc'), 3);
      c.note({ version: Number(await c.silent('rados_get_last_version', c.io)) > 0 });
      const io = await c.ioctx();
      await c.call('rados_ioctx_snap_set_read', io, 2n ** 64n - 2n);
      await c.call('rados_read', io, 'o', new Bytes('data', Buffer.alloc(8)), 8, 0);
      await c.drop(io);
      const [low, high] = [new Out('low', 'u32'), new Out('high', 'u32')];
      await c.call('rados_get_min_compatible_client', c.cluster, low, high);
      const list = new Out('list', 'u64');
      await c.need('rados_nobjects_list_open', c.io, list);
      const parts = ['entry', 'key', 'space'].map((name) => new Out(name, 'u64'));
      const lengths = ['entrySize', 'keySize', 'spaceSize'].map((name) => new Out(name, 'u64'));
      const names: string[] = [];
      while (Number(await c.silent('rados_nobjects_list_next2', list.value, ...parts, ...lengths)) === 0) names.push(c.bytes(parts[0]!.value, Number(lengths[0]!.value)).toString());
      await c.silent('rados_nobjects_list_close', list.value);
      c.note({ found: names.includes('o'), same: names.sort().join() === (await objects(c, c.io)).join() });
      await command(c, c.cluster, ['{"prefix": "nonsense"}'], { fn: 'rados_mgr_command_target', target: 'x' });
      await c.call('rados_inconsistent_pg_list', c.cluster, 999999, new Bytes('pgs', Buffer.alloc(64)), 64);
      const snap = new Out('snap', 'u64');
      for (const fn of ['rados_aio_ioctx_selfmanaged_snap_create', 'rados_aio_ioctx_selfmanaged_snap_remove']) {
        const completion = new Handle('comp');
        await c.need('rados_aio_create_completion2', null, null, completion.ref);
        await c.call(fn, c.io, fn.endsWith('create') ? snap : 0, completion);
        await c.silent('rados_aio_wait_for_complete', completion);
        await c.call('rados_aio_get_return_value', completion);
        await c.silent('rados_aio_release', completion);
      }
    }),
  },
];
