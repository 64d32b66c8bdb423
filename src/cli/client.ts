// A session with the daemon for command-line tools: one socket, JSON-RPC 2.0, a proof of the key where one is needed.
// It knows no method but those that open a session.
import {randomBytes} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {connect, type Socket} from 'node:net';
import {proofOf, secretOf} from '../access/key.js';
import {parseKeyring} from '../access/keyring.js';

/** Nobody listens at the socket. */
export class NoDaemonError extends Error {
  constructor(readonly socket: string, readonly reason: string) {
    super(`no daemon answers at ${socket} (${reason}). Start one with: cbd2rbd serve`);
    this.name = 'NoDaemonError';
  }
}

/** The daemon answered with an error; `code` is -errno. */
export class RefusedError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
    this.name = 'RefusedError';
  }
}

export interface ClientOptions {
  readonly socket: string;
  readonly entity: string;
  /** Keyring files to look for the entity's key in; the first that has it counts. Without one, the uid must be trusted. */
  readonly keyrings: readonly string[];
  /** The key itself, in place of a keyring's: it is presented also where none is needed, as librados does. */
  readonly key?: string|undefined;
}

type Answer = {id?: number, result?: unknown, error?: {code: number, message: string}, method?: string, params?: {token: number, done: number, total: number}};

export class DaemonClient {
  /** The cluster's id, as the daemon's hello gave it. */
  fsid = '';
  private nextId = 1;
  private text = '';
  /** Done when the connection is closed, by whichever side. */
  readonly ended: Promise<void>;
  private readonly progress = new Map<number, (done: number, total: number) => void>();
  private readonly waiting = new Map<number, {resolve: (value: unknown) => void, reject: (error: Error) => void}>();

  private constructor(private readonly socket: Socket, private readonly path: string) {
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.receive(chunk));
    socket.on('error', (error) => this.end(error.message));
    this.ended = new Promise((resolve) => socket.on('close', () => {
      this.end('it closed the connection');
      resolve();
    }));
  }

  /** Connects and authenticates. NoDaemonError, or RefusedError where the daemon turns the user away. */
  static async open(options: ClientOptions): Promise<DaemonClient> {
    const client = new DaemonClient(await dial(options.socket), options.socket);
    try {
      await client.enter(options);
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** Sends one request; RefusedError with the daemon's errno and words. `onProgress` is told how far it is, where the method says that. */
  call(method: string, params: object = {}, onProgress?: (done: number, total: number) => void): Promise<unknown> {
    const id = this.nextId++;
    if (onProgress) this.progress.set(id, onProgress);
    const asked = onProgress ? {...params, progress: id} : params;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, {resolve, reject});
      this.socket.write(`${JSON.stringify({jsonrpc: '2.0', id, method, params: asked})}\n`);
    });
  }

  /** An orderly end; what still waits fails. */
  close(): void {
    this.socket.end();
    this.socket.destroy();
  }

  private async enter(options: ClientOptions): Promise<void> {
    const {entity} = options;
    const hello = await this.call('session.hello', {protocol: 1, pid: process.pid, program: 'cbd2rbd', entity}) as
        {fsid: string, nonce: string, keyRequired: boolean};
    this.fsid = hello.fsid;
    const key = options.key ?? (hello.keyRequired ? keyFrom(options) : undefined);
    if (hello.keyRequired && key === undefined) {
      throw new RefusedError(-2, `no key of ${entity} in ${options.keyrings.join(', ') || 'any keyring'}, and the daemon runs as another user`);
    }
    if (key === undefined) {
      await this.call('session.auth', {});
      return;
    }
    const nonce = randomBytes(16).toString('hex');
    const proof = proofOf({secret: secretOf(key), nonces: {daemon: hello.nonce, client: nonce}, entity});
    await this.call('session.auth', {nonce, proof});
  }

  private receive(chunk: string): void {
    this.text += chunk;
    for (let end = this.text.indexOf('\n'); end >= 0; end = this.text.indexOf('\n')) {
      const line = this.text.slice(0, end);
      this.text = this.text.slice(end + 1);
      const answer = JSON.parse(line) as Answer;
      if (answer.method === 'progress' && answer.params) this.progress.get(answer.params.token)?.(answer.params.done, answer.params.total);
      const waiting = this.waiting.get(answer.id ?? 0);
      if (!waiting) continue;
      this.waiting.delete(answer.id ?? 0);
      if (answer.error) waiting.reject(new RefusedError(answer.error.code, answer.error.message));
      else waiting.resolve(answer.result);
    }
  }

  private end(reason: string): void {
    for (const {reject} of this.waiting.values()) reject(new NoDaemonError(this.path, reason));
    this.waiting.clear();
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => reject(new NoDaemonError(path, error.code ?? error.message)));
  });
}

function keyFrom(options: ClientOptions): string|undefined {
  for (const file of options.keyrings) {
    try {
      const entry = parseKeyring(readFileSync(file, 'utf8')).find((entry) => entry.entity === options.entity);
      if (entry) return entry.key;
    } catch {
      // A keyring that is missing or not ours to read is passed over, as librados does.
    }
  }
  return undefined;
}
