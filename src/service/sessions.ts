// Sessions as the service sees them: who is there, what each has open, how to ask one something, and what happens when one
// ends. It knows nothing of sockets; a Channel stands for one.
import type { Store } from '../store/store.js';
import { ServiceError } from './errors.js';
import { afterOwnTime } from './own-time.js';
import { imageKey, keys, type Hold, type ImageRef, type SessionRecord } from './records.js';
import { Shown } from './shown.js';
import { transact } from './transact.js';

/** Handles from here on are the daemon's own, opened for a command under the caller's session; clients choose smaller ones. */
export const firstOwnHandle = 2 ** 45;

/** What a question ends with when its answer can no longer come. */
export class ConnectionLost extends Error {
  constructor() {
    super('the connection was lost');
    this.name = 'ConnectionLost';
  }
}

/** Descriptors that go with a question. They must stay open until `sent` is called, once: they went out, or never will. */
export interface Passed {
  readonly fds: readonly number[];
  readonly sent: () => void;
}

/** The way to a session's process. */
export interface Channel {
  /** Asks and waits. Rejects with ConnectionLost, or with what the process refused. */
  ask(method: string, params: object, passed?: Passed): Promise<unknown>;
  notify(method: string, params: object): void;
  /** Ends the connection. */
  cut(): void;
}

/** An image that a session has open. */
export interface OpenImage {
  readonly session: Session;
  readonly handle: number;
  readonly image: ImageRef;
  /** Opened without RBD's read-only flag: it watches the header, and the image cannot be removed. */
  readonly readOnly: boolean;
  snapId: number | null;
  /** What it holds of a head that only one writes to (ownership.ts). */
  holds: Hold;
  /** It asked for RBD's exclusive lock once (exclusive-lock.ts). Not known any more after a restart of the daemon. */
  managesLock?: boolean;
  /** Its client said that it wrote, and whether that brings it the automatic lock is being found out (exclusive-lock.ts). */
  noting?: Promise<void>;
  /** It was asked to give up writing and has not answered yet. */
  mayStillWrite: boolean;
  /** It was taken for dead while it was not: its volume has been taken from it. */
  fenced: boolean;
  /** Its client wants to be asked before a snapshot (rbd_quiesce_watch), also where it writes nothing. */
  listens: boolean;
  readonly shown: Shown;
  /** Layers that it asked for beside its own chain (layer.chain): it may read them until it closes. */
  readonly alsoShows: Set<string>;
  /** Not yet taken up again after a restart of the daemon: nobody can be asked. */
  attached: boolean;
}

export interface SessionIdentity {
  readonly entity: string;
  readonly pid: number;
  readonly uid: number;
  readonly program: string;
}

/** A client's process as the log names it. */
export function described({ entity, pid, uid, program }: SessionIdentity): string {
  return `${JSON.stringify(entity)} (pid ${pid}, uid ${uid}, ${JSON.stringify(program)})`;
}

export class Session {
  readonly handles = new Map<number, OpenImage>();
  /** Tokens of progress that the client wants no more of. */
  readonly cancelled = new Set<number>();
  channel: Channel | undefined;
  /** It is on the blocklist until then (milliseconds since the epoch). */
  shutOutUntil = 0;

  constructor(readonly id: number, readonly identity: SessionIdentity) {}

  get address(): string {
    return `127.0.0.1:0/${this.id}`;
  }

  get isShutOut(): boolean {
    return this.shutOutUntil > Date.now();
  }

  /** The name under which Ceph shows the client. */
  get client(): string {
    return `client.${this.id}`;
  }

  /** EINVAL where the session has no such handle. */
  open(handle: number): OpenImage {
    const open = this.handles.get(handle);
    if (!open) throw new ServiceError('EINVAL', `handle ${handle} is not open in this session`);
    return open;
  }
}

type EndListener = (session: Session, how: { orderly: boolean }) => Promise<void>;
type DropListener = (open: OpenImage) => Promise<void>;

const idBlock = 1000;
const firstId = 4100;
/** How long the daemon waits for a mere answer, where nothing needs to be drained first. */
export const answerMs = 2000;

export class Sessions {
  private readonly live = new Map<number, Session>();
  private readonly openers = new Map<string, Set<OpenImage>>();
  /** Who wrote last to an image: RBD's automatic exclusive lock. Nothing depends on it, so it is not recorded. */
  private readonly writers = new Map<string, OpenImage>();
  private readonly endListeners: EndListener[] = [];
  /** Told whenever somebody came, went, or took up an image. */
  onStir: (() => void) | undefined;
  private readonly dropListeners: DropListener[] = [];
  private readonly sleepers: (() => void)[] = [];
  private nextId = 0;
  private reservedUpTo = 0;
  private readonly grace = new Set<() => void>();

  constructor(private readonly store: Store, private readonly options: { graceMs: number; isAlive: (pid: number) => boolean; log: (line: string) => void }) {}

  get graceMs(): number {
    return this.options.graceMs;
  }

  /** Told when a session has ended; what it held is released there. */
  onEnd(listener: EndListener): void {
    this.endListeners.push(listener);
  }

  /** Told when a handle is not taken up again by a session that is. */
  onDrop(listener: DropListener): void {
    this.dropListeners.push(listener);
  }

  /** Takes up the sessions of an earlier daemon: they may come back. */
  async expectEarlier(): Promise<void> {
    const entries = await this.store.list({ prefix: keys.sessions });
    for (const { value } of entries) this.expect(JSON.parse(value) as SessionRecord);
  }

  /** From now on they can: those whose process is gone end at once, the others where they do not come back within the grace time. */
  async giveUpMissing(): Promise<void> {
    const missing = this.list().filter((session) => !session.channel);
    if (missing.length === 0) return;
    this.afterGrace(() => this.endMissing());
    const { isAlive } = this.options;
    for (const session of missing) if (!isAlive(session.identity.pid)) await this.end(session, { orderly: false });
  }

  stop(): void {
    for (const stopWaiting of this.grace) stopWaiting();
  }

  async begin(identity: SessionIdentity, channel: Channel): Promise<Session> {
    const session = new Session(await this.newId(), identity);
    session.channel = channel;
    this.live.set(session.id, session);
    await this.record(session);
    return session;
  }

  /** The session of a client that reconnected, and has those handles still (undefined: it does not say); undefined where it is unknown or another process's. */
  resume(id: number, identity: SessionIdentity, channel: Channel, handles?: readonly number[]): Session | undefined {
    const session = this.live.get(id);
    const isSame = session?.identity.uid === identity.uid && session.identity.pid === identity.pid && session.identity.entity === identity.entity;
    if (!session || !isSame) return undefined;
    // The end of the old connection may be noticed only after this.
    this.disconnected(session);
    session.channel = channel;
    this.stir();
    const isClosed = ({ handle }: OpenImage): boolean => handles !== undefined && handle < firstOwnHandle && !handles.includes(handle);
    for (const open of [...session.handles.values()].filter(isClosed)) void this.drop(open);
    this.awaitHandles(session, channel);
    return session;
  }

  /** Ends a session and releases what it held; returns when everything is released. */
  async end(session: Session, how: { orderly: boolean }): Promise<void> {
    if (!this.live.delete(session.id)) return;
    session.channel = undefined;
    for (const listener of this.endListeners) await this.attempt(session, () => listener(session, how));
    for (const open of [...session.handles.values()]) this.forget(open);
    this.stir();
    // A record that stays (the disk is full) is a session that does not come back after the next start.
    await this.attempt(session, () => this.store.commit({ changes: [{ remove: keys.session(session.id) }], survives: 'process-death' }));
  }

  /** False once it has ended: nothing may be given to it any more. */
  isLive(session: Session): boolean {
    return this.live.get(session.id) === session;
  }

  /** False once it was closed: it can hold nothing any more. */
  isOpen(open: OpenImage): boolean {
    return this.isLive(open.session) && open.session.handles.get(open.handle) === open;
  }

  /** ENOTCONN where the session has ended. */
  requireLive(session: Session): void {
    if (!this.isLive(session)) throw new ServiceError('ENOTCONN', `session ${session.id} has ended`);
  }

  list(): Session[] {
    return [...this.live.values()];
  }

  get(id: number): Session | undefined {
    return this.live.get(id);
  }

  /** Notes that a session has an image open. EEXIST where the handle is taken, ENOTCONN where the session has ended meanwhile. */
  async opened(open: OpenImage): Promise<void> {
    this.requireLive(open.session);
    if (open.session.handles.has(open.handle)) throw new ServiceError('EEXIST', `handle ${open.handle} is open already`);
    this.remember(open);
    await this.record(open.session);
  }

  async closed(open: OpenImage): Promise<void> {
    this.forget(open);
    this.stir();
    await this.record(open.session);
  }

  /** Everybody who has the image open. */
  openersOf(image: ImageRef): OpenImage[] {
    return [...this.openers.get(imageKey(image)) ?? []];
  }

  /** Every image that somebody has open. */
  openImages(): ImageRef[] {
    return [...this.openers.values()].flatMap(([first]) => (first ? [first.image] : []));
  }

  /** Whether anybody may still read that volume. After a restart nobody knows what those show who have not come back. */
  isShown(volume: string): boolean {
    const isOf = (tag: string): boolean => tag === volume || tag.startsWith(`${volume}.`);
    const mayRead = (open: OpenImage): boolean => (!open.attached && open.shown.isUnknown) || open.shown.mayShow(isOf) || [...open.alsoShows].some(isOf);
    return this.list().some((session) => [...session.handles.values()].some(mayRead));
  }

  writerOf(image: ImageRef): OpenImage | undefined {
    return this.writers.get(imageKey(image));
  }

  /** Nothing comes of it where it was closed meanwhile: its lock would stay for ever. */
  setWriter(open: OpenImage): void {
    if (this.isOpen(open)) this.writers.set(imageKey(open.image), open);
  }

  /** It is the writer no more, if it was. */
  dropWriter(open: OpenImage): void {
    const key = imageKey(open.image);
    if (this.writers.get(key) === open) this.writers.delete(key);
  }

  /** As RBD counts them: openers that did not open read-only. */
  watchersOf(image: ImageRef): OpenImage[] {
    return this.openersOf(image).filter((open) => !open.readOnly);
  }

  /**
   * Asks one and waits: 'answered', 'refused' (it answered with an error), 'gone' (no connection, or it was lost), or 'late' after `ms`.
   * `onAnswer` is called with an answer that comes late, too.
   */
  async askOne(
    open: OpenImage, method: string, message: { params: object; passed?: Passed; onAnswer?: () => void }, ms = answerMs,
  ): Promise<'answered' | 'refused' | 'gone' | 'late'> {
    // The daemon itself does no I/O on what it opened for a command: there is nothing to hold still and nobody to tell.
    if (open.handle >= firstOwnHandle) {
      message.passed?.sent();
      message.onAnswer?.();
      return 'answered';
    }
    const { channel } = open.session;
    if (!channel || !open.attached) {
      message.passed?.sent();
      return 'gone';
    }
    let stopWaiting = (): void => undefined;
    const late = new Promise<'late'>((resolve) => { stopWaiting = afterOwnTime(ms, () => resolve('late')); });
    const asked = channel.ask(method, { handle: open.handle, ...message.params }, message.passed).then(() => {
      message.onAnswer?.();
      return 'answered' as const;
    }, (error: unknown) => {
      this.options.log(`session ${open.session.id} did not take ${method}: ${String(error)}`);
      if (!(error instanceof ConnectionLost)) return 'refused' as const;
      // It may be noticed here before the end of the connection is.
      if (open.session.channel === channel) this.disconnected(open.session);
      return 'gone' as const;
    });
    const outcome = await Promise.race([asked, late]);
    stopWaiting();
    return outcome;
  }

  /** Returns when no opener of the image is still to come back after a restart of the daemon (it came, or was given up). */
  async settled(image: ImageRef): Promise<void> {
    await this.until(() => this.openersOf(image).every(({ attached }) => attached));
  }

  /** Waits for a handle whose session lost its connection: true once it is attached again, false when it was closed or its session ended. */
  async comesBack(open: OpenImage): Promise<boolean> {
    const isOpen = (): boolean => open.session.handles.get(open.handle) === open;
    await this.until(() => !isOpen() || (open.attached && open.session.channel !== undefined));
    return isOpen();
  }

  /** The connection is lost: nobody can be asked until the session is resumed and its handles are attached. */
  disconnected(session: Session): void {
    session.channel = undefined;
    for (const open of session.handles.values()) open.attached = false;
  }

  /** Somebody came, went, or took up an image: those who wait look again. */
  stir(): void {
    this.onStir?.();
    for (const wake of this.sleepers.splice(0)) wake();
  }

  private async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => { this.sleepers.push(resolve); });
  }

  private expect(record: SessionRecord): void {
    const session = new Session(record.id, record);
    this.live.set(session.id, session);
    for (const { handle, image, readOnly, snapId, holds } of record.opens) {
      this.remember({ session, handle, image, readOnly, snapId, holds, mayStillWrite: false, fenced: false, listens: false, shown: new Shown(), alsoShows: new Set(), attached: false });
    }
  }

  private async endMissing(): Promise<void> {
    for (const session of this.list()) if (!session.channel) await this.end(session, { orderly: false });
  }

  /**
   * A client may have closed an image while the daemon was away, or while it reconnects: it does not take that handle up again, and nobody is to wait for it. Who
   * has many handles has the grace time anew for each.
   */
  private awaitHandles(session: Session, channel: Channel): void {
    const missing = (): OpenImage[] => [...session.handles.values()].filter(({ attached }) => !attached);
    const before = missing().length;
    if (before === 0) return;
    this.afterGrace(async () => {
      if (session.channel !== channel) return;
      const left = missing();
      if (left.length < before) this.awaitHandles(session, channel);
      else for (const open of left) await this.drop(open);
    });
  }

  private async drop(open: OpenImage): Promise<void> {
    const { session } = open;
    this.options.log(`session ${session.id} (pid ${session.identity.pid}) does not take up image ${open.image.id} again: it is closed`);
    for (const listener of this.dropListeners) await this.attempt(session, () => listener(open));
    await this.attempt(session, () => this.closed(open));
  }

  private afterGrace(action: () => Promise<void>): void {
    const stopWaiting = afterOwnTime(this.options.graceMs, () => {
      this.grace.delete(stopWaiting);
      void action();
    }, { keepsProcess: false });
    this.grace.add(stopWaiting);
  }

  /** What cannot be released or written down must not keep the rest from it. */
  private async attempt(session: Session, action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.options.log(`session ${session.id}: not everything that it held could be released: ${String(error)}`);
    }
  }

  private remember(open: OpenImage): void {
    open.session.handles.set(open.handle, open);
    const key = imageKey(open.image);
    const set = this.openers.get(key) ?? new Set();
    this.openers.set(key, set.add(open));
  }

  private forget(open: OpenImage): void {
    open.session.handles.delete(open.handle);
    const key = imageKey(open.image);
    const set = this.openers.get(key);
    set?.delete(open);
    if (set?.size === 0) this.openers.delete(key);
    this.dropWriter(open);
  }

  /** Writes down what a session has open and holds. */
  async record(session: Session): Promise<void> {
    if (!this.live.has(session.id)) return;
    const { entity, pid, uid, program } = session.identity;
    const opens = [...session.handles.values()].map(({ handle, image, readOnly, snapId, holds }) => ({ handle, image, readOnly, snapId, holds }));
    const value = JSON.stringify({ id: session.id, entity, pid, uid, program, opens } satisfies SessionRecord);
    await this.store.commit({ changes: [{ put: keys.session(session.id), value }], survives: 'process-death' });
  }

  /** Ids are never used twice, so that an old lock cannot pass for a new client's. They are reserved in blocks. */
  private async newId(): Promise<number> {
    if (this.nextId >= this.reservedUpTo) {
      const start = await transact(this.store, async (tx) => {
        const next = (await tx.get<number>(keys.counter('session'))) ?? firstId;
        tx.put(keys.counter('session'), next + idBlock);
        return next;
      });
      if (start >= this.reservedUpTo) [this.nextId, this.reservedUpTo] = [start, start + idBlock];
    }
    this.nextId += 1;
    return this.nextId - 1;
  }
}

