// What a case works with: a connected cluster, an I/O context on an empty pool, and short forms of what cases do all the time.
import { Bytes, Handle, Out, Transcript, type Argument } from './transcript.js';
import type { CAbi } from '../lib/c-abi.js';
import { Struct } from '../lib/memory.js';

/** The two pools of every run. */
export const POOL = 'conform';
export const OTHER_POOL = 'conform2';

export const KiB = 1024;
export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;

/** The features that 16.2.15 gives a new image, and single ones. */
export const FEATURES = { layering: 1, striping: 2, exclusiveLock: 4, objectMap: 8, fastDiff: 16, deepFlatten: 32, journaling: 64, dataPool: 128, operations: 256, migrating: 512 } as const;

/** Numbers of rbd_image_options_*. */
export const OPTION = {
  format: 0, features: 1, order: 2, stripeUnit: 3, stripeCount: 4, journalOrder: 5, journalSplayWidth: 6, journalPool: 7,
  featuresSet: 8, featuresClear: 9, dataPool: 10, flatten: 11, cloneFormat: 12, mirrorImageMode: 13,
} as const;

export const imageSpec = new Struct({ id: 'text', name: 'text' });
export const linkedImageSpec = new Struct({ poolId: 'i64', poolName: 'text', poolNamespace: 'text', imageId: 'text', imageName: 'text', trash: 'bool' });
export const snapSpec = new Struct({ id: 'u64', namespaceType: 'u32', name: 'text' });
export const snapInfo = new Struct({ id: 'u64', size: 'u64', name: 'text' });
export const childInfo = new Struct({ poolName: 'text', imageName: 'text', imageId: 'text', trash: 'bool' });
export const imageInfo = new Struct({ size: 'u64', objSize: 'u64', numObjs: 'u64', order: 'i32', prefix: 'char24', parentPool: 'i64', parentName: 'char96' });
export const trashInfo = new Struct({ id: 'text', name: 'text', source: 'u32', deletionTime: 'i64', defermentEnd: 'i64' });
export const watcher = new Struct({ addr: 'text', id: 'i64', cookie: 'u64' });
export const configOption = new Struct({ name: 'text', value: 'text', source: 'u32' });
export const timespec = new Struct({ sec: 'i64', nsec: 'i64' });

export interface Case {
  /** A sentence about what is asked. */
  name: string;
  run(c: Context): Promise<void>;
}

export class Context extends Transcript {
  constructor(abi: CAbi, readonly conf: string, readonly cluster: Handle, readonly io: Handle) {
    super(abi);
  }

  /** An image with the default features, made without being written down. */
  async image(name: string, size: number | bigint = 16 * MiB, io = this.io): Promise<void> {
    await this.need('rbd_create', io, name, size, new Out('order', 'i32', 0));
  }

  /** Opens without writing it down. */
  async open(name: string, { as = 'img', snap = null, io = this.io, readOnly = false }: { as?: string; snap?: string | null; io?: Handle; readOnly?: boolean } = {}): Promise<Handle> {
    const handle = new Handle(as);
    await this.need(readOnly ? 'rbd_open_read_only' : 'rbd_open', io, name, handle.ref, snap);
    return handle;
  }

  async close(...handles: Handle[]): Promise<void> {
    for (const handle of handles) await this.need('rbd_close', handle);
  }

  /** An image, made and opened. */
  async fresh(name: string, size: number | bigint = 16 * MiB): Promise<Handle> {
    await this.image(name, size);
    return this.open(name);
  }

  /** rbd_write of `length` bytes of one value. */
  async write(image: Handle, offset: number | bigint, length: number, value: number): Promise<number> {
    return this.call('rbd_write', image, offset, length, new Bytes(`<${value}*${length}>`, Buffer.alloc(Math.max(1, length), value)));
  }

  /** rbd_read, with what was read as runs of equal bytes. */
  async read(image: Handle, offset: number | bigint, length: number): Promise<Buffer> {
    const data = Buffer.alloc(Math.max(1, length), 0xee);
    const n = await this.call('rbd_read', image, offset, length, new Bytes('data', data));
    const got = data.subarray(0, Math.max(0, n));
    this.note({ data: got });
    return got;
  }

  /** Asks a getter that fills one number. */
  async get(fn: string, image: Handle, name = 'value', type: 'u64' | 'i32' | 'bool' = 'u64'): Promise<bigint> {
    const out = new Out(name, type);
    await this.call(fn, image, out);
    this.show(out);
    return out.value;
  }

  /** A C string of an image's id. */
  async idOf(image: Handle): Promise<string> {
    const id = new Bytes('id', Buffer.alloc(128));
    await this.need('rbd_get_id', image, id, 128);
    return id.text;
  }

  /**
   * Removes an image that is too large for the real library's removal, which asks for every object it may have:
   * an image without its header object is only struck from the directory.
   */
  async vanish(name: string): Promise<void> {
    const image = new Handle('vanishing');
    if (Number(await this.silent('rbd_open', this.io, name, image.ref, null)) < 0) return;
    const id = await this.idOf(image);
    await this.close(image);
    await this.silent('rados_remove', this.io, `rbd_header.${id}`);
    await this.silent('rbd_remove', this.io, name);
  }

  /** A completion, optionally with a callback. */
  async completion(name = 'comp', callback: Argument = null, arg: Argument = null): Promise<Handle> {
    const handle = new Handle(name);
    await this.need('rbd_aio_create_completion', arg, callback, handle.ref);
    return handle;
  }

  /** Waits for a completion, writes its result down and releases it. */
  async finish(completion: Handle): Promise<number> {
    await this.need('rbd_aio_wait_for_complete', completion);
    const value = await this.call('rbd_aio_get_return_value', completion);
    await this.silent('rbd_aio_release', completion);
    return value;
  }

  /** Another I/O context: of another pool, another namespace or another client. */
  async ioctx({ pool = POOL, namespace, cluster = this.cluster, as = 'io2' }: { pool?: string; namespace?: string; cluster?: Handle; as?: string } = {}): Promise<Handle> {
    const io = new Handle(as);
    await this.need('rados_ioctx_create', cluster, pool, io.ref);
    if (namespace !== undefined) await this.silent('rados_ioctx_set_namespace', io, namespace);
    return io;
  }

  async drop(...ios: Handle[]): Promise<void> {
    for (const io of ios) await this.silent('rados_ioctx_destroy', io);
  }

  /** A client of its own: another rados_t, connected. */
  async client(as = 'cluster2'): Promise<Handle> {
    const cluster = new Handle(as);
    await this.need('rados_create', cluster.ref, null);
    await this.need('rados_conf_read_file', cluster, this.conf);
    await this.need('rados_connect', cluster);
    return cluster;
  }

  async shutdown(cluster: Handle): Promise<void> {
    await this.silent('rados_shutdown', cluster);
  }

  /** Whether something becomes true within five seconds, for what is told from one client to another. */
  async until(isTrue: () => Promise<boolean>): Promise<boolean> {
    for (const deadline = Date.now() + 5000; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 10))) {
      if (await isTrue()) return true;
    }
    return false;
  }

  /** The names of the images of a context, sorted as the library gives them. */
  async names(io = this.io): Promise<string[]> {
    const max = new Out('max', 'u64', 1024);
    const images = Buffer.alloc(1024 * imageSpec.size);
    const rc = Number(await this.silent('rbd_list2', io, new Bytes('images', images), max));
    if (rc < 0) return [`rbd_list2 = ${rc}`];
    const names = imageSpec.readAll(images, Number(max.value)).map((i) => String(i['name']));
    await this.silent('rbd_image_spec_list_cleanup', new Bytes('images', images), max.value);
    return names;
  }

  async noteNames(io = this.io): Promise<void> {
    this.note({ images: await this.names(io) });
  }
}
