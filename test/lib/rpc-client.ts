// A client of the daemon's socket for tests: hello, auth by uid (or key), calls both ways. Node cannot receive
// descriptors, so the blank bytes that carry them are skipped and the descriptors are lost: fine for everything but I/O.
import { connect, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';

export type Json = Record<string, unknown>;

/** A refusal: `code` is -errno. */
export class CallError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

export type Listener = (method: string, params: Json) => Promise<Json> | Json;

export class RpcClient {
  sessionId = 0;
  address = '';
  graceMs = 0;
  /** What the daemon asked of this client, in order. */
  readonly asked: { method: string; params: Json }[] = [];
  /** Answers the daemon's requests, with {} by default; a CallError that it throws is a refusal. */
  listener: Listener = () => ({});
  readonly closed: Promise<void>;
  private readonly waiting = new Map<number, { resolve: (value: Json) => void; reject: (error: Error) => void }>();
  private nextId = 1;
  private rest = '';
  private listeners: (() => void)[] = [];

  private constructor(readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.take(text));
    socket.on('error', () => { /* 'close' follows */ });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        for (const { reject } of this.waiting.values()) reject(new Error('the connection was lost'));
        this.waiting.clear();
        resolve();
      });
    });
  }

  /** A connection without a session. */
  static async connect(path: string): Promise<RpcClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RpcClient(socket);
  }

  /** A connection with a session. */
  static async open(path: string, options: { entity?: string; resume?: number; handles?: readonly number[] } = {}): Promise<RpcClient> {
    const client = await RpcClient.connect(path);
    const resume = { ...(options.resume === undefined ? {} : { resume: options.resume }), ...(options.handles === undefined ? {} : { handles: options.handles }) };
    await client.call('session.hello', { protocol: 1, pid: process.pid, program: 'test', entity: options.entity ?? 'client.admin', ...resume });
    const auth = await client.call('session.auth', {});
    client.sessionId = Number(auth['sessionId']);
    client.address = String(auth['address']);
    client.graceMs = Number(auth['graceMs']);
    return client;
  }

  call(method: string, params: Json = {}): Promise<Json> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    });
  }

  /** A call that changes something, with an op id of its own. */
  change(method: string, params: Json): Promise<Json> {
    return this.call(method, { op: randomBytes(8).toString('hex'), ...params });
  }

  /** The code of a refusal, 0 where the call succeeded. */
  async code(method: string, params: Json = {}): Promise<number> {
    try {
      await this.call(method, params);
      return 0;
    } catch (error) {
      if (error instanceof CallError) return error.code;
      throw error;
    }
  }

  /** Resolves when the daemon has asked or told something for which `match` holds. */
  async told(match: (method: string, params: Json) => boolean): Promise<Json> {
    for (;;) {
      const found = this.asked.find(({ method, params }) => match(method, params));
      if (found) return found.params;
      await new Promise<void>((resolve) => { this.listeners.push(resolve); });
    }
  }

  /** An orderly end. */
  async close(): Promise<void> {
    await this.call('session.close', {});
    this.socket.destroy();
    await this.closed;
  }

  /** What the daemon sees when the process dies. */
  async die(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.takeMessage(JSON.parse(line) as Json);
  }

  private takeMessage(message: Json): void {
    if (typeof message['method'] === 'string') {
      void this.answer(message, message['method']);
      return;
    }
    const waiting = this.waiting.get(Number(message['id']));
    this.waiting.delete(Number(message['id']));
    const error = message['error'] as { code: number; message: string } | undefined;
    if (error) waiting?.reject(new CallError(error.code, error.message));
    else waiting?.resolve(message['result'] as Json);
  }

  private async answer(message: Json, method: string): Promise<void> {
    const params = (message['params'] ?? {}) as Json;
    this.asked.push({ method, params });
    for (const wake of this.listeners.splice(0)) wake();
    if (message['id'] === undefined) return;
    const answer = await this.answerOf(method, params);
    this.socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: message['id'], ...answer })}\n`);
  }

  private async answerOf(method: string, params: Json): Promise<Json> {
    try {
      return { result: await this.listener(method, params) };
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return { error: { code: error.code, message: error.message } };
    }
  }
}
