// The MDS's calls over HTTP and JSON: several addresses of which one leads, retries, root's signature, and its status codes as
// errnos. Knows no pool and no image.

import { createHmac } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { Agent, request as httpRequest, type RequestOptions } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { ServiceError, type ErrnoName } from '../../service/errors.js';

export interface MdsOptions {
  /** host:port of every MDS. */
  readonly addresses: readonly string[];
  /** For what only root may do; without it root's calls are refused with EPERM. */
  readonly rootPassword?: string;
  /** How long a call may take with all its retries. */
  readonly timeoutMs: number;
}

/** What a file is to the MDS. */
export interface FileInfo {
  readonly id: number;
  readonly fileName: string;
  readonly fileType: string;
  readonly owner: string;
  readonly length: number;
  readonly epoch?: number;
  readonly blocksize?: number;
  /** Of a volume that CurveBS's own tools cloned: what is not its own (yet) may be read from there. */
  readonly cloneSource?: string;
}

export interface ChunkserverAddress {
  readonly hostIp: string;
  readonly port: number;
}

type Fields = Readonly<Record<string, string | number | boolean | object>>;
type Answer = Readonly<Record<string, unknown>> & { readonly statusCode: string };

/** An answer other than kOK, with the file at fault. */
export class MdsRefusal extends ServiceError {
  constructor(readonly status: string, method: string, file: string) {
    super(ERRNO_OF[status] ?? 'EIO', `${method} of '${file}': CurveBS says ${status}`);
    this.name = 'MdsRefusal';
  }
}

const ERRNO_OF: Readonly<Record<string, ErrnoName>> = {
  kFileExists: 'EEXIST', kFileNotExists: 'ENOENT', kNotDirectory: 'ENOTDIR', kParaError: 'EINVAL', kShrinkBiggerFile: 'EINVAL',
  kExtentUnitError: 'EINVAL', kNotSupported: 'EOPNOTSUPP', kOwnerAuthFail: 'EPERM', kDirNotEmpty: 'ENOTEMPTY', kFileUnderSnapShot: 'EBUSY',
  kFileOccupied: 'EBUSY', kFileIdNotMatch: 'ESTALE', kFileUnderDeleting: 'EBUSY', kFileLengthNotSupported: 'ENOSPC',
  kDeleteFileBeingCloned: 'EBUSY', kPoolsetNotExist: 'EINVAL', kStorageError: 'EIO', kInternalError: 'EIO',
};

/** An MDS that does not answer for so long is taken for gone. */
const ATTEMPT_MS = 3000;
const PAUSE_BETWEEN_ROUNDS_MS = 100;
const SERVICE = '/curve.mds.CurveFSService';
export const ROOT = 'root';

interface HttpReply {
  readonly status: number;
  readonly body: string;
}

export class MdsClient {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 16 });
  private leader = 0;
  private readonly ending = new AbortController();

  constructor(private readonly options: MdsOptions) {
    // Each call listens to it for as long as it lasts.
    setMaxListeners(0, this.ended);
  }

  /** Makes a file or directory. Repeating it after a lost answer gives kFileExists; the caller knows whether that is his. */
  async createFile(path: string, owner: string, what: { directory: true } | { length: number }): Promise<void> {
    const type = 'directory' in what ? { fileType: 'INODE_DIRECTORY' } : { fileType: 'INODE_PAGEFILE', fileLength: what.length };
    await this.call('CreateFile', owner, { fileName: path, ...type });
  }

  async getFileInfo(path: string, owner: string): Promise<FileInfo> {
    return checkInfo((await this.call('GetFileInfo', owner, { fileName: path }))['fileInfo'], path);
  }

  async listDir(path: string, owner: string): Promise<FileInfo[]> {
    const found = (await this.call('ListDir', owner, { fileName: path }))['fileInfo'];
    return Array.isArray(found) ? found.map((each: unknown) => checkInfo(each, path)) : [];
  }

  /** Into the recycle bin, never out of it: a path in it, or the bin itself, is refused here. */
  async deleteFile(path: string, owner: string, fileId?: number): Promise<void> {
    if (path === '/' || path === '/RecycleBin' || path.startsWith('/RecycleBin/')) throw new ServiceError('EPERM', `'${path}' is not to be deleted`);
    await this.call('DeleteFile', owner, { fileName: path, ...(fileId === undefined ? {} : { fileId }) });
  }

  async extendFile(path: string, owner: string, newSize: number): Promise<void> {
    await this.call('ExtendFile', owner, { fileName: path, newSize });
  }

  /**
   * Renames a volume; EEXIST where the new name is taken. CurveBS itself would put what is in the way into the recycle bin, so the
   * new name is reserved first with a volume of our own: creation is atomic in the MDS, and from then on nobody else can make
   * anything under that name that the rename could replace. What the rename puts into the recycle bin is that empty volume.
   */
  async renameFile(from: string, to: string, owner: string): Promise<void> {
    const source = await this.getFileInfo(from, owner);
    if (source.fileType !== 'INODE_PAGEFILE') throw new MdsRefusal('kNotSupported', 'RenameFile', from);
    await this.createFile(to, owner, { length: SMALLEST });
    const reserved = await this.getFileInfo(to, owner);
    try {
      await this.call('RenameFile', owner, { oldFileName: from, newFileName: to, oldFileId: source.id, newFileId: reserved.id });
    } catch (error) {
      await this.deleteFile(to, owner, reserved.id).catch(() => undefined);
      throw error;
    }
  }

  /** Nothing where there is no such file. */
  async find(path: string, owner: string): Promise<FileInfo | undefined> {
    try {
      return await this.getFileInfo(path, owner);
    } catch (error) {
      if (isStatus(error, 'kFileNotExists')) return undefined;
      throw error;
    }
  }

  /** Bytes: whole segments that were touched; of a directory all below it. */
  async getAllocatedSize(path: string): Promise<number> {
    return Number((await this.call('GetAllocatedSize', undefined, { fileName: path }))['allocatedSize'] ?? 0);
  }

  /** Who has it open, as host:port; known from 1.25 s after the opening on. */
  async findMountPoints(path: string): Promise<string[]> {
    try {
      const found = (await this.call('FindFileMountPoint', undefined, { fileName: path }))['clientInfo'];
      return Array.isArray(found) ? (found as Array<{ ip: string; port: number }>).map(({ ip, port }) => `${ip}:${port}`) : [];
    } catch (error) {
      if (isStatus(error, 'kFileNotExists')) return [];
      throw error;
    }
  }

  /** Whether the 1 GiB segment at `offset` takes space. CurveBS's own client takes one that does not for zeroes, by the same call. */
  async isAllocated(path: string, owner: string, offset: number): Promise<boolean> {
    try {
      await this.call('GetOrAllocateSegment', owner, { fileName: path, offset, allocateIfNotExist: false });
      return true;
    } catch (error) {
      if (isStatus(error, 'kSegmentNotAllocated')) return false;
      throw error;
    }
  }

  /** Raises the volume's epoch. By itself that fences nobody: the chunkservers in the answer have to be told. */
  async increaseEpoch(path: string, owner: string): Promise<{ info: FileInfo; chunkservers: ChunkserverAddress[] }> {
    const answer = await this.call('IncreaseFileEpoch', owner, { fileName: path });
    return { info: checkInfo(answer['fileInfo'], path), chunkservers: (answer['csLocs'] as ChunkserverAddress[] | undefined) ?? [] };
  }

  /** Hands the owner's directory to him: only root may, and only an empty one. */
  async changeOwner(path: string, owner: string): Promise<void> {
    await this.call('ChangeOwner', ROOT, { fileName: path, newOwner: owner, rootOwner: ROOT });
  }

  /** A limit that the volume's clients keep; 0: none. */
  async updateThrottle(path: string, owner: string, params: { type: string; limit: number; burst?: number; burstLength?: number }): Promise<void> {
    await this.call('UpdateFileThrottleParams', owner, { fileName: path, throttleParams: params });
  }

  get canBeRoot(): boolean {
    return this.options.rootPassword !== undefined;
  }

  /** A number among the leader's variables; undefined where it does not have it (yet). */
  async variable(name: string): Promise<number | undefined> {
    const { status, body } = await this.reach(`/vars/${name}?console=1`, undefined);
    if (status !== 200) return undefined;
    const value = Number(body.slice(body.indexOf(':') + 1).trim());
    return Number.isFinite(value) ? value : undefined;
  }

  /** Aborted when nobody waits for CurveBS any more. */
  get ended(): AbortSignal {
    return this.ending.signal;
  }

  /** What still waits for an answer, and every later call, fails with ESHUTDOWN. */
  close(): void {
    this.ending.abort();
    this.agent.destroy();
  }

  /** Waits, but not past `close`. */
  async pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.ended }).catch(() => undefined);
  }

  private async call(method: string, owner: string | undefined, fields: Fields): Promise<Answer> {
    const date = Date.now() * 1000;
    const file = String(fields['fileName'] ?? fields['oldFileName']);
    const identity = owner === undefined ? {} : this.sign(owner, date, method, file);
    const { status, body } = await this.reach(`${SERVICE}/${method}`, JSON.stringify({ ...fields, ...identity }));
    if (status !== 200) throw new ServiceError(status === 404 ? 'EOPNOTSUPP' : 'EIO', `${method} of '${file}': the MDS answers ${status} ${body.slice(0, 200)}`);
    let answer: unknown;
    try {
      answer = JSON.parse(body);
    } catch {
      throw new ServiceError('EIO', `${method} of '${file}': the MDS's answer is no JSON`);
    }
    const code = (answer as { statusCode?: unknown } | null)?.statusCode;
    if (typeof code !== 'string') throw new ServiceError('EIO', `${method} of '${file}': the MDS's answer has no statusCode`);
    if (code !== 'kOK') throw new MdsRefusal(code, method, file);
    return answer as Answer;
  }

  private sign(owner: string, date: number, method: string, file: string): Fields {
    const who: Fields = method === 'ChangeOwner' ? { date } : { owner, date };
    if (owner !== ROOT) return who;
    if (this.options.rootPassword === undefined) throw new ServiceError('EPERM', `${method} of '${file}' needs the password of CurveBS's root (curvebs_root_password_file)`);
    return { ...who, signature: createHmac('sha256', this.options.rootPassword).update(`${date}:${ROOT}`).digest('base64') };
  }

  /** Asks the MDS that led last, then the others, until one answers or time is up: only the leader listens. */
  private async reach(path: string, body: string | undefined): Promise<HttpReply> {
    const { addresses, timeoutMs } = this.options;
    const deadline = performance.now() + timeoutMs;
    let last = 'none is configured';
    for (let tried = 0; addresses.length > 0; tried++) {
      if (this.ended.aborted) throw new ServiceError('ESHUTDOWN', `the daemon ends, and no MDS of CurveBS had answered (${last})`);
      const left = deadline - performance.now();
      if (left <= 0) break;
      const address = addresses[this.leader % addresses.length]!;
      try {
        return await this.once(address, path, body, Math.min(ATTEMPT_MS, left));
      } catch (error) {
        last = `${address}: ${error instanceof Error ? error.message : String(error)}`;
      }
      this.leader = (this.leader + 1) % addresses.length;
      if (tried % addresses.length === addresses.length - 1) await this.pause(Math.min(PAUSE_BETWEEN_ROUNDS_MS, Math.max(1, deadline - performance.now())));
    }
    throw new ServiceError('ETIMEDOUT', `no MDS of CurveBS answers (${last})`);
  }

  private once(address: string, path: string, body: string | undefined, timeoutMs: number): Promise<HttpReply> {
    const colon = address.lastIndexOf(':');
    const options: RequestOptions = {
      agent: this.agent, signal: this.ended, host: address.slice(0, colon), port: Number(address.slice(colon + 1)), path, method: body === undefined ? 'GET' : 'POST', timeout: timeoutMs,
      ...(body === undefined ? {} : { headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } }),
    };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${Math.round(timeoutMs)} ms`)), timeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      const request = httpRequest(options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
        });
      });
      request.on('error', fail);
      request.end(body);
    });
  }
}

const SMALLEST = 10 * 1024 ** 3;

export function isStatus(error: unknown, ...statuses: string[]): boolean {
  return error instanceof MdsRefusal && statuses.includes(error.status);
}

function checkInfo(value: unknown, path: string): FileInfo {
  const info = value as Partial<FileInfo> | null | undefined;
  if (typeof info?.id !== 'number' || typeof info.fileName !== 'string' || typeof info.fileType !== 'string') {
    throw new ServiceError('EIO', `the MDS's answer about '${path}' has no file information`);
  }
  return { length: 0, owner: '', ...info } as FileInfo;
}
