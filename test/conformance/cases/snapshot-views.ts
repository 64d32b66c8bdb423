// What the cases of snapshots and clones ask of an image and write down: its snapshots, its children, what changed.
import { Bytes, Handle, Out } from '../transcript.js';
import { OPTION, snapInfo, type Context } from '../context.js';

// A removed snapshot that clones still hold has a random name.
export function snapName(name: unknown): string {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(name)) ? '<uuid>' : String(name);
}

/** The image's snapshots. `capacity`: how many may be told. */
export async function list(c: Context, image: Handle, capacity = 16): Promise<void> {
  const max = new Out('max', 'i32', capacity);
  const snaps = new Bytes('snaps', Buffer.alloc((capacity + 1) * snapInfo.size));
  const count = await c.call('rbd_snap_list', image, snaps, max);
  c.show(max);
  if (count < 0) return;
  c.note({ snaps: snapInfo.readAll(snaps.buffer, count).map((s) => ({ id: c.label('snap', s['id']), name: snapName(s['name']), size: s['size'] })), ended: snapInfo.read(snaps.buffer, count)['name'] });
  await c.silent('rbd_snap_list_end', snaps);
}

/** Clones p@s to that name with rbd_clone3; returns what that did. */
export async function clone(c: Context, name: string, { format, io = c.io }: { format?: number; io?: Handle } = {}): Promise<number> {
  const opts = new Handle('opts');
  await c.silent('rbd_image_options_create', opts.ref);
  if (format !== undefined) await c.need('rbd_image_options_set_uint64', opts, OPTION.cloneFormat, format);
  const rc = await c.call('rbd_clone3', c.io, 'p', 's', io, name, opts);
  await c.silent('rbd_image_options_destroy', opts);
  return rc;
}
