// One client's connection: handshake first, then methods, then the end of its session. It knows no rule of RBD.
import type { Access, Challenge } from '../access/access.js';
import type { Identity } from '../access/identity.js';
import type { PeerCredentials } from '../native/addon.js';
import type { Context } from '../service/context.js';
import { applyBlocklist } from '../service/blocklist.js';
import { ServiceError } from '../service/errors.js';
import { afterOwnTime } from '../service/own-time.js';
import { described, firstOwnHandle, type Session, type SessionIdentity } from '../service/sessions.js';
import type { Socket } from 'node:net';
import { Connection, type Answer } from './connection.js';
import type { Methods } from './method.js';
import { isProcessAlive } from './process-watch.js';
import { Params } from './params.js';

export interface Door {
  readonly ctx: Context;
  readonly access: Access;
  readonly methods: Methods;
  readonly fsid: string;
  readonly log: (line: string) => void;
}

/** What a client said about itself, between its two steps. */
interface Hello {
  readonly challenge: Challenge;
  readonly identity: SessionIdentity;
  readonly resume: number | undefined;
  /** What it has open still, where it says so. */
  readonly handles: readonly number[] | undefined;
}

const protocolVersion = 1;
/** Whoever may connect can have the name that he gives himself written to the log. */
const maxEntityBytes = 256;
/** A program's name is for people; it is written down with each change of what a session has open. */
const maxProgram = 128;
/** How often it is looked whether a lost owner's process is still there. */
const reconnectPollMs = 50;
/** How many mistakes of one session are written to the log. */
const maxMistakes = 100;
const maxMistake = 300;

export class SessionDoor {
  readonly connection: Connection;
  /** Resolves when the session has ended and everything that it held is released. */
  readonly ended: Promise<void>;
  private hello: Hello | undefined;
  private user: Identity | undefined;
  private session: Session | undefined;
  /** The handshake was begun and has not failed: there is no second. */
  private isTaken = false;
  private orderly = false;
  private readonly told = new Set<string>();

  constructor(private readonly door: Door, socket: Socket, private readonly peer: PeerCredentials,
    /** The daemon is stopping: a lost connection is not a dead client. */
    private readonly stopping: () => boolean) {
    this.connection = new Connection(socket, (method, params) => this.handle(method, params));
    this.ended = this.connection.closed.then(() => this.finish()).catch((error: unknown) => {
      door.log(`the end of a connection (pid ${peer.pid}): ${String(error)}`);
    });
  }

  /** Of the process that connected. */
  get pid(): number {
    return this.peer.pid;
  }

  private async handle(method: string, fields: Record<string, unknown>): Promise<Answer> {
    const params = new Params(fields);
    if (method === 'session.hello') return this.greet(params);
    if (method === 'session.auth') return this.authenticate(params);
    if (!this.session || !this.user) throw new ServiceError('ENOTCONN', `${method} before session.auth`);
    if (method === 'session.close') return this.close();
    if (method === 'cancel') {
      this.session.cancelled.add(params.number('token'));
      return { result: {} };
    }
    const handler = Object.hasOwn(this.door.methods, method) ? this.door.methods[method] : undefined;
    if (!handler) throw new ServiceError('EOPNOTSUPP', `unknown method ${method}`);
    if (method.startsWith('image.') && Number(fields['handle'] ?? 0) >= firstOwnHandle) throw new ServiceError('EINVAL', `handle ${String(fields['handle'])} is not a client's to choose`);
    try {
      return await handler({ method, ctx: this.door.ctx, session: this.session, identity: this.user, params });
    } catch (error) {
      if (error instanceof ServiceError) this.tellMistake(method, error);
      throw error;
    }
  }

  /**
   * A service that was given the wrong user or pool is told so by an errno alone; the administrator reads here what it was. Each
   * text once a session, so that a client that asks again and again fills no log.
   */
  private tellMistake(method: string, error: ServiceError): void {
    const isMistake = error.errno === 'EPERM' || error.errno === 'EACCES' || (error.errno === 'ENOENT' && method === 'pool.lookup');
    if (!isMistake || this.told.has(error.message) || this.told.size >= maxMistakes || !this.session) return;
    this.told.add(error.message);
    this.door.log(`refused ${described(this.session.identity)}: ${method}: ${error.message.slice(0, maxMistake)}`);
  }

  private async greet(params: Params): Promise<Answer> {
    if (this.orderly) throw new ServiceError('ENOTCONN', 'the session was closed');
    if (this.isTaken) throw new ServiceError('EISCONN', 'the session is open already');
    const version = params.number('protocol');
    if (version !== protocolVersion) throw new ServiceError('EOPNOTSUPP', `protocol ${version} is not known, only ${protocolVersion}`);
    const entity = params.text('entity');
    if (Buffer.byteLength(entity) > maxEntityBytes) throw new ServiceError('EINVAL', `entity has more than ${maxEntityBytes} bytes`);
    const challenge = this.door.access.challenge({ entity, peer: this.peer });
    if (params.has('keyless')) {
      this.door.log(`refused ${JSON.stringify(entity)} (pid ${this.peer.pid}, uid ${this.peer.uid}): it has no key: ${JSON.stringify(params.text('keyless').slice(0, maxMistake))}`);
    }
    const identity = { entity, pid: this.peer.pid, uid: this.peer.uid, program: params.text('program', '').slice(0, maxProgram) };
    this.hello = { challenge, identity, resume: params.has('resume') ? params.number('resume') : undefined, handles: params.has('handles') ? params.numbers('handles') : undefined };
    return { result: { fsid: this.door.fsid, nonce: challenge.nonce, keyRequired: challenge.keyRequired } };
  }

  private async authenticate(params: Params): Promise<Answer> {
    const { hello } = this;
    if (!hello) throw new ServiceError('EINVAL', 'session.auth before session.hello');
    this.hello = undefined;
    this.isTaken = true;
    try {
      this.user = await this.door.access.authenticate(hello.challenge, { ...params.optionalText('nonce'), ...params.optionalText('proof') });
      return await this.begin(this.user, hello);
    } catch (error) {
      this.isTaken = false;
      throw error;
    }
  }

  private async begin(user: Identity, { identity, resume, handles }: Hello): Promise<Answer> {
    const { sessions, clientConfig } = this.door.ctx;
    const channel = this.connection;
    this.session = (resume === undefined ? undefined : sessions.resume(resume, identity, channel, handles)) ?? await sessions.begin(identity, channel);
    const { id, address } = this.session;
    await applyBlocklist(this.door.ctx, this.session);
    if (channel.isOver) {
      // Its end came before there was a session to end.
      await this.finish();
      throw new ServiceError('ENOTCONN', 'the connection has ended');
    }
    return { result: { sessionId: id, address, caps: user.summary(), config: clientConfig(identity.entity), graceMs: sessions.graceMs } };
  }

  private async close(): Promise<Answer> {
    this.orderly = true;
    await this.finish();
    return { result: {} };
  }

  private async finish(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    if (!session || session.channel !== this.connection) return;
    if (this.stopping() && !this.orderly) return;
    if (!this.orderly && !await this.isOver(session)) return;
    await this.door.ctx.sessions.end(session, { orderly: this.orderly });
  }

  /**
   * A connection was lost. Mostly the process is gone with it; but one that lives may still be writing to a head that it owns, so
   * nobody else gets that before it has come back (false), has ended, or the grace time is over.
   */
  private async isOver(session: Session): Promise<boolean> {
    const owns = (): boolean => [...session.handles.values()].some(({ holds, mayStillWrite }) => holds === 'write' || mayStillWrite);
    this.door.ctx.sessions.disconnected(session);
    let isLate = false;
    const stopWaiting = afterOwnTime(this.door.ctx.sessions.graceMs, () => { isLate = true; });
    while (owns() && isProcessAlive(this.peer.pid) && !isLate && !this.stopping()) {
      await new Promise((resolve) => { setTimeout(resolve, reconnectPollMs); });
      if (session.channel !== undefined) break;
    }
    stopWaiting();
    if (session.channel !== undefined) return false;
    return !this.stopping();
  }
}
