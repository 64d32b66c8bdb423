// Empties a pool between cases through the C ABI itself: images, their snapshots, clones, trash, namespaces and metadata.
import { childInfo, imageSpec, snapInfo, trashInfo, type Context } from './context.js';
import { Bytes, Handle, Out } from './transcript.js';
import { textsIn } from '../lib/memory.js';

async function rc(c: Context, fn: string, ...args: Parameters<Context['silent']> extends [string, ...infer A] ? A : never): Promise<number> {
  return Number(await c.abi.call(fn, ...args.map((a) => (a instanceof Out || a instanceof Bytes ? a.buffer : a instanceof Handle ? a.address : a)) as never[]));
}

async function openImage(c: Context, io: Handle, id: string): Promise<Handle | null> {
  const image = new Handle('swept');
  const opened = Number(await c.abi.call('rbd_open_by_id', io.address, id, image.buffer, null));
  return opened === 0 ? image : null;
}

async function snapshots(c: Context, image: Handle): Promise<bigint[]> {
  const max = new Out('max', 'i32', 64);
  const list = Buffer.alloc(64 * snapInfo.size);
  const n = await rc(c, 'rbd_snap_list', image, new Bytes('list', list), max);
  const ids = snapInfo.readAll(list, Math.max(0, n)).map((s) => s['id'] as bigint);
  if (n >= 0) await c.abi.call('rbd_snap_list_end', list);
  return ids;
}

async function snapName(c: Context, image: Handle, id: bigint): Promise<string> {
  const name = Buffer.alloc(4096);
  await rc(c, 'rbd_snap_get_name', image, id, new Bytes('name', name), new Out('size', 'u64', 4096));
  return new Bytes('name', name).text;
}

async function hasChildren(c: Context, image: Handle): Promise<boolean> {
  const max = new Out('max', 'i32', 64);
  const list = Buffer.alloc(64 * childInfo.size);
  const n = await rc(c, 'rbd_list_children2', image, new Bytes('list', list), max);
  if (n >= 0) await c.abi.call('rbd_list_children_cleanup', list, n);
  return n !== 0;
}

// Removes what can be removed now; false where clones still hold a snapshot.
async function stripImage(c: Context, io: Handle, id: string): Promise<boolean> {
  const image = await openImage(c, io, id);
  if (image === null) return false;
  const lockers = await hasChildren(c, image);
  if (!lockers) {
    for (const snap of await snapshots(c, image)) {
      await rc(c, 'rbd_snap_unprotect', image, await snapName(c, image, snap));
      await rc(c, 'rbd_snap_remove_by_id', image, snap);
    }
  }
  await rc(c, 'rbd_close', image);
  return !lockers;
}

async function sweepContext(c: Context, io: Handle): Promise<number> {
  let left = 0;
  const trashMax = new Out('max', 'u64', 256);
  const trash = Buffer.alloc(256 * trashInfo.size);
  const inTrash = await rc(c, 'rbd_trash_list', io, new Bytes('trash', trash), trashMax);
  for (const entry of trashInfo.readAll(trash, Math.max(0, inTrash))) {
    await stripImage(c, io, String(entry['id']));
    if (await rc(c, 'rbd_trash_remove', io, String(entry['id']), true) < 0) left++;
  }
  if (inTrash > 0) await c.abi.call('rbd_trash_list_cleanup', trash, inTrash);
  const max = new Out('max', 'u64', 1024);
  const images = Buffer.alloc(1024 * imageSpec.size);
  if (await rc(c, 'rbd_list2', io, new Bytes('images', images), max) < 0) return left;
  for (const entry of imageSpec.readAll(images, Number(max.value))) {
    await stripImage(c, io, String(entry['id']));
    if (await rc(c, 'rbd_remove', io, String(entry['name'])) < 0) left++;
  }
  await c.abi.call('rbd_image_spec_list_cleanup', images, max.value);
  return left;
}

async function sweepMetadata(c: Context, io: Handle): Promise<void> {
  const [keys, values] = [Buffer.alloc(64 * 1024), Buffer.alloc(256 * 1024)];
  const [keysSize, valuesSize] = [new Out('keys', 'u64', keys.length), new Out('values', 'u64', values.length)];
  await rc(c, 'rbd_pool_metadata_list', io, '', 0, new Bytes('keys', keys), keysSize, new Bytes('values', values), valuesSize);
  for (const key of textsIn(keys, Number(keysSize.value))) await rc(c, 'rbd_pool_metadata_remove', io, key);
}

/** Returns how many things could not be removed. */
export async function sweep(c: Context, io: Handle): Promise<number> {
  const names = Buffer.alloc(64 * 1024);
  const size = new Out('size', 'u64', names.length);
  const n = await rc(c, 'rbd_namespace_list', io, new Bytes('names', names), size);
  const spaces = n >= 0 ? textsIn(names, Number(size.value)).filter(Boolean) : [];
  let left = 0;
  // A clone may stand in one namespace and its parent in another; every round frees at least one generation.
  for (let round = 0; round < 4; round++) {
    left = 0;
    for (const space of [...spaces, '']) {
      await c.abi.call('rados_ioctx_set_namespace', io.address, space);
      left += await sweepContext(c, io);
    }
    if (left === 0) break;
  }
  await sweepMetadata(c, io);
  for (const space of spaces) if (await rc(c, 'rbd_namespace_remove', io, space) < 0) left++;
  return left;
}
