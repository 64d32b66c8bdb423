// The stand-in's nebd-server on its unix socket: frames, brpc's own refusals, and the faults that tests switch on.
// Knows what a request asks for, and nothing of files.

import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { FrameReader, NOTHING, encodeFrame, type Frame } from '../../src/backend/curvebs/baidu-std.js';
import { BadMessage, MessageWriter, bytesField, numberField, readFields, type Field } from '../../src/backend/curvebs/protobuf.js';
import { NebdCrash, type Nebd, type Outcome } from './nebd.js';

const FILE_SERVICE = 'nebd.client.NebdFileService';
const HEARTBEAT_SERVICE = 'nebd.client.NebdHeartbeatService';

/** What a fault function is told of a request. */
export interface Seen {
  readonly method: string;
  /** Counts the server's requests from 1. */
  readonly count: number;
  readonly fd: number;
  readonly offset: number;
  readonly size: number;
}

/** Switches for tests; each is asked for each request. */
export interface Faults {
  /** Milliseconds to wait before the request is carried out; unequal ones also reorder. */
  delayMs?: (seen: Seen) => number;
  /** A request is carried out when what this returns resolves; CloseFile of its file waits until it is done. */
  holdUntil?: (seen: Seen) => Promise<void> | undefined;
  /** Milliseconds to keep a finished request's reply. */
  replyDelayMs?: (seen: Seen) => number;
  /** True: carried out, but never answered. */
  withhold?: (seen: Seen) => boolean;
  /** After so many bytes from or to a client (counted for each connection) the connection is cut. */
  cutAfter?: () => { received: number; sent: number };
  /** Sees every frame as it came in. */
  watch?: (frame: Frame) => void;
}

/** Runs one request of NebdFileService or NebdHeartbeatService. Throws BadMessage, and NebdCrash where the real one dies. */
async function run(nebd: Nebd, service: string, method: string, fields: Field[], attachment: Buffer): Promise<Outcome | 'unknown method'> {
  const number = (field: number): number => {
    const value = numberField(fields, field);
    if (value === undefined) throw new BadMessage(`field ${field} is missing`);
    return value;
  };
  if (service === HEARTBEAT_SERVICE && method === 'KeepAlive') {
    const infos = fields.filter((field) => field.number === 3).map((field) => readFields(field.value as Buffer));
    return nebd.keepAlive(infos.map((info) => numberField(info, 1) ?? -1));
  }
  if (service !== FILE_SERVICE) return 'unknown method';
  switch (method) {
    case 'OpenFile': {
      const name = bytesField(fields, 1);
      if (name === undefined) throw new BadMessage('no file name');
      const flags = bytesField(fields, 2);
      const exclusive = flags && numberField(readFields(flags), 1);
      return nebd.openFile(name.toString(), flags === undefined || exclusive === undefined ? 'none' : String(exclusive !== 0));
    }
    case 'CloseFile': return nebd.closeFile(number(1));
    case 'Flush':
    case 'InvalidateCache': return nebd.nothing(number(1));
    case 'GetInfo': return nebd.getInfo(number(1));
    case 'ResizeFile': return nebd.resize(number(1), number(2));
    case 'Discard': return nebd.discard(number(1), number(2), number(3));
    case 'Read': return nebd.read(number(1), number(2), number(3));
    case 'Write': return nebd.write(number(1), number(2), number(3), attachment);
    default: return 'unknown method';
  }
}

function encodeOutcome(outcome: Exclude<Outcome, 'silence'>): Buffer {
  const body = new MessageWriter().varint(1, outcome.retCode);
  if (outcome.fd !== undefined) body.varint(3, outcome.fd);
  if (outcome.info) {
    // objSize and objNums are uninitialised memory in the real one; nobody may take them for anything.
    const noise = 140_000_000_000_000 + Math.floor(Math.random() * 1e12);
    body.bytes(3, new MessageWriter().varint(1, outcome.info.size).varint(2, noise).varint(3, noise + 4096).varint(4, outcome.info.blocksize).finish());
  }
  return body.finish();
}

export class NebdServer {
  readonly faults: Faults = {};
  /** Requests of each method that came in whole. */
  readonly counts = new Map<string, number>();
  /** How many connections were taken. */
  connections = 0;
  /** Set when a request killed it: why. */
  crash: string | undefined;
  onCrash: (why: string) => void = () => undefined;

  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  private requests = 0;

  constructor(
    private readonly nebd: Nebd,
    readonly path: string,
  ) {}

  async start(): Promise<void> {
    rmSync(this.path, { force: true });
    const server = createServer((socket) => this.accept(socket));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.path, resolve));
    this.server = server;
  }

  /** As kill -9: connections end, nothing more is answered. The socket's file stays behind, as it would. */
  kill(): void {
    this.nebd.die();
    for (const socket of this.sockets) socket.destroy();
    this.server?.close();
    this.server = undefined;
  }

  /** Cuts every connection; the server goes on. */
  disconnect(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private accept(socket: Socket): void {
    this.connections++;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const reader = new FrameReader();
    const cut = this.faults.cutAfter?.() ?? { received: Infinity, sent: Infinity };
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      const kept = received <= cut.received ? chunk : chunk.subarray(0, Math.max(0, chunk.length - (received - cut.received)));
      try {
        for (const frame of reader.push(kept)) void this.take(socket, frame, cut.sent);
      } catch {
        socket.destroy();
      }
      if (kept !== chunk) socket.destroy();
    });
  }

  private async take(socket: Socket, frame: Frame, cutSent: number): Promise<void> {
    this.faults.watch?.(frame);
    const { service, method } = frame.request ?? { service: '', method: '' };
    this.counts.set(method, (this.counts.get(method) ?? 0) + 1);
    const send = (errorCode: number, body: Buffer, attachment: Buffer, errorText?: string): void => {
      if (!this.server || socket.destroyed) return;
      const bytes = encodeFrame({
        response: { errorCode, ...(errorText ? { errorText } : {}) }, compressType: 0, correlationId: frame.correlationId, body, attachment,
      });
      const room = cutSent - socket.bytesWritten;
      if (bytes.length > room) {
        socket.write(bytes.subarray(0, Math.max(0, room)), () => socket.destroy());
        return;
      }
      socket.write(bytes);
    };
    let release = (): void => undefined;
    try {
      const fields = readFields(frame.body);
      const seen = { method, count: ++this.requests, fd: Number(fields[0]?.value ?? -1), offset: Number(fields[1]?.value ?? 0), size: Number(fields[2]?.value ?? 0) };
      const delay = method === 'CloseFile' ? 0 : (this.faults.delayMs?.(seen) ?? 0);
      const held = this.faults.holdUntil?.(seen) ?? (delay > 0 ? pause(delay) : undefined);
      if (held) {
        // What is held is under way: a CloseFile that comes meanwhile waits until it is carried out. One that is held itself does not.
        if (method !== 'CloseFile') release = this.nebd.hold(seen.fd);
        await held;
        if (!this.server) return;
      }
      const outcome = await run(this.nebd, service, method, fields, frame.attachment);
      release();
      if (outcome === 'unknown method') return send(1002, NOTHING, NOTHING, `[127.0.0.1:0][E1002]Fail to find method=${service}/${method}`);
      if (outcome === 'silence' || this.faults.withhold?.(seen)) return;
      await pause(this.faults.replyDelayMs?.(seen) ?? 0);
      send(0, encodeOutcome(outcome), outcome.data ?? NOTHING);
    } catch (error) {
      if (error instanceof NebdCrash) {
        send(0, encodeOutcome({ retCode: -1 }), NOTHING);
        setImmediate(() => this.die(error.message));
      } else if (error instanceof BadMessage) {
        send(1003, NOTHING, NOTHING, `[127.0.0.1:0][E1003]Fail to parse request message, CompressType=none, request_size=${frame.body.length}`);
      } else {
        throw error;
      }
    } finally {
      release();
    }
  }

  private die(why: string): void {
    if (this.crash !== undefined) return;
    this.crash = why;
    this.kill();
    this.onCrash(why);
  }
}

function pause(ms: number): Promise<void> | undefined {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined;
}
