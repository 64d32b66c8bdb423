// An object inside one transaction: what it was, and what the operations so far made of it. Nothing reaches the store before save().
import { randomBytes } from 'node:crypto';
import type { Store } from '../store/store.js';
import { chunkSize, objectKeys, type ObjectLock, type ObjectRecord } from './object-records.js';
import type { At, Time } from './records.js';
import type { Tx } from './transact.js';

interface Draft {
  readonly id: string;
  size: number;
  readonly xattrs: Map<string, string>;
  readonly locks: Map<string, ObjectLock>;
  /** What the operations wrote; null: the chunk is to go. */
  readonly chunks: Map<number, Buffer | null>;
  /** By hex of the key; undefined: the entry is to go. */
  readonly omap: Map<string, string | undefined>;
  /** Made in this transaction: nothing of it is in the store. */
  readonly isNew: boolean;
  /** The omap was emptied: what the store holds of it does not count. */
  omapCleared: boolean;
}

export class ObjectDraft {
  private draft: Draft | undefined;
  private changed = false;

  constructor(
    private readonly store: Store, private readonly tx: Tx, private readonly at: At, private readonly name: string,
    private readonly before: ObjectRecord | undefined, readonly now: Time,
  ) {
    if (before) this.draft = { ...emptyDraft(before.id, { isNew: false }), size: before.size, xattrs: new Map(Object.entries(before.xattrs)), locks: new Map(Object.entries(before.locks ?? {})) };
  }

  get exists(): boolean {
    return this.draft !== undefined;
  }

  get hasChanged(): boolean {
    return this.changed;
  }

  get size(): number {
    return this.draft?.size ?? 0;
  }

  get mtime(): Time {
    return this.before?.mtime ?? { sec: 0, nsec: 0 };
  }

  /** The version as it was before this transaction; 0 where there was no object. */
  get version(): number {
    return this.before?.version ?? 0;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return this.draft?.xattrs ?? new Map<string, string>();
  }

  get locks(): ReadonlyMap<string, ObjectLock> {
    return this.draft?.locks ?? new Map<string, ObjectLock>();
  }

  /** Makes the object where it is not there; every change goes through here. */
  touch(): void {
    this.changed = true;
    this.draft ??= emptyDraft(randomBytes(8).toString('hex'), { isNew: true });
  }

  remove(): void {
    this.changed = true;
    this.draft = undefined;
  }

  setXattr(name: string, base64: string): void {
    this.touch();
    this.draft?.xattrs.set(name, base64);
  }

  removeXattr(name: string): void {
    this.touch();
    this.draft?.xattrs.delete(name);
  }

  setLock(name: string, lock: ObjectLock | undefined): void {
    this.touch();
    if (lock) this.draft?.locks.set(name, lock);
    else this.draft?.locks.delete(name);
  }

  /** The bytes in the range, cut at the object's end. */
  async read(offset: number, length: number): Promise<Buffer> {
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return Buffer.alloc(0);
    const out = Buffer.alloc(end - offset);
    for (let index = Math.floor(offset / chunkSize); index * chunkSize < end; index += 1) {
      const chunk = await this.chunk(index);
      const start = index * chunkSize;
      // Behind a chunk's own end, as behind the end that a truncation moved, there are zeroes.
      const [from, to] = [Math.max(offset - start, 0), Math.min(end - start, chunk?.length ?? 0)];
      if (from < to) chunk?.copy(out, Math.max(start - offset, 0), from, to);
    }
    return out;
  }

  async write(offset: number, data: Buffer): Promise<void> {
    this.touch();
    const draft = this.draft;
    if (!draft) return;
    const end = offset + data.length;
    for (let index = Math.floor(offset / chunkSize); index * chunkSize < end; index += 1) {
      const start = index * chunkSize;
      const from = Math.max(offset, start), to = Math.min(end, start + chunkSize);
      const old = to - from === chunkSize ? undefined : await this.chunk(index);
      const chunk = Buffer.alloc(Math.max(old?.length ?? 0, to - start));
      old?.copy(chunk);
      data.copy(chunk, from - start, from - offset, to - offset);
      draft.chunks.set(index, chunk);
    }
    // A write of nothing behind the end moves the end, as on a Ceph.
    draft.size = Math.max(draft.size, end);
  }

  async truncate(size: number): Promise<void> {
    this.touch();
    const draft = this.draft;
    if (!draft) return;
    const keptChunks = Math.ceil(size / chunkSize);
    for (let index = keptChunks; index < Math.ceil(draft.size / chunkSize); index += 1) draft.chunks.set(index, null);
    const last = size % chunkSize === 0 ? undefined : await this.chunk(keptChunks - 1);
    if (last && last.length > size % chunkSize) draft.chunks.set(keptChunks - 1, Buffer.from(last.subarray(0, size % chunkSize)));
    draft.size = size;
  }

  /** The omap's entries in the order of their keys: hex of the key, value in base64. */
  async omap(range: { after?: string; prefix?: string; limit?: number } = {}): Promise<[string, string][]> {
    const draft = this.draft;
    if (!draft) return [];
    const merged = new Map<string, string>();
    if (!draft.isNew && !draft.omapCleared) {
      const root = objectKeys.omap(this.at.pool, draft.id);
      // Entries that this transaction removed do not count towards the limit.
      const limit = range.limit === undefined ? {} : { limit: range.limit + draft.omap.size };
      const prefix = root + (range.prefix ?? '');
      const after = range.after === undefined ? {} : { after: root + range.after };
      for (const { key, value } of await this.store.list({ prefix, ...after, ...limit })) merged.set(key.slice(root.length), JSON.parse(value) as string);
    }
    for (const [key, value] of draft.omap) {
      if ((range.after !== undefined && key <= range.after) || !key.startsWith(range.prefix ?? '')) continue;
      if (value === undefined) merged.delete(key);
      else merged.set(key, value);
    }
    const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1));
    return range.limit === undefined ? sorted : sorted.slice(0, range.limit);
  }

  async omapValue(hex: string): Promise<string | undefined> {
    const draft = this.draft;
    if (!draft) return undefined;
    if (draft.omap.has(hex)) return draft.omap.get(hex);
    if (draft.isNew || draft.omapCleared) return undefined;
    return this.tx.peek<string>(objectKeys.omapEntry(this.at.pool, draft.id, hex));
  }

  setOmap(hex: string, base64: string | undefined): void {
    this.touch();
    this.draft?.omap.set(hex, base64);
  }

  clearOmap(): void {
    this.touch();
    if (!this.draft) return;
    this.draft.omap.clear();
    this.draft.omapCleared = true;
  }

  /** Puts the changes into the transaction and returns the object's new version. */
  async save(mtime: Time | undefined, version: number): Promise<void> {
    const { tx, at, before, draft } = this;
    const pool = at.pool;
    if (before && draft?.id !== before.id) {
      tx.removeAll(objectKeys.data(pool, before.id));
      tx.removeAll(objectKeys.omap(pool, before.id));
    }
    if (!draft) return tx.remove(objectKeys.object(at, this.name));
    for (const [index, chunk] of draft.chunks) {
      const key = objectKeys.chunk(pool, draft.id, index);
      if (chunk) tx.put(key, chunk.toString('base64'));
      else if (!draft.isNew) tx.remove(key);
    }
    if (draft.omapCleared && !draft.isNew) {
      const kept = draft.omap;
      for (const { key } of await this.store.list({ prefix: objectKeys.omap(pool, draft.id) })) {
        if (!kept.get(key.slice(objectKeys.omap(pool, draft.id).length))) tx.remove(key);
      }
    }
    for (const [hex, value] of draft.omap) {
      const key = objectKeys.omapEntry(pool, draft.id, hex);
      if (value !== undefined) tx.put(key, value);
      else if (!draft.isNew) tx.remove(key);
    }
    const record: ObjectRecord = {
      id: draft.id, size: draft.size, mtime: mtime ?? this.now, version, xattrs: Object.fromEntries(draft.xattrs),
      ...(draft.locks.size > 0 ? { locks: Object.fromEntries(draft.locks) } : {}),
    };
    tx.put(objectKeys.object(at, this.name), record);
  }

  private async chunk(index: number): Promise<Buffer | undefined> {
    const draft = this.draft;
    if (!draft) return undefined;
    if (draft.chunks.has(index)) return draft.chunks.get(index) ?? undefined;
    if (draft.isNew) return undefined;
    const text = await this.tx.peek<string>(objectKeys.chunk(this.at.pool, draft.id, index));
    return text === undefined ? undefined : Buffer.from(text, 'base64');
  }
}

function emptyDraft(id: string, { isNew }: { isNew: boolean }): Draft {
  return { id, size: 0, xattrs: new Map(), locks: new Map(), chunks: new Map(), omap: new Map(), isNew, omapCleared: false };
}
