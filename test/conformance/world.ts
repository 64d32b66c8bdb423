// What the random test's steps work on: open handles by slot, the namespace, ids in the trash. It knows no step.
import { Bytes, Handle, Out, Shown, type Argument } from './transcript.js';
import { trashInfo, type Context } from './context.js';

/** Begins a line that says that a library does not do what it said itself; where it is the real one, there is nothing more to compare with. */
export const BROKEN = 'broken: ';

export type Step = { op: string } & Record<string, string | number | boolean>;

/** What is open, by slot. */
export class World {
  readonly handles = new Map<number, Handle>();
  /** The namespace that names are looked for in. */
  space = '';
  private readonly trash = new Map<string, string>();
  /** Ids that were in the trash once: of two images of one name the new one is meant. */
  private readonly seen = new Set<string>();

  constructor(readonly c: Context) {}

  newHandle(slot: number): Handle {
    return new Handle(`h${slot}`);
  }

  /** Where writers take the exclusive lock by themselves, advisory locks depend on who wrote when; those images are left out. */
  async hasNoAutomaticLock(image: Handle): Promise<boolean> {
    const features = new Out('features', 'u64');
    await this.c.silent('rbd_get_features', image, features);
    return (features.value & 4n) === 0n;
  }

  /** Asks every handle for its size: the real library's I/O goes by the size it knew before it is asked. */
  async refresh(): Promise<void> {
    for (const handle of this.handles.values()) await this.c.silent('rbd_get_size', handle, new Out('size', 'u64'));
  }

  /** Asks for an image's features; without the bit for clones, which the real library's handles learn of some time later. */
  async features(image: Handle): Promise<void> {
    const features = new Out('features', 'u64');
    await this.c.call('rbd_get_features', image, features);
    this.c.note({ features: features.value & ~256n });
  }

  /** Changes the image, and back, so that its handles look at it. */
  async change(image: Handle): Promise<void> {
    await this.c.silent('rbd_metadata_set', image, 'changed', '');
    await this.c.silent('rbd_metadata_remove', image, 'changed');
  }

  /** Closes everything. */
  async end(): Promise<void> {
    for (const handle of this.handles.values()) await this.c.silent('rbd_close', handle);
    this.handles.clear();
    await this.c.silent('rados_ioctx_set_namespace', this.c.io, '');
    this.c.end();
  }

  /** Puts an image into the trash, remembering under which id it is found there. */
  async toTrash(name: string): Promise<void> {
    if (await this.c.call('rbd_trash_move', this.c.io, name, 0) < 0) return;
    const max = new Out('max', 'u64', 64);
    const list = new Bytes('list', Buffer.alloc(64 * trashInfo.size));
    const count = Number(await this.c.silent('rbd_trash_list', this.c.io, list, max));
    const entry = trashInfo.readAll(list.buffer, Math.max(0, count)).find((e) => e['name'] === name && !this.seen.has(String(e['id'])));
    if (entry !== undefined) {
      this.trash.set(this.inSpace(name), String(entry['id']));
      this.seen.add(String(entry['id']));
    }
    if (count >= 0) await this.c.silent('rbd_trash_list_cleanup', list, count);
  }

  trashId(name: string): Argument {
    return new Shown(`<id of ${name}>`, this.trash.get(this.inSpace(name)) ?? 'nosuchid');
  }

  forgetTrash(name: string): void {
    this.trash.delete(this.inSpace(name));
  }

  restored(name: string): void {
    this.seen.delete(this.trash.get(this.inSpace(name)) ?? '');
    this.trash.delete(this.inSpace(name));
  }

  private inSpace(name: string): string {
    return `${this.space}/${name}`;
  }
}

export type Operation = (w: World, s: Step) => Promise<void>;

export const text = (s: Step, key: string): string => String(s[key]);
export const number = (s: Step, key: string): number => Number(s[key]);

/** An operation on an open image; it does nothing where the slot is empty, which it is on both sides. */
export function open(operation: (w: World, s: Step, image: Handle) => Promise<void>): Operation {
  return async (w, s) => {
    const image = w.handles.get(number(s, 'slot'));
    if (image !== undefined) await operation(w, s, image);
  };
}
