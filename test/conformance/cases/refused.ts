// What we refuse by name: groups, mirroring, migration, encryption, watches on objects, snapshots of pools. The real library's
// answers stand beside ours (differences.ts and the report's "refused by name").
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { MiB, type Case, type Context } from '../context.js';

function one(fn: string, args: (c: Context, image: Handle) => Argument[]): Case {
  return {
    name: `refused by name: ${fn}`,
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.call(fn, ...args(c, image));
      await c.close(image);
    },
  };
}

export const refused: Case[] = [
  one('rbd_group_create', (c) => [c.io, 'a group']),
  one('rbd_group_remove', (c) => [c.io, 'a group']),
  one('rbd_group_list', (c) => [c.io, new Bytes('names', Buffer.alloc(256)), new Out('size', 'u64', 256)]),
  one('rbd_group_image_add', (c) => [c.io, 'a group', c.io, 'i']),
  one('rbd_group_snap_create', (c) => [c.io, 'a group', 's']),
  one('rbd_mirror_mode_get', (c) => [c.io, new Out('mode', 'u32')]),
  one('rbd_mirror_mode_set', (c) => [c.io, 0]),
  one('rbd_mirror_uuid_get', (c) => [c.io, new Bytes('uuid', Buffer.alloc(64)), new Out('size', 'u64', 64)]),
  one('rbd_mirror_image_enable', (_, image) => [image]),
  one('rbd_mirror_image_promote', (_, image) => [image, false]),
  one('rbd_migration_commit', (c) => [c.io, 'i']),
  one('rbd_migration_abort', (c) => [c.io, 'i']),
  one('rados_ioctx_snap_list', (c) => [c.io, new Bytes('snaps', Buffer.alloc(64)), 8]),
  one('rados_checksum', (c) => [c.io, 'nosuch', 0, new Bytes('init', Buffer.alloc(8)), 4, 4096, 0, 0, new Bytes('sum', Buffer.alloc(64)), 64]),
  one('rados_exec', (c) => [c.io, 'nosuch', 'cls', 'method', new Bytes('input', Buffer.alloc(8)), 0, new Bytes('output', Buffer.alloc(64)), 64]),
];
