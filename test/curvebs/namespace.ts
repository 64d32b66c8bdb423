// The stand-in's files, directories and recycle bin, as the MDS keeps them: inodes, written to a journal before they count.
// Knows no protocol, no owner rules and no data.

import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const GIB = 1024 ** 3;
export const ROOT_ID = 0;
export const RECYCLE_BIN_ID = 1;

export interface Throttle {
  type: string;
  limit: number;
  burst?: number;
  burstLength?: number;
}

/** FileInfo as the MDS answers with it; the order of the fields is the order of its JSON. */
export interface Inode {
  id: number;
  fileName: string;
  parentId: number;
  fileType: 'INODE_DIRECTORY' | 'INODE_PAGEFILE' | 'INODE_SNAPSHOT_PAGEFILE';
  owner: string;
  chunkSize?: number;
  segmentSize?: number;
  length?: number;
  ctime: number;
  seqNum?: number;
  fileStatus?: string;
  originalFullPathName?: string;
  cloneSource?: string;
  cloneLength?: number;
  stripeUnit?: number;
  stripeCount?: number;
  throttleParams?: { throttleParams: Throttle[] };
  epoch?: number;
  poolset?: string;
  blocksize?: number;
}

type Entry = { put: Inode } | { drop: number } | { next: number };

/** The tree. Changes are in the journal when a call returns, so that a killed stand-in comes back with them. */
export class Namespace {
  private readonly inodes = new Map<number, Inode>();
  private readonly children = new Map<number, Map<string, number>>();
  private readonly journal: string;
  private nextId = 3;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.journal = join(folder, 'inodes.jsonl');
    this.apply({ put: { id: ROOT_ID, fileName: '', parentId: -1, fileType: 'INODE_DIRECTORY', owner: 'root', ctime: 0 } });
    this.apply({ put: { id: RECYCLE_BIN_ID, fileName: 'RecycleBin', parentId: ROOT_ID, fileType: 'INODE_DIRECTORY', owner: 'root', ctime: 0 } });
    if (existsSync(this.journal)) this.replay();
  }

  newId(): number {
    this.write({ next: this.nextId + 1 });
    return this.nextId - 1;
  }

  get(id: number): Inode | undefined {
    return this.inodes.get(id);
  }

  child(parent: number, name: string): Inode | undefined {
    const id = this.children.get(parent)?.get(name);
    return id === undefined ? undefined : this.inodes.get(id);
  }

  /** In the order of their names. */
  list(parent: number): Inode[] {
    const names = this.children.get(parent) ?? new Map<string, number>();
    return [...names.keys()].sort().map((name) => this.inodes.get(names.get(name)!)!);
  }

  /** Adds an inode, or takes its new content (also a new name or parent). */
  put(inode: Inode): void {
    this.write({ put: inode });
  }

  drop(id: number): void {
    this.write({ drop: id });
  }

  /** Every volume, also those in the recycle bin. */
  volumes(): Inode[] {
    return [...this.inodes.values()].filter((inode) => inode.fileType === 'INODE_PAGEFILE');
  }

  /** The volumes below a directory, or the volume itself. */
  volumesBelow(inode: Inode): Inode[] {
    if (inode.fileType !== 'INODE_DIRECTORY') return [inode];
    return this.list(inode.id).flatMap((each) => this.volumesBelow(each));
  }

  private write(entry: Entry): void {
    appendFileSync(this.journal, `${JSON.stringify(entry)}\n`);
    this.apply(structuredClone(entry));
  }

  private apply(entry: Entry): void {
    if ('next' in entry) {
      this.nextId = entry.next;
      return;
    }
    const id = 'put' in entry ? entry.put.id : entry.drop;
    const before = this.inodes.get(id);
    const siblingsBefore = before && this.children.get(before.parentId);
    if (before && siblingsBefore?.get(before.fileName) === id) siblingsBefore.delete(before.fileName);
    if ('drop' in entry) {
      this.inodes.delete(id);
      return;
    }
    this.inodes.set(id, entry.put);
    this.nextId = Math.max(this.nextId, id + 1);
    if (id === ROOT_ID) return;
    let siblings = this.children.get(entry.put.parentId);
    if (!siblings) this.children.set(entry.put.parentId, (siblings = new Map()));
    siblings.set(entry.put.fileName, id);
  }

  /** A last line that was cut off by a kill never counted. */
  private replay(): void {
    for (const line of readFileSync(this.journal, 'utf8').split('\n').slice(0, -1)) this.apply(JSON.parse(line) as Entry);
    const compact = [...this.inodes.values()].map((inode) => JSON.stringify({ put: inode }));
    writeFileSync(`${this.journal}.new`, `${[...compact, JSON.stringify({ next: this.nextId })].join('\n')}\n`);
    renameSync(`${this.journal}.new`, this.journal);
  }
}
