// The stand-in's MDS: what each call of curve.mds.CurveFSService answers, as a real CurveBS 2.7 was seen to. Requests and
// answers are the objects of its JSON; sockets and encodings are mds-server.ts's business.

import { createHmac } from 'node:crypto';
import type { Clock } from './clock.js';
import { GIB, RECYCLE_BIN_ID, ROOT_ID, type Inode, type Namespace, type Throttle } from './namespace.js';
import type { VolumeData } from './volume-data.js';

export interface MdsOptions {
  readonly rootPassword: string;
  /** Logical capacity of the cluster, bytes. */
  readonly capacity: number;
  readonly blockSize: number;
  readonly poolset: string;
  readonly chunkservers: () => Array<{ hostIp: string; port: number }>;
  /** How old a request's date may be. */
  readonly maxRequestAgeMs: number;
}

export type Request = Record<string, unknown>;
export interface Answer {
  statusCode: string;
  [field: string]: unknown;
}

/** A client (a nebd-server's libcurve) that has a volume open. */
export interface Mount {
  readonly ip: string;
  readonly port: number;
  /** When the session was first refreshed; before that nobody knows of it. */
  knownFrom: number;
  /** When it lapses, where it is no longer refreshed. */
  lapsesAt: number;
}

const MIN_LENGTH = 10 * GIB;
const MAX_LENGTH = 20 * 1024 * GIB;
/** "In use" is known after the first refresh of a session. */
export const FIRST_REFRESH_MS = 1250;
export const LEASE_MS = 5000;

class Status extends Error {
  constructor(readonly statusCode: string) {
    super(statusCode);
  }
}

/** The fields that a request must have; without one the body does not parse (HTTP 400, brpc 1003). */
export const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  CreateFile: ['fileName', 'owner', 'fileType', 'date'], GetFileInfo: ['fileName', 'owner', 'date'], ListDir: ['fileName', 'owner', 'date'],
  DeleteFile: ['fileName', 'owner', 'date'], RecoverFile: ['fileName', 'owner', 'date'], ExtendFile: ['fileName', 'newSize', 'owner', 'date'],
  RenameFile: ['oldFileName', 'newFileName', 'owner', 'date'], ChangeOwner: ['fileName', 'newOwner', 'rootOwner', 'signature', 'date'],
  UpdateFileThrottleParams: ['fileName', 'owner', 'date', 'throttleParams'], GetAllocatedSize: ['fileName'], GetFileSize: ['fileName'],
  GetOrAllocateSegment: ['fileName', 'owner', 'offset', 'allocateIfNotExist', 'date'],
  FindFileMountPoint: ['fileName'], IncreaseFileEpoch: ['fileName', 'owner', 'date'], CreateSnapShot: ['fileName', 'owner', 'date'],
  ListSnapShot: ['fileName', 'owner', 'date'], DeleteSnapShot: ['fileName', 'owner', 'date', 'seq'], CheckSnapShotStatus: ['fileName', 'owner', 'date', 'seq'],
};

export class Mds {
  private readonly mounts = new Map<number, Set<Mount>>();
  private readonly snapshots = new Map<number, Inode[]>();

  constructor(
    readonly files: Namespace,
    readonly data: VolumeData,
    private readonly clock: Clock,
    readonly options: MdsOptions,
  ) {}

  knows(method: string): boolean {
    return method in REQUIRED;
  }

  /** Never throws: a refusal is a status. */
  call(method: string, request: Request): Answer {
    try {
      return { statusCode: 'kOK', ...this.run(method, request) };
    } catch (error) {
      if (error instanceof Status) return { statusCode: error.statusCode };
      throw error;
    }
  }

  /** The volume that a nebd-server may open under that path and owner; nothing where OpenFile would fail. */
  find(path: string, owner: string): Inode | undefined {
    try {
      const inode = this.resolve(path);
      this.checkOwner(path, { owner });
      return inode.fileType === 'INODE_PAGEFILE' ? inode : undefined;
    } catch {
      return undefined;
    }
  }

  mount(volume: number, port: number): Mount {
    const mount = { ip: '127.0.0.1', port, knownFrom: this.clock.now() + FIRST_REFRESH_MS, lapsesAt: Infinity };
    const known = this.mounts.get(volume) ?? new Set();
    this.mounts.set(volume, known.add(mount));
    return mount;
  }

  unmount(volume: number, mount: Mount): void {
    this.mounts.get(volume)?.delete(mount);
  }

  allocated(): number {
    return this.files.volumes().reduce((sum, inode) => sum + this.allocatedBelow(inode), 0);
  }

  private run(method: string, request: Request): Partial<Answer> {
    switch (method) {
      case 'CreateFile': return this.createFile(request);
      case 'GetFileInfo': return this.getFileInfo(request);
      case 'ListDir': return this.listDir(request);
      case 'DeleteFile': return this.deleteFile(request);
      case 'RecoverFile': return this.recoverFile(request);
      case 'ExtendFile': return this.extendFile(request);
      case 'RenameFile': return this.renameFile(request);
      case 'ChangeOwner': return this.changeOwner(request);
      case 'UpdateFileThrottleParams': return this.updateThrottle(request);
      case 'GetAllocatedSize': return this.getAllocatedSize(request);
      case 'GetFileSize': return { fileSize: this.files.volumesBelow(this.resolve(text(request, 'fileName'))).reduce((sum, inode) => sum + (inode.length ?? 0), 0) };
      case 'GetOrAllocateSegment': return this.getSegment(request);
      case 'FindFileMountPoint': return this.findMountPoint(request);
      case 'IncreaseFileEpoch': return this.increaseEpoch(request);
      case 'CreateSnapShot': return this.createSnapshot(request);
      case 'ListSnapShot': return this.listSnapshots(request);
      case 'DeleteSnapShot': return this.deleteSnapshot(request);
      case 'CheckSnapShotStatus': return this.checkSnapshot(request);
      default: throw new Error(`no method ${method}`);
    }
  }

  private createFile(request: Request): Partial<Answer> {
    const path = text(request, 'fileName');
    const { parent, name } = this.parentOf(path);
    this.checkOwner(path, request, 'parent');
    if (this.files.child(parent.id, name)) throw new Status('kFileExists');
    const isDirectory = request['fileType'] === 'INODE_DIRECTORY' || request['fileType'] === 0;
    const length = isDirectory ? 0 : Number(request['fileLength'] ?? 0);
    if (!isDirectory) {
      const poolset = request['poolset'] ?? this.options.poolset;
      if (poolset !== '' && poolset !== this.options.poolset) throw new Status('kPoolsetNotExist');
      this.checkLength(length);
      if (length > this.options.capacity - this.allocated()) throw new Status('kFileLengthNotSupported');
    }
    this.files.put({
      id: this.files.newId(), fileName: name, parentId: parent.id, fileType: isDirectory ? 'INODE_DIRECTORY' : 'INODE_PAGEFILE',
      owner: text(request, 'owner'), chunkSize: 16 * 1024 ** 2, segmentSize: GIB, length, ctime: this.clock.now() * 1000, seqNum: 1,
      fileStatus: 'kFileCreated', stripeUnit: Number(request['stripeUnit'] ?? 0), stripeCount: Number(request['stripeCount'] ?? 0),
      ...(isDirectory ? {} : { throttleParams: { throttleParams: defaultThrottle() } }),
      poolset: isDirectory ? '' : this.options.poolset, blocksize: this.options.blockSize,
    });
    return {};
  }

  private getFileInfo(request: Request): Partial<Answer> {
    return { fileInfo: this.authorised(request) };
  }

  private listDir(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    if (inode.fileType !== 'INODE_DIRECTORY') throw new Status('kNotDirectory');
    const found = this.files.list(inode.id).filter((each) => each.fileType !== 'INODE_SNAPSHOT_PAGEFILE');
    return found.length > 0 ? { fileInfo: found } : {};
  }

  private deleteFile(request: Request): Partial<Answer> {
    const path = text(request, 'fileName');
    const inode = this.authorised(request);
    const force = request['forceDelete'] === true;
    if (inode.id === ROOT_ID) throw new Status('kParaError');
    // The real MDS lets root delete the recycle bin itself. A client that tries is broken, and must be seen to be.
    if (inode.id === RECYCLE_BIN_ID) throw new Error('somebody deletes /RecycleBin');
    if (inode.fileType === 'INODE_DIRECTORY') {
      if (this.files.list(inode.id).length > 0) throw new Status('kDirNotEmpty');
      this.files.drop(inode.id);
      return {};
    }
    if (request['fileId'] !== undefined && Number(request['fileId']) !== inode.id) throw new Status('kFileIdNotMatch');
    if (this.isOccupied(inode)) throw new Status('kFileOccupied');
    if (inode.fileStatus === 'kFileBeingCloned') throw new Status('kDeleteFileBeingCloned');
    if ((this.snapshots.get(inode.id) ?? []).length > 0) throw new Status('kFileUnderSnapShot');
    if (inode.parentId === RECYCLE_BIN_ID) {
      if (!force || text(request, 'owner') !== 'root') throw new Status('kNotSupported');
      this.files.drop(inode.id);
      void this.data.remove(inode.id);
      return {};
    }
    if (force) throw new Status('kNotSupported');
    this.recycle(inode, path);
    return {};
  }

  private recycle(inode: Inode, path: string): void {
    const fileName = `${inode.fileName}-${inode.id}-${Math.floor(this.clock.now() / 1000)}`;
    this.files.put({ ...inode, fileName, parentId: RECYCLE_BIN_ID, originalFullPathName: path });
  }

  private recoverFile(request: Request): Partial<Answer> {
    const path = text(request, 'fileName');
    const { parent, name } = this.parentOf(path);
    this.checkOwner(path, request, 'parent');
    if (this.files.child(parent.id, name)) throw new Status('kFileExists');
    const lost = this.files.list(RECYCLE_BIN_ID).filter((inode) => inode.originalFullPathName === path).at(-1);
    if (lost === undefined) throw new Status('kFileNotExists');
    const found: Inode = { ...lost, fileName: name, parentId: parent.id };
    delete found.originalFullPathName;
    this.files.put(found);
    return {};
  }

  private extendFile(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    this.extend(inode, Number(request['newSize']));
    return {};
  }

  /** Also behind nebd's ResizeFile. Throws where it cannot be. */
  extend(inode: Inode, size: number): void {
    if (inode.fileType !== 'INODE_PAGEFILE') throw new Status('kNotSupported');
    if (size < (inode.length ?? 0)) throw new Status('kShrinkBiggerFile');
    if (size === inode.length) return;
    if (size % GIB !== 0) throw new Status('kExtentUnitError');
    this.checkLength(size);
    this.files.put({ ...inode, length: size });
  }

  private renameFile(request: Request): Partial<Answer> {
    const [from, to] = [text(request, 'oldFileName'), text(request, 'newFileName')];
    const inode = this.resolve(from);
    this.checkOwner(from, request);
    const { parent, name } = this.parentOf(to);
    this.checkOwner(to, request, 'parent');
    if (inode.fileType !== 'INODE_PAGEFILE') throw new Status('kNotSupported');
    for (const [field, wanted] of [['oldFileId', inode.id], ['newFileId', this.files.child(parent.id, name)?.id ?? 0]] as const) {
      if (request[field] !== undefined && Number(request[field]) !== 0 && Number(request[field]) !== wanted) throw new Status('kFileIdNotMatch');
    }
    if (this.isOccupied(inode)) throw new Status('kFileOccupied');
    const target = this.files.child(parent.id, name);
    if (target?.id === inode.id) return {};
    if (target) {
      if (target.fileType !== 'INODE_PAGEFILE') throw new Status('kFileExists');
      if (this.isOccupied(target)) throw new Status('kFileOccupied');
      this.recycle(target, to);
    }
    this.files.put({ ...inode, fileName: name, parentId: parent.id });
    return {};
  }

  private changeOwner(request: Request): Partial<Answer> {
    if (request['rootOwner'] !== 'root') throw new Status('kOwnerAuthFail');
    const inode = this.resolve(text(request, 'fileName'));
    this.checkSignature(request);
    if (inode.fileType === 'INODE_DIRECTORY' && this.files.list(inode.id).length > 0) throw new Status('kDirNotEmpty');
    if (this.isOccupied(inode)) throw new Status('kFileOccupied');
    this.files.put({ ...inode, owner: text(request, 'newOwner') });
    return {};
  }

  private updateThrottle(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    const wanted = request['throttleParams'] as Throttle;
    const others = (inode.throttleParams?.throttleParams ?? []).filter((each) => each.type !== wanted.type);
    this.files.put({ ...inode, throttleParams: { throttleParams: [...others, wanted] } });
    return {};
  }

  private getAllocatedSize(request: Request): Partial<Answer> {
    const allocated = this.allocatedBelow(this.resolve(text(request, 'fileName')));
    return { allocatedSize: allocated, ...(allocated > 0 ? { allocSizeMap: [{ key: 2, value: allocated }] } : {}) };
  }

  private allocatedBelow(inode: Inode): number {
    return this.files.volumesBelow(inode).reduce((sum, each) => sum + this.data.segments(each.id).length * GIB, 0);
  }

  /** Only whether there is one: where its chunks are is no client's business here. */
  private getSegment(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    const offset = Number(request['offset']);
    if (offset % GIB !== 0 || offset >= (inode.length ?? 0)) throw new Status('kParaError');
    if (request['allocateIfNotExist'] !== false) throw new Status('kNotSupported');
    if (!this.data.segments(inode.id).includes(offset / GIB)) throw new Status('kSegmentNotAllocated');
    return { pageFileSegment: { logicalPoolID: 2, segmentSize: GIB, chunkSize: 16 * 1024 ** 2, startOffset: offset } };
  }

  private findMountPoint(request: Request): Partial<Answer> {
    const inode = this.resolve(text(request, 'fileName'));
    const known = [...(this.mounts.get(inode.id) ?? [])].filter((mount) => this.isKnown(mount));
    if (known.length === 0) throw new Status('kFileNotExists');
    return { clientInfo: known.map(({ ip, port }) => ({ ip, port })) };
  }

  private increaseEpoch(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    if (inode.fileType !== 'INODE_PAGEFILE') throw new Status('kNotSupported');
    const raised = { ...inode, epoch: (inode.epoch ?? 0) + 1 };
    this.files.put(raised);
    return { fileInfo: raised, csLocs: this.options.chunkservers() };
  }

  private createSnapshot(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    const known = this.snapshots.get(inode.id) ?? [];
    if (known[0]) return { statusCode: 'kFileUnderSnapShot', snapShotFileInfo: known[0] };
    const { poolset, blocksize, throttleParams, stripeUnit, stripeCount, ...rest } = inode;
    const snapshot = {
      ...rest, id: this.files.newId(), fileName: `${inode.fileName}-${inode.seqNum ?? 1}`, parentId: inode.id,
      fileType: 'INODE_SNAPSHOT_PAGEFILE', ctime: this.clock.now() * 1000, stripeUnit, stripeCount, throttleParams, poolset, blocksize,
    } as Inode;
    this.snapshots.set(inode.id, [snapshot]);
    this.files.put({ ...inode, seqNum: (inode.seqNum ?? 1) + 1 });
    return { snapShotFileInfo: snapshot };
  }

  private listSnapshots(request: Request): Partial<Answer> {
    const known = this.snapshots.get(this.authorised(request).id) ?? [];
    return known.length > 0 ? { fileInfo: known } : {};
  }

  private deleteSnapshot(request: Request): Partial<Answer> {
    const inode = this.authorised(request);
    const known = this.snapshots.get(inode.id) ?? [];
    const kept = known.filter((snapshot) => ![request['seq']].flat().map(Number).includes(snapshot.seqNum ?? 0));
    if (kept.length === known.length) throw new Status('kSnapshotFileNotExists');
    this.snapshots.set(inode.id, kept);
    return {};
  }

  private checkSnapshot(request: Request): Partial<Answer> {
    const known = this.snapshots.get(this.authorised(request).id) ?? [];
    if (!known.some((snapshot) => snapshot.seqNum === Number(request['seq']))) throw new Status('kSnapshotFileNotExists');
    return { fileStatus: 'kFileCreated' };
  }

  private checkLength(length: number): void {
    if (length < MIN_LENGTH || length % GIB !== 0 || length > MAX_LENGTH) throw new Status('kFileLengthNotSupported');
  }

  private isKnown(mount: Mount): boolean {
    return mount.knownFrom <= this.clock.now() && this.clock.now() < mount.lapsesAt;
  }

  private isOccupied(inode: Inode): boolean {
    return [...(this.mounts.get(inode.id) ?? [])].some((mount) => this.isKnown(mount));
  }

  private authorised(request: Request): Inode {
    const path = text(request, 'fileName');
    const inode = this.resolve(path);
    this.checkOwner(path, request);
    return inode;
  }

  private resolve(path: string): Inode {
    if (path === '/') return this.files.get(ROOT_ID)!;
    const { parent, name } = this.parentOf(path);
    const inode = this.files.child(parent.id, name);
    if (!inode) throw new Status('kFileNotExists');
    return inode;
  }

  private parentOf(path: string): { parent: Inode; name: string } {
    const names = path.split('/').slice(1);
    const name = names.pop();
    if (!path.startsWith('/') || !name || names.includes('')) throw new Status('kParaError');
    let parent = this.files.get(ROOT_ID)!;
    for (const each of names) {
      const next = this.files.child(parent.id, each);
      if (!next) throw new Status('kFileNotExists');
      if (next.fileType !== 'INODE_DIRECTORY') throw new Status('kNotDirectory');
      parent = next;
    }
    return { parent, name };
  }

  /** Compares the owner on every level below the root, or checks root's signature. */
  private checkOwner(path: string, request: Request, upTo: 'whole' | 'parent' = 'whole'): void {
    const owner = text(request, 'owner');
    if (owner === 'root') return this.checkSignature(request);
    const names = path.split('/').slice(1).filter((name) => name !== '');
    if (upTo === 'parent') names.pop();
    if (names.length === 0 && upTo === 'whole') throw new Status('kOwnerAuthFail');
    let inode = this.files.get(ROOT_ID)!;
    for (const name of names) {
      inode = this.files.child(inode.id, name) ?? inode;
      if (inode.owner !== owner) throw new Status('kOwnerAuthFail');
    }
    this.checkDate(request);
  }

  private checkSignature(request: Request): void {
    const date = String(request['date']);
    const wanted = createHmac('sha256', this.options.rootPassword).update(`${date}:root`).digest('base64');
    if (request['signature'] !== wanted) throw new Status('kOwnerAuthFail');
    this.checkDate(request);
  }

  private checkDate(request: Request): void {
    if (request['date'] === undefined) return;
    if (this.clock.now() - Number(request['date']) / 1000 > this.options.maxRequestAgeMs) throw new Status('kOwnerAuthFail');
  }
}

function text(request: Request, field: string): string {
  const value = request[field];
  return typeof value === 'string' ? value : '';
}

function defaultThrottle(): Throttle[] {
  return [{ type: 'IOPS_TOTAL', limit: 2000 }, { type: 'BPS_TOTAL', limit: 125829120 }];
}
