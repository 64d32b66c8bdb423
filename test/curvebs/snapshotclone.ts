// The stand-in's snapshotcloneserver: CurveBS's own snapshots over HTTP. It copies nothing to any S3; a snapshot takes a
// time that grows with the data, as there, and goes through the same states.

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from './clock.js';
import type { Mds } from './mds.js';

interface Snapshot {
  UUID: string;
  User: string;
  File: string;
  Name: string;
  SeqNum: number;
  Time: number;
  FileLength: number;
  /** 0 done, 1 pending, 2 deleting, 5 error. */
  Status: number;
  Progress: number;
  /** The volume's number. */
  volume: number;
  /** How long its copying takes, by the stand-in's clock. */
  takesMs: number;
  /** When that began: the first time that somebody looks, so that he sees it under way however late he comes. */
  begunAt?: number;
}

/** Copying one touched segment takes this long. */
const MS_PER_SEGMENT = 300;

class Refusal extends Error {
  constructor(readonly http: number, readonly code: string, message: string) {
    super(message);
  }
}

export class SnapshotCloneServer {
  private readonly server: Server;
  private snapshots: Snapshot[] = [];

  constructor(
    private readonly mds: Mds,
    private readonly clock: Clock,
    private readonly port: number,
    private readonly file: string,
  ) {
    if (existsSync(file)) this.snapshots = JSON.parse(readFileSync(file, 'utf8')) as Snapshot[];
    this.server = createServer((request, response) => {
      const { http, body } = this.answer(new URL(request.url ?? '/', 'http://snapshotclone'));
      const text = JSON.stringify(body);
      response.writeHead(http, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }).end(text);
    });
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => this.server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private answer(url: URL): { http: number; body: object } {
    const RequestId = randomUUID();
    try {
      if (url.pathname !== '/SnapshotCloneService') throw new Refusal(404, '-1', 'no such service');
      return { http: 200, body: { Code: '0', Message: 'Exec success.', RequestId, ...this.run(url.searchParams) } };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { http: error.http, body: { Code: error.code, Message: error.message, RequestId } };
    }
  }

  private run(query: URLSearchParams): object {
    const need = (name: string): string => {
      const value = query.get(name);
      if (value === null || value === '') throw new Refusal(400, '-5', 'Invalid Param.');
      return value;
    };
    if (need('Version') !== '0.0.6') throw new Refusal(400, '-5', 'Invalid Param.');
    const user = need('User');
    switch (need('Action')) {
      case 'CreateSnapshot': return { UUID: this.create(user, need('File'), need('Name')) };
      case 'DeleteSnapshot':
      case 'CancelSnapshot': return this.remove(user, need('UUID'));
      case 'GetFileSnapshotInfo': return this.list(user, need('File'), query);
      default: throw new Refusal(400, '-5', 'Invalid Param.');
    }
  }

  /** Every snapshot, in the order of creation. */
  all(): Array<{ UUID: string; User: string; File: string; Name: string; Status: number }> {
    return this.snapshots.map((each) => this.show(each) as Snapshot);
  }

  /** Bytes of the volume that a snapshot was made of: volumes that are gone are in the recycle bin. */
  async data(uuid: string, offset: number, length: number): Promise<Buffer> {
    const volume = this.snapshots.find((each) => each.UUID === uuid)?.volume;
    if (volume === undefined) throw new Error(`no snapshot ${uuid}`);
    return this.mds.data.read(volume, offset, length);
  }

  private create(user: string, file: string, name: string): string {
    const inode = this.mds.find(file, user);
    if (!inode) {
      const known = this.mds.call('GetFileSize', { fileName: file }).statusCode === 'kOK';
      throw known ? new Refusal(500, '-7', 'Invalid user.') : new Refusal(500, '-8', 'File not exist.');
    }
    const same = this.snapshots.find((each) => each.File === file && each.Name === name);
    if (same) return same.UUID;
    const segments = this.mds.data.segments(inode.id).length;
    const snapshot: Snapshot = {
      UUID: randomUUID(), User: user, File: file, Name: name, SeqNum: this.snapshots.length + 1, Time: this.clock.now() * 1000,
      FileLength: inode.length ?? 0, Status: 1, Progress: 0, takesMs: segments * MS_PER_SEGMENT, volume: inode.id,
    };
    this.snapshots.push(snapshot);
    this.save();
    return snapshot.UUID;
  }

  private remove(user: string, uuid: string): object {
    const snapshot = this.snapshots.find((each) => each.UUID === uuid);
    if (!snapshot) throw new Refusal(500, '-8', 'File not exist.');
    if (snapshot.User !== user) throw new Refusal(500, '-7', 'Invalid user.');
    this.snapshots = this.snapshots.filter((each) => each !== snapshot);
    this.save();
    return {};
  }

  private list(user: string, file: string, query: URLSearchParams): object {
    const offset = Number(query.get('Offset') ?? 0);
    const limit = Number(query.get('Limit') ?? 10);
    const uuid = query.get('UUID');
    const found = this.snapshots.filter((each) => each.File === file && each.User === user && (uuid === null || each.UUID === uuid));
    for (const each of found) each.begunAt ??= this.clock.now();
    return { TotalCount: found.length, Snapshots: found.slice(offset, offset + limit).map((each) => this.show(each)) };
  }

  private show(snapshot: Snapshot): object {
    const { takesMs, begunAt, volume, ...shown } = snapshot;
    const part = takesMs === 0 ? 1 : (begunAt === undefined ? 0 : (this.clock.now() - begunAt) / takesMs);
    return part >= 1 ? { ...shown, Status: 0, Progress: 100 } : { ...shown, Status: 1, Progress: Math.floor(part * 100) };
  }

  private save(): void {
    writeFileSync(this.file, JSON.stringify(this.snapshots));
  }
}
