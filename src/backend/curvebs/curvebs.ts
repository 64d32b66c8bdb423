// The CurveBS backend: directories and volumes through the MDS, access through the host's nebd-server. Knows no image.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { ServiceError } from '../../service/errors.js';
import type { Backend, ByteRange, Capacity, DirectoryUsage, OpenVolume, Place, VolumeAccess, VolumeInfo, VolumeLimit, VolumeRules, VolumeUser } from '../backend.js';
import { fence } from './fence.js';
import { Leftovers, type Leftover } from './leftovers.js';
import { MdsClient, ROOT, isStatus, type FileInfo } from './mds.js';
import { decodeComponent, directoryPath, encodeComponent, encodeOwner, nebdName, nextName, openedName, readNebdName } from './names.js';
import { findAllocated, isClone } from './segments.js';
import { makeSnapshot } from './snapshotclone.js';
import { zeroTail } from './zero-tail.js';

const GIB = 1024 ** 3;
const CAPACITY = 'topology_metric_cluster_logical_capacity';
const ALLOCATED = 'topology_metric_cluster_logical_alloc';

/** The names under which this daemon itself has volumes open in nebd-server, kept where the next daemon finds them. */
export interface OwnNames {
  add(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
}

export interface CurvebsOptions {
  /** host:port of every MDS. */
  readonly mds: readonly string[];
  /** nebd-server's socket on this host. */
  readonly nebdSocket: string;
  /** Of places that name no owner. */
  readonly owner: string;
  readonly rootPassword?: string;
  /** host:port of every snapshotcloneserver; empty: volumes are not archived. */
  readonly snapshotClone: readonly string[];
  /** How long a call may take, with its retries. */
  readonly timeoutMs: number;
  readonly log: (line: string) => void;
  /** How long the closing of what a dead process had open is waited for before its volume is fenced. */
  readonly closingMs?: number;
  /** Milliseconds of a clock that only goes forward, by which second names are looked for. */
  readonly now?: () => number;
  /** Absent: what a killed daemon had open stays so for half a minute. */
  readonly ownNames?: OwnNames;
}

/** How long a removal waits for a volume that is "in use": a client that closed it is forgotten within this time. */
const IN_USE_MS = 5000;
const IN_USE_PAUSE_MS = 250;
const CAPACITY_KEPT_MS = 2000;

/** How long a daemon that ends waits for calls that are under way. */
const HURRY_MS = 1000;

/** A volume that was given to a session. */
interface Given {
  readonly handle: number;
  readonly path: string;
  readonly owner: string;
  /** The name without what the client's process adds to it. */
  readonly file: string;
  /** 0: not known. */
  readonly pid: number;
  readonly writable: boolean;
  /** When, by `now`; -Infinity where an earlier daemon may have given it. */
  readonly since: number;
}

/** What a dead client may have open, and what it would have taken after that. */
interface NamedLeftover extends Leftover {
  readonly next: () => NamedLeftover[];
}

/** The session number of the daemon's own work. */
const OWN_SESSION = 0;

/** A file that has I/O under way is closed when that ends; it is not waited for longer than this. */
const CLOSING_MS = 3000;

/** A client whose requests get no answer for a minute tries the volume under its next name (shim/block/nebd_connection.h, Times::silence). */
const SECOND_NAME_MS = 60_000;
/** A dead client is not looked for under more names than these: each takes minutes without an answer. */
const MOST_NAMES = 3;

export class CurvebsBackend implements Backend {
  readonly kind = 'curvebs';
  readonly rules: VolumeRules = {
    minSize: 10 * GIB, maxSize: 20 * 1024 * GIB, sizeStep: GIB, blockSize: 4096, canShrink: false, fencesDead: true, losesRemoved: true, hasOthersVolumes: true,
    maxNameBytes: 200,
  };
  readonly clientSocket: string;
  readonly defaults: { readonly owner: string; dir(pool: string): string };
  private readonly mds: MdsClient;
  private readonly given = new Map<number, Given[]>();
  private readonly host = hostname().replace(/[^A-Za-z0-9.-]/g, '') || 'host';
  private readonly leftovers: Leftovers;
  private readonly now: () => number;
  private readonly begun: number;
  private known: { capacity: Capacity; at: number } | undefined;

  constructor(private readonly options: CurvebsOptions) {
    const { mds, rootPassword, timeoutMs, owner } = options;
    this.clientSocket = options.nebdSocket;
    this.now = options.now ?? (() => performance.now());
    this.begun = this.now();
    // A slash in a pool's name makes no directory within a directory.
    this.defaults = { owner, dir: (pool) => `/${pool.replaceAll('/', '%2F')}` };
    this.mds = new MdsClient({ addresses: mds, timeoutMs, ...(rootPassword === undefined ? {} : { rootPassword }) });
    this.leftovers = new Leftovers({
      nebdSocket: options.nebdSocket, closingMs: Math.min(timeoutMs, options.closingMs ?? CLOSING_MS), log: options.log,
      fence: (path, owner_) => fence(this.mds, path, owner_, timeoutMs),
      isInUse: (path) => [...this.given.values()].some((given) => given.some((each) => each.path === path && each.writable)),
    });
  }

  /**
   * Before anything else is done: closes what an earlier daemon on this host had open itself. Closing waits for what that daemon
   * had under way, so that none of it arrives after what this one writes to the same place. What nebd-server does not close in time is
   * fenced before its volume is written to again.
   */
  async closeEarlier(): Promise<void> {
    const own = this.options.ownNames;
    const names = (await own?.list() ?? []).filter((name) => name.startsWith(`cbd:cbd2rbd-${this.host}-`));
    const left = names.flatMap((name): Leftover[] => {
      const opens = readNebdName(name);
      return opens ? [{ name, ...opens, mayWrite: true, isOwn: true }, { name: nextName(name), ...opens, mayWrite: true, isOwn: true }] : [];
    });
    const closed = await this.leftovers.close(left);
    for (const { name } of closed) await own?.remove(name);
  }

  async createDirectory(place: Place): Promise<void> {
    const path = directoryPath(place.dir);
    const owner = this.ownerOf(place);
    // CurveBS compares the owner on every level, so each directory on the way must be this owner's.
    const parts = path.slice(1).split('/');
    for (let depth = 1; depth <= parts.length; depth++) await this.createOne(`/${parts.slice(0, depth).join('/')}`, owner);
  }

  async removeDirectory(place: Place): Promise<void> {
    await this.mds.deleteFile(directoryPath(place.dir), this.ownerOf(place)).catch(unless('kFileNotExists'));
  }

  async statDirectory(place: Place): Promise<DirectoryUsage> {
    const volumes = await this.listVolumes(place);
    return { volumes: volumes.length, allocated: await this.mds.getAllocatedSize(directoryPath(place.dir)) };
  }

  async createVolume(place: Place, name: string, size: number): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    try {
      await this.mds.createFile(path, owner, { length: size });
    } catch (error) {
      if (!isStatus(error, 'kFileExists')) throw error;
      const info = await this.mds.getFileInfo(path, owner);
      const isOurs = isVolume(info) && info.length === size && (await this.mds.getAllocatedSize(path)) === 0;
      if (!isOurs) throw error;
    }
    // Whoever opens a volume while its epoch is 0 can never be fenced.
    const info = await this.mds.getFileInfo(path, owner);
    if ((info.epoch ?? 0) > 0) return;
    await this.mds.increaseEpoch(path, owner).catch((error: unknown) => {
      if (!(error instanceof ServiceError) || error.errno !== 'EOPNOTSUPP') throw error;
      this.options.log(`this CurveBS has no epochs: writers of '${path}' cannot be fenced`);
    });
  }

  async extendVolume(place: Place, name: string, size: number): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    const info = await this.mds.getFileInfo(path, owner);
    if (info.length < size) await this.mds.extendFile(path, owner, size).catch(unless('kShrinkBiggerFile'));
  }

  /** The volume keeps its size. What lies past `size` and was in use is zeroed, so that it is zero when the image grows again. */
  async shrinkVolume(place: Place, name: string, size: number, usedSize: number): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    await this.settle(path);
    const nebd = await this.leftovers.talk(this.options.timeoutMs);
    const opened = nebdName(this.token('trim'), path, owner);
    const isUntold = await isClone(this.mds, { path, owner });
    await this.options.ownNames?.add(opened);
    let isClosed = false;
    try {
      const file = await nebd.open(opened);
      try {
        await zeroTail(nebd, file, { from: size, to: usedSize }, async (offset) => isUntold || this.mds.isAllocated(path, owner, offset).catch(() => true));
      } finally {
        isClosed = await nebd.closeFile(file.fd).then(() => true, () => false);
      }
    } finally {
      this.leftovers.hangUp(nebd);
      if (isClosed) await this.options.ownNames?.remove(opened);
      else this.leftovers.remember([{ name: opened, path, owner, mayWrite: true, isOwn: true }]);
    }
  }

  async removeVolume(place: Place, name: string): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    const deadline = performance.now() + IN_USE_MS;
    for (;;) {
      try {
        await this.mds.deleteFile(path, owner);
        return;
      } catch (error) {
        if (isStatus(error, 'kFileNotExists')) return;
        if (!isStatus(error, 'kFileOccupied') || performance.now() > deadline) throw error;
      }
      await this.mds.pause(IN_USE_PAUSE_MS);
    }
  }

  async renameVolume(place: Place, name: string, to: string): Promise<void> {
    const [from, owner] = this.volumePath(place, name);
    const [into] = this.volumePath(place, to);
    const [source, target] = [await this.mds.find(from, owner), await this.mds.find(into, owner)];
    if (target !== undefined) {
      if (source !== undefined) throw new ServiceError('EEXIST', `volume ${to} exists`);
      return;
    }
    await this.mds.renameFile(from, into, owner);
  }

  async statVolume(place: Place, name: string): Promise<VolumeInfo | undefined> {
    const [path, owner] = this.volumePath(place, name);
    const info = await this.mds.find(path, owner);
    if (info === undefined || !isVolume(info)) return undefined;
    return { name, size: info.length, allocated: await this.mds.getAllocatedSize(path) };
  }

  async allocatedRanges(place: Place, name: string, range: ByteRange): Promise<ByteRange[] | undefined> {
    const [path, owner] = this.volumePath(place, name);
    return findAllocated(this.mds, { path, owner }, range);
  }

  async listVolumes(place: Place): Promise<VolumeInfo[]> {
    const owner = this.ownerOf(place);
    const found = await this.mds.listDir(directoryPath(place.dir), owner);
    // Another owner's volume among ours cannot be opened by us.
    return found.filter((info) => isVolume(info) && info.owner === owner).map((info) => ({ name: decodeComponent(info.fileName), size: info.length }));
  }

  async openVolume(place: Place, name: string, as: VolumeUser): Promise<VolumeAccess> {
    const [path, owner] = this.volumePath(place, name);
    const info = await this.mds.getFileInfo(path, owner);
    if (!isVolume(info)) throw new ServiceError('ENOENT', `'${path}' is no volume`);
    if (as.writable) await this.settle(path);
    // What a session had from an earlier daemon is known by its name, for it is given that name again.
    const isLasting = as.session > 0 && !as.beside;
    const token = isLasting ? `cbd2rbd-${this.host}-${as.session}-${as.handle}.${as.generation ?? 0}` : this.token(String(as.session));
    const file = nebdName(token, path, owner);
    if (as.session === OWN_SESSION) await this.options.ownNames?.add(openedName(file, process.pid));
    const given = (this.given.get(as.session) ?? []).filter((each) => each.file !== file);
    this.given.set(as.session, [...given, { handle: as.handle, path, owner, file, pid: as.pid ?? 0, writable: as.writable, since: this.givenSince() }]);
    const blockSize = info.blocksize === 512 ? 512 : 4096;
    return { driver: 'nebd', socket: this.options.nebdSocket, file, size: info.length, blockSize };
  }

  forgetVolumes(session: number, handle: number): void {
    const given = this.given.get(session) ?? [];
    this.keep(session, given.filter((each) => each.handle !== handle));
    if (session !== OWN_SESSION) return;
    for (const { file } of given.filter((each) => each.handle === handle)) {
      // One that stays is closed once more by the next daemon, which harms nobody.
      this.options.ownNames?.remove(openedName(file, process.pid)).catch((error: unknown) => this.options.log(`an open name stays recorded: ${String(error)}`));
    }
  }

  /** A client that died has left its volumes in nebd-server's table, and "in use"; from a fenced one they are taken. */
  async closeVolumes(session: number, volume?: { place: Place; name: string }): Promise<void> {
    const given = this.given.get(session) ?? [];
    const path = volume && this.volumePath(volume.place, volume.name)[0];
    this.keep(session, path === undefined ? [] : given.filter((each) => each.path !== path));
    const left = given.filter((each) => each.pid > 0 && (path === undefined || each.path === path));
    // (The one volume that is named was taken from the session by a fence.)
    const tried = new Set<string>();
    const named = (each: Given, count: number): NamedLeftover => ({
      name: openedName(each.file, each.pid, count), path: each.path, owner: each.owner, mayWrite: each.writable && path === undefined, isOwn: false,
      next: () => (count + 1 < MOST_NAMES ? [named(each, count + 1)] : []),
    });
    const isOld = ({ since }: Given): boolean => this.now() - since >= SECOND_NAME_MS;
    let open = left.flatMap((each) => (isOld(each) ? [named(each, 0), named(each, 1)] : [named(each, 0)]));
    // What is not closed in time gets no answers any more, and that is what makes a client take the next name.
    while (open.length > 0) {
      for (const { name } of open) tried.add(name);
      const closed = new Set<Leftover>(await this.leftovers.close(open));
      open = open.filter((each) => !closed.has(each)).flatMap(({ next }) => next()).filter(({ name }) => !tried.has(name));
    }
  }

  /** The volumes that sessions on this host have open, and under which names nebd-server knows them. */
  openVolumes(): OpenVolume[] {
    return [...this.given].flatMap(([session, given]) => given.map(({ path, file, pid }) => ({ session, path, name: openedName(file, pid) })));
  }

  async fenceVolume(place: Place, name: string): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    await fence(this.mds, path, owner, this.options.timeoutMs);
  }

  async limitVolume(place: Place, name: string, limits: readonly VolumeLimit[]): Promise<void> {
    const [path, owner] = this.volumePath(place, name);
    for (const { kind, limit, burst, burstSeconds } of limits) {
      await this.mds.updateThrottle(path, owner, { type: kind, limit, ...(burst > limit && limit > 0 ? { burst, burstLength: burstSeconds } : {}) });
    }
  }

  async archiveVolume(place: Place, name: string, options: { title: string; onProgress: (percent: number) => boolean }): Promise<string> {
    const [file, user] = this.volumePath(place, name);
    if (this.options.snapshotClone.length === 0) throw new ServiceError('EOPNOTSUPP', 'no snapshotcloneserver is configured (curvebs_snapshotclone)');
    return makeSnapshot({ addresses: this.options.snapshotClone, timeoutMs: this.options.timeoutMs }, { file, user, ...options });
  }

  /** Of the whole cluster: CurveBS has no quotas. ETIMEDOUT until a new leader knows its capacity (10 s). */
  async capacity(): Promise<Capacity> {
    if (this.known && performance.now() - this.known.at < CAPACITY_KEPT_MS) return this.known.capacity;
    const [totalBytes, usedBytes] = [await this.mds.variable(CAPACITY), await this.mds.variable(ALLOCATED)];
    if (totalBytes === undefined || usedBytes === undefined) {
      if (this.known) return this.known.capacity;
      throw new ServiceError('ETIMEDOUT', 'the MDS does not know its capacity yet');
    }
    const capacity = { totalBytes, usedBytes, availBytes: Math.max(0, totalBytes - usedBytes) };
    this.known = { capacity, at: performance.now() };
    return capacity;
  }

  hurry(): void {
    setTimeout(() => void this.close(), HURRY_MS).unref();
  }

  async close(): Promise<void> {
    this.mds.close();
    this.leftovers.end();
  }

  /** Sessions that an earlier daemon knew come back soon after this one began. */
  private givenSince(): number {
    const now = this.now();
    return now - this.begun < SECOND_NAME_MS ? -Infinity : now;
  }

  private async createOne(path: string, owner: string): Promise<void> {
    const found = await this.mds.find(path, owner);
    if (found !== undefined) {
      if (found.fileType !== 'INODE_DIRECTORY') throw new ServiceError('ENOTDIR', `'${path}' is a volume`);
      return;
    }
    await this.mds.createFile(path, owner, { directory: true }).catch(async (error: unknown) => {
      if (isStatus(error, 'kFileExists')) return;
      // The first level is root's to make in some clusters; root makes it and hands it over.
      if (!isStatus(error, 'kOwnerAuthFail') || !this.mds.canBeRoot) throw error;
      await this.mds.createFile(path, ROOT, { directory: true });
      await this.mds.changeOwner(path, owner);
    });
  }

  private volumePath(place: Place, name: string): [path: string, owner: string] {
    return [`${directoryPath(place.dir)}/${encodeComponent(name)}`, this.ownerOf(place)];
  }

  private ownerOf(place: Place): string {
    return encodeOwner(place.owner || this.options.owner);
  }

  private token(for_: string): string {
    return `cbd2rbd-${this.host}-${for_}-${randomBytes(6).toString('hex')}`;
  }

  private keep(session: number, given: Given[]): void {
    if (given.length > 0) this.given.set(session, given);
    else this.given.delete(session);
  }

  /** Before somebody writes to the volume: nothing of who is gone arrives at it afterwards. */
  private async settle(path: string): Promise<void> {
    for (const { name, isOwn } of await this.leftovers.settle(path)) if (isOwn) await this.options.ownNames?.remove(name);
  }
}

function isVolume(info: FileInfo): boolean {
  return info.fileType === 'INODE_PAGEFILE';
}

/** For catch(): passes over refusals that mean that it is done already. */
function unless(...statuses: string[]): (error: unknown) => void {
  return (error) => {
    if (!isStatus(error, ...statuses)) throw error;
  };
}
