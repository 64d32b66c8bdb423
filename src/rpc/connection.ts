// JSON-RPC 2.0, one object per line, on one socket, both ways, with descriptors (docs/protocol.md). It knows nothing of
// sessions or methods.
import type { Socket } from 'node:net';
import { maxDescriptors, sendDescriptors } from '../native/addon.js';
import { Errno, ServiceError } from '../service/errors.js';
import { ConnectionLost, type Passed } from '../service/sessions.js';

/** A request's answer. `fds` are sent before it and belong to the caller until `sent` is called. */
export interface Answer {
  readonly result: object;
  readonly fds?: readonly number[];
  readonly sent?: () => void;
}

export type Handler = (method: string, params: Record<string, unknown>) => Promise<Answer>;

/** A refusal that came back from the other side. */
export class RemoteError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
    this.name = 'RemoteError';
  }
}

interface Frame {
  readonly text: string;
  readonly fds: readonly number[];
  readonly sent?: (() => void) | undefined;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

const newline = 0x0a;
const maxFrameBytes = 16 * 1024 * 1024;
const maxInFlight = 256;
/** Of requests beyond those. Answers to what the daemon asks come on the same socket, and what is in flight may wait for one. */
const maxHeldBytes = 64 * 1024 * 1024;
const maxUnsentBytes = 4 * 1024 * 1024;
/** Who leaves so much of what the daemon asks of him unread or unanswered is cut off; he comes back and takes up his images anew. */
const maxUnreadBytes = 64 * 1024 * 1024;
const maxUnreadDescriptors = 256;
const maxUnanswered = 100_000;
/** How long one who sent too large a frame may take to read the answer, and how much more he may send meanwhile. */
const partingMs = 2000;
const maxPartingBytes = 64 * 1024 * 1024;

export class Connection {
  /** Resolves when the socket is gone, for whatever reason. */
  readonly closed: Promise<void>;
  private readonly parts: Buffer[] = [];
  private partBytes = 0;
  private readonly outgoing: Frame[] = [];
  private sending = false;
  /** Of frames that wait here: what is in the socket's own queue counts there. */
  private queuedBytes = 0;
  private queuedDescriptors = 0;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private inFlight = 0;
  private readonly held: { message: Record<string, unknown>; method: string; bytes: number }[] = [];
  private heldBytes = 0;
  private over = false;

  constructor(private readonly socket: Socket, private readonly handler: Handler) {
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.over = true;
        for (const { reject } of this.waiting.values()) reject(new ConnectionLost());
        this.waiting.clear();
        for (const frame of this.outgoing.splice(0)) this.done(frame);
        resolve();
      });
    });
    socket.on('error', () => { /* 'close' follows */ });
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('end', () => socket.destroy());
  }

  async ask(method: string, params: object, passed?: Passed): Promise<unknown> {
    if (this.over) {
      passed?.sent();
      throw new ConnectionLost();
    }
    const id = this.nextId++;
    const answer = new Promise<unknown>((resolve, reject) => { this.waiting.set(id, { resolve, reject }); });
    this.enqueue({ text: JSON.stringify({ jsonrpc: '2.0', id, method, params }), fds: passed?.fds ?? [], sent: passed?.sent });
    this.cutOffWhoNeverReads();
    return answer;
  }

  notify(method: string, params: object): void {
    this.enqueue({ text: JSON.stringify({ jsonrpc: '2.0', method, params }), fds: [] });
    this.cutOffWhoNeverReads();
  }

  /** Sends what is queued, then ends the connection. */
  async end(): Promise<void> {
    if (!this.over) this.socket.end();
    await this.closed;
  }

  cut(): void {
    this.socket.destroy();
  }

  /** Nothing is sent or taken any more. */
  get isOver(): boolean {
    return this.over || this.socket.destroyed;
  }

  private take(chunk: Buffer): void {
    if (this.over) {
      this.partBytes += chunk.length;
      if (this.partBytes > maxPartingBytes) this.socket.destroy();
      return;
    }
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      if (end < 0) break;
      this.parts.push(chunk.subarray(start, end));
      const line = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
      this.parts.length = 0;
      this.partBytes = 0;
      start = end + 1;
      if (line && line.length > 0) this.takeFrame(line);
      if (this.over) return;
    }
    this.parts.push(chunk.subarray(start));
    this.partBytes += chunk.length - start;
    if (this.partBytes > maxFrameBytes) {
      this.refuse(null, new ServiceError('E2BIG', `a frame of more than ${maxFrameBytes} bytes`));
      this.part();
    }
  }

  /** Ends the connection, but lets the other side read what was sent: what it sends meanwhile is thrown away. */
  private part(): void {
    this.over = true;
    this.parts.length = 0;
    this.partBytes = 0;
    this.socket.end();
    const timer = setTimeout(() => { this.socket.destroy(); }, partingMs);
    void this.closed.then(() => { clearTimeout(timer); });
  }

  private cutOffWhoNeverReads(): void {
    const unread = this.queuedBytes + this.socket.writableLength;
    if (unread > maxUnreadBytes || this.queuedDescriptors > maxUnreadDescriptors || this.waiting.size > maxUnanswered) this.socket.destroy();
  }

  private takeFrame(line: Buffer): void {
    let message: unknown;
    try {
      message = JSON.parse(line.toString('utf8'));
    } catch {
      if (line.toString('utf8').trim() !== '') this.refuse(null, new ServiceError('EINVAL', 'a frame that is not JSON'));
      return;
    }
    if (!isRecord(message)) return this.refuse(null, new ServiceError('EINVAL', 'a frame that is not a JSON object'));
    const { method } = message;
    if (typeof method !== 'string') return this.settle(message);
    if (this.inFlight < maxInFlight) return void this.serve(message, method);
    this.held.push({ message, method, bytes: line.length });
    this.heldBytes += line.length;
    this.adjustFlow();
  }

  private async serve(message: Record<string, unknown>, method: string): Promise<void> {
    const id = message['id'];
    if (id !== undefined && typeof id !== 'number' && typeof id !== 'string') {
      return this.refuse(null, new ServiceError('EINVAL', 'a request whose id is neither number nor text'));
    }
    this.inFlight += 1;
    this.adjustFlow();
    try {
      const params = message['params'] ?? {};
      if (!isRecord(params)) throw new ServiceError('EINVAL', `${method}: params is not an object`);
      const { result, fds, sent } = await this.handler(method, params);
      if (id === undefined) sent?.();
      else this.enqueue({ text: JSON.stringify({ jsonrpc: '2.0', id, result }), fds: fds ?? [], sent });
    } catch (error) {
      if (id !== undefined) this.refuse(id, error);
    } finally {
      this.inFlight -= 1;
      const next = this.over ? undefined : this.held.shift();
      if (next) {
        this.heldBytes -= next.bytes;
        void this.serve(next.message, next.method);
      }
      this.adjustFlow();
    }
  }

  private settle(message: Record<string, unknown>): void {
    const id = message['id'];
    const waiting = typeof id === 'number' ? this.waiting.get(id) : undefined;
    if (typeof id !== 'number' || !waiting) return;
    this.waiting.delete(id);
    const error = message['error'];
    if (isRecord(error)) waiting.reject(new RemoteError(Number(error['code']), String(error['message'])));
    else waiting.resolve(message['result']);
  }

  private refuse(id: number | string | null, error: unknown): void {
    const code = error instanceof ServiceError ? error.code : -Errno.EIO;
    const message = error instanceof Error ? error.message : String(error);
    this.enqueue({ text: JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }), fds: [] });
  }

  private enqueue(frame: Frame): void {
    if (this.over) return frame.sent?.();
    this.outgoing.push(frame);
    this.queuedBytes += frame.text.length;
    this.queuedDescriptors += frame.fds.length;
    if (!this.sending) void this.sendAll();
  }

  private async sendAll(): Promise<void> {
    this.sending = true;
    for (;;) {
      const frame = this.outgoing.shift();
      if (!frame) break;
      try {
        if (frame.fds.length > 0) await this.passDescriptors(frame.fds);
        this.socket.write(`${frame.text}\n`, () => this.adjustFlow());
      } catch {
        this.socket.destroy();
      }
      this.done(frame);
      if (this.over) break;
    }
    this.sending = false;
    this.adjustFlow();
  }

  /** A frame has left the queue, sent or not. */
  private done(frame: Frame): void {
    this.queuedBytes -= frame.text.length;
    this.queuedDescriptors -= frame.fds.length;
    frame.sent?.();
  }

  /** The blank byte that carries descriptors goes past Node's own queue, so that must be empty first. */
  private async passDescriptors(fds: readonly number[]): Promise<void> {
    const fd = (this.socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
    if (fd === undefined) throw new Error('the socket is closed');
    for (let i = 0; i < fds.length; i += maxDescriptors) {
      const some = fds.slice(i, i + maxDescriptors);
      await this.drained();
      // Where the kernel's buffer is full, a blank byte of our own tells when there is room again; readers skip blanks.
      while (!sendDescriptors(fd, some)) await this.writeBlank();
    }
  }

  private drained(): Promise<void> {
    return this.socket.writableLength === 0 ? Promise.resolve() : this.writeBlank();
  }

  private writeBlank(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(' ', (error) => (error ? reject(error) : resolve()));
    });
  }

  /** A client that sends faster than it reads, or than it is served, waits. */
  private adjustFlow(): void {
    const full = this.heldBytes > maxHeldBytes || this.socket.writableLength > maxUnsentBytes;
    if (full && !this.socket.isPaused()) this.socket.pause();
    else if (!full && this.socket.isPaused()) this.socket.resume();
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
