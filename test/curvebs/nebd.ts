// The stand-in's nebd-server: the fds, what each call answers, and the ways in which a real one dies, hangs and wedges.
// Knows files through the MDS and bytes through VolumeData; frames and sockets are nebd-server.ts's business.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Chunkservers } from './chunkservers.js';
import type { Clock } from './clock.js';
import { LEASE_MS, type Mds, type Mount } from './mds.js';
import { GIB, type Inode } from './namespace.js';
import type { VolumeData } from './volume-data.js';

/** Files without a KeepAlive for this long are closed. */
export const HEARTBEAT_TIMEOUT_MS = 30_000;
/** A segment that was discarded whole is freed after this long without I/O. */
export const DISCARD_DELAY_MS = 60_000;
/** OpenFile gives up after this long where no MDS answers. */
export const MDS_TIMEOUT_MS = 8000;

export interface NebdOptions {
  /** response.returnRpcWhenIoError: false leaves the client of a failed I/O without a reply. */
  readonly returnRpcWhenIoError: boolean;
  /** Client configurations that exist on the host. */
  readonly clientConfs: readonly string[];
  /** Where the table of open files is kept. */
  readonly tableFile: string;
  /** Whether an MDS answers; without one OpenFile fails after a while. */
  readonly mdsAnswers: () => boolean;
  /** The number of the first file that is opened. */
  readonly firstFd?: number;
}

/** What a request is told: a return code and perhaps more, or nothing at all, ever. */
export type Outcome = { retCode: number; fd?: number; info?: { size: number; blocksize: number }; data?: Buffer } | 'silence';

interface Opened {
  readonly inode: number;
  readonly mount: Mount;
  /** What GetInfo says: the length when it was opened. */
  readonly length: number;
  /** The volume's epoch when it was opened; 0 is never fenced. */
  readonly epoch: number;
}

interface Entry {
  readonly fd: number;
  readonly name: string;
  /** 'none', 'false' or 'true': what OpenFile said of `exclusive`. */
  readonly flags: string;
  opened: Opened | undefined;
  lastKeepAlive: number;
  /** I/O that has no answer; CloseFile waits for it, in vain where there never will be one. */
  pending: number;
  wedged: boolean;
  whenIdle: Array<() => void>;
}

const FAILED: Outcome = { retCode: -1 };
const DONE: Outcome = { retCode: 0 };

/** Thrown by what makes a real nebd-server crash. */
export class NebdCrash extends Error {}

/** The parts of `cbd:<free text>/<path>_<owner>_[:<conf>]`, or nothing where the real one fails to open. */
export function parseName(name: string): { path: string; owner: string; conf: string } | undefined {
  if (!name.startsWith('cbd:')) return undefined;
  const slash = name.indexOf('/');
  const rest = slash < 0 ? '' : name.slice(slash + 1);
  const colon = rest.lastIndexOf(':');
  const match = /^(\/.*)_([^_]+)_$/s.exec(colon < 0 ? rest : rest.slice(0, colon));
  return match ? { path: match[1]!, owner: match[2]!, conf: colon < 0 ? '' : rest.slice(colon + 1) } : undefined;
}

export class Nebd {
  private readonly entries = new Map<number, Entry>();
  private readonly discards = new Map<string, { ranges: Array<[number, number]>; cancel?: () => void }>();
  private nextFd: number;
  private alive = true;

  constructor(
    private readonly mds: Mds,
    private readonly data: VolumeData,
    private readonly chunkservers: Chunkservers,
    private readonly clock: Clock,
    private readonly options: NebdOptions,
  ) {
    this.nextFd = options.firstFd ?? 1;
    if (existsSync(options.tableFile)) {
      for (const row of JSON.parse(readFileSync(options.tableFile, 'utf8')) as Array<{ fd: number; name: string; flags: string }>) this.addEntry(row.fd, row.name, row.flags);
    }
    this.watchHeartbeats();
  }

  /** The open names, for tests and for the daemon's bookkeeping. */
  names(): string[] {
    return [...this.entries.values()].map((entry) => entry.name);
  }

  isOpen(name: string): boolean {
    return this.byName(name)?.opened !== undefined;
  }

  /** As if nobody had said KeepAlive for half a minute: every file is closed. */
  expire(): void {
    for (const entry of this.entries.values()) if (entry.opened && entry.pending === 0) this.release(entry);
  }

  /** The process is gone: its sessions with the MDS lapse by themselves. */
  die(): void {
    this.alive = false;
    for (const entry of this.entries.values()) if (entry.opened) entry.opened.mount.lapsesAt = this.clock.now() + LEASE_MS;
    for (const discard of this.discards.values()) discard.cancel?.();
  }

  async openFile(name: string, flags: string): Promise<Outcome> {
    if (!this.byName(name)?.opened && !this.options.mdsAnswers()) {
      await new Promise<void>((resolve) => this.clock.after(MDS_TIMEOUT_MS, resolve));
      if (!this.options.mdsAnswers()) return FAILED;
    }
    const known = this.byName(name);
    if (known) {
      if (known.flags !== flags) return FAILED;
      if (!known.opened && !this.open(known)) return FAILED;
      known.lastKeepAlive = this.clock.now();
      return { retCode: 0, fd: known.fd };
    }
    const entry = this.addEntry(this.nextFd, name, flags);
    if (!this.open(entry)) {
      this.entries.delete(entry.fd);
      this.nextFd = entry.fd;
      return FAILED;
    }
    this.saveTable();
    return { retCode: 0, fd: entry.fd };
  }

  async closeFile(fd: number): Promise<Outcome> {
    const entry = this.entries.get(fd);
    if (!entry) return DONE;
    if (entry.wedged) return 'silence';
    while (entry.pending > 0) await new Promise<void>((resolve) => entry.whenIdle.push(resolve));
    if (!this.entries.has(fd)) return DONE;
    const gone = entry.opened !== undefined && !this.volumeOf(entry);
    this.release(entry);
    this.entries.delete(fd);
    this.saveTable();
    return gone ? FAILED : DONE;
  }

  keepAlive(fds: number[]): Outcome {
    const known = fds.map((fd) => this.entries.get(fd));
    for (const entry of known) if (entry) entry.lastKeepAlive = this.clock.now();
    return known.includes(undefined) ? FAILED : DONE;
  }

  getInfo(fd: number): Outcome {
    const entry = this.usable(fd);
    if (entry === undefined || entry === 'silence') return entry ?? FAILED;
    const inode = this.volumeOf(entry);
    if (!inode) return FAILED;
    return { retCode: 0, info: { size: entry.opened!.length, blocksize: inode.blocksize ?? 4096 } };
  }

  /** Flush and InvalidateCache: nothing is done, for a file that is known. */
  nothing(fd: number): Outcome {
    const entry = this.usable(fd);
    return entry === 'silence' ? entry : entry ? DONE : FAILED;
  }

  resize(fd: number, size: number): Outcome {
    const entry = this.usable(fd);
    if (entry === undefined || entry === 'silence') return entry ?? FAILED;
    const inode = this.volumeOf(entry);
    try {
      if (!inode) return FAILED;
      this.mds.extend(inode, size);
      return DONE;
    } catch {
      return FAILED;
    }
  }

  /** The fd has a request more from now on, until the returned function is called (first): CloseFile waits for it. */
  hold(fd: number): () => void {
    const entry = this.entries.get(fd);
    if (!entry) return () => undefined;
    entry.pending++;
    let isHeld = true;
    return () => {
      if (isHeld) this.settle(entry);
      isHeld = false;
    };
  }

  async read(fd: number, offset: number, size: number): Promise<Outcome> {
    return this.io(fd, offset, size, 'read', async (inode) => ({ retCode: 0, data: await this.data.read(inode.id, offset, size) }));
  }

  async write(fd: number, offset: number, size: number, data: Buffer): Promise<Outcome> {
    if (data.length !== size) return FAILED;
    return this.io(fd, offset, size, 'write', async (inode) => {
      await this.data.write(inode.id, offset, data);
      return DONE;
    });
  }

  discard(fd: number, offset: number, size: number): Outcome {
    const entry = this.usable(fd);
    if (entry === undefined || entry === 'silence') return entry ?? FAILED;
    const inode = this.volumeOf(entry);
    if (!inode || size === 0) return DONE;
    const end = Math.min(offset + size, inode.length ?? 0);
    for (let segment = Math.floor(offset / GIB); segment * GIB < end; segment++) {
      const range: [number, number] = [Math.max(offset, segment * GIB) - segment * GIB, Math.min(end, (segment + 1) * GIB) - segment * GIB];
      this.noteDiscard(inode.id, segment, range);
    }
    return DONE;
  }

  private async io(fd: number, offset: number, size: number, kind: 'read' | 'write', run: (inode: Inode) => Promise<Outcome>): Promise<Outcome> {
    const entry = this.usable(fd);
    if (entry === undefined || entry === 'silence') return entry ?? FAILED;
    const inode = this.volumeOf(entry);
    if (size === 0) {
      entry.pending++;
      return 'silence';
    }
    const block = inode?.blocksize ?? 4096;
    if (offset % block !== 0 || size % block !== 0) throw new NebdCrash(`a ${kind} of ${size} bytes at ${offset} on a volume with blocks of ${block}`);
    const refused = !inode || offset + size > (inode.length ?? 0) || (kind === 'write' && this.isFenced(entry, inode, offset, size));
    if (refused) {
      if (this.options.returnRpcWhenIoError) return FAILED;
      entry.wedged = true;
      entry.pending++;
      return 'silence';
    }
    for (let segment = Math.floor(offset / GIB); segment * GIB < offset + size; segment++) this.cancelDiscard(inode.id, segment);
    entry.pending++;
    try {
      return await run(inode);
    } finally {
      this.settle(entry);
    }
  }

  private settle(entry: Entry): void {
    entry.pending--;
    if (entry.pending === 0) for (const resume of entry.whenIdle.splice(0)) resume();
  }

  private isFenced(entry: Entry, inode: Inode, offset: number, size: number): boolean {
    const epoch = entry.opened?.epoch ?? 0;
    if (epoch === 0) return false;
    for (let segment = Math.floor(offset / GIB); segment * GIB < offset + size; segment++) {
      if (this.chunkservers.epochOf(segment, inode.id) > epoch) return true;
    }
    return false;
  }

  /** The entry, opened again where the heartbeat closed it; nothing for an fd that nobody knows. */
  private usable(fd: number): Entry | 'silence' | undefined {
    const entry = this.entries.get(fd);
    if (entry?.wedged) return 'silence';
    if (entry && !entry.opened) this.open(entry);
    return entry?.opened ? entry : undefined;
  }

  private volumeOf(entry: Entry): Inode | undefined {
    const inode = this.mds.files.get(entry.opened?.inode ?? -1);
    const name = parseName(entry.name);
    return inode && name && inode.originalFullPathName === undefined ? inode : undefined;
  }

  private open(entry: Entry): boolean {
    const parsed = parseName(entry.name);
    if (!parsed || parsed.owner === 'root') return false;
    if (parsed.conf !== '' && !this.options.clientConfs.includes(parsed.conf)) return false;
    const inode = this.mds.find(parsed.path, parsed.owner);
    if (!inode) return false;
    entry.opened = { inode: inode.id, mount: this.mds.mount(inode.id, 9000), length: inode.length ?? 0, epoch: inode.epoch ?? 0 };
    entry.lastKeepAlive = this.clock.now();
    return true;
  }

  private release(entry: Entry): void {
    if (entry.opened) this.mds.unmount(entry.opened.inode, entry.opened.mount);
    entry.opened = undefined;
  }

  private watchHeartbeats(): void {
    this.clock.after(1000, () => {
      if (!this.alive) return;
      for (const entry of this.entries.values()) {
        const silent = this.clock.now() - entry.lastKeepAlive >= HEARTBEAT_TIMEOUT_MS;
        if (silent && entry.opened && entry.pending === 0) this.release(entry);
      }
      this.watchHeartbeats();
    });
  }

  private noteDiscard(volume: number, segment: number, range: [number, number]): void {
    const key = `${volume}/${segment}`;
    const known = this.discards.get(key) ?? { ranges: [] };
    this.discards.set(key, known);
    const merged: Array<[number, number]> = [];
    for (const each of [...known.ranges, range].sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1);
      if (last && each[0] <= last[1]) last[1] = Math.max(last[1], each[1]);
      else merged.push([each[0], each[1]]);
    }
    known.ranges = merged;
    if (merged[0]?.[0] !== 0 || merged[0][1] !== GIB || known.cancel) return;
    known.cancel = this.clock.after(DISCARD_DELAY_MS, () => {
      this.discards.delete(key);
      void this.data.free(volume, segment);
    });
  }

  private cancelDiscard(volume: number, segment: number): void {
    this.discards.get(`${volume}/${segment}`)?.cancel?.();
    this.discards.delete(`${volume}/${segment}`);
  }

  private byName(name: string): Entry | undefined {
    return [...this.entries.values()].find((entry) => entry.name === name);
  }

  private addEntry(fd: number, name: string, flags: string): Entry {
    const entry: Entry = { fd, name, flags, opened: undefined, lastKeepAlive: this.clock.now(), pending: 0, wedged: false, whenIdle: [] };
    this.entries.set(fd, entry);
    this.nextFd = Math.max(this.nextFd, fd + 1);
    return entry;
  }

  private saveTable(): void {
    const rows = [...this.entries.values()].map(({ fd, name, flags }) => ({ fd, name, flags }));
    writeFileSync(`${this.options.tableFile}.new`, JSON.stringify(rows));
    renameSync(`${this.options.tableFile}.new`, this.options.tableFile);
  }
}
