// Who watches which object, and telling them: kept in memory, for a watch lives as long as its session (which watches again after the
// daemon was restarted). Behind: rados_watch*, rados_notify*, rados_notify_ack.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { objectKeys } from './object-records.js';
import { keys, type At, type ImageRef } from './records.js';
import type { Session } from './sessions.js';

interface Watch {
  readonly session: Session;
  /** The number that the client chose, unique in its session. */
  readonly handle: number;
  readonly key: string;
}

export interface NotifyRequest {
  readonly at: At;
  readonly name: string;
  /** Base64. */
  readonly payload: string;
  readonly timeoutMs: number;
  /** Who asks. */
  readonly session: Session;
}

export interface Ack {
  /** The session's number, as librados' instance id. */
  readonly client: number;
  readonly handle: number;
  readonly payload: string;
}

export interface NotifyAnswer {
  /** 0, or -ETIMEDOUT where a watcher did not acknowledge in time. */
  readonly rc: number;
  readonly notifyId: number;
  readonly acks: readonly Ack[];
  readonly timeouts: readonly { readonly client: number; readonly handle: number }[];
}

const ETIMEDOUT = 110;
const ENOTCONN = 107;

export class ObjectWatches {
  private readonly watches = new Map<string, Watch>();
  private lastNotify = Date.now() * 1000;

  /** ENOENT where there is no such object. Watching again with the same handle is the same watch. */
  async watch(ctx: Context, session: Session, request: { at: At; name: string; handle: number }): Promise<void> {
    const key = objectKeys.object(request.at, request.name);
    await requireObject(ctx, request);
    ctx.sessions.requireLive(session);
    this.watches.set(idOf(session, request.handle), { session, handle: request.handle, key });
  }

  /** ENOTCONN where there is no such watch (any more). */
  unwatch(session: Session, handle: number): void {
    if (!this.watches.delete(idOf(session, handle))) throw new ServiceError('ENOTCONN', `there is no watch ${handle}`);
  }

  has(session: Session, handle: number): boolean {
    return this.watches.has(idOf(session, handle));
  }

  endOf(session: Session): void {
    for (const [id, watch] of this.watches) if (watch.session === session) this.watches.delete(id);
  }

  /** The object was removed: its watches are broken. */
  lost(at: At, name: string): void {
    const key = objectKeys.object(at, name);
    for (const [id, watch] of this.watches) {
      if (watch.key !== key) continue;
      this.watches.delete(id);
      watch.session.channel?.notify('object.watchLost', { handle: watch.handle, error: -ENOTCONN });
    }
  }

  /** Tells who watches the image's header that it changed, and waits for nobody. */
  headerChanged(ctx: Context, image: ImageRef, session: Session): void {
    if (this.headerWatchersOf(image).length === 0) return;
    const [at, name] = [{ pool: image.pool, namespace: image.namespace }, headerOf(image)];
    this.notify(ctx, { at, name, payload: headerUpdate, timeoutMs: updateTimeoutMs, session })
      .catch((error: unknown) => ctx.log(`who watches image ${image.id} could not be told of a change: ${String(error)}`));
  }

  headerWatchersOf(image: ImageRef): { session: Session; handle: number }[] {
    const key = objectKeys.object(image, headerOf(image));
    return [...this.watches.values()].filter((watch) => watch.key === key);
  }

  /** Tells every watcher at once and gathers what they answer. ENOENT where there is no such object. */
  async notify(ctx: Context, request: NotifyRequest): Promise<NotifyAnswer> {
    const key = objectKeys.object(request.at, request.name);
    await requireObject(ctx, request);
    this.lastNotify += 1;
    const notifyId = this.lastNotify;
    const told = [...this.watches.values()].filter((watch) => watch.key === key);
    const answers = await Promise.all(told.map((watch) => tell(watch, { notifyId, ...request })));
    const acks: Ack[] = [];
    const timeouts: { client: number; handle: number }[] = [];
    told.forEach((watch, at) => {
      const who = { client: watch.session.id, handle: watch.handle };
      const payload = answers[at];
      if (payload !== undefined) acks.push({ ...who, payload });
      // Who is gone meanwhile is nobody to wait for.
      else if (this.watches.get(idOf(watch.session, watch.handle)) === watch) timeouts.push(who);
    });
    return { rc: timeouts.length > 0 ? -ETIMEDOUT : 0, notifyId, acks, timeouts };
  }
}

/** What librbd encodes for a HeaderUpdate: a version, the length of what follows, the number of the operation. */
const headerUpdate = Buffer.from('07010400000003000000', 'hex').toString('base64');
const headerPrefix = 'rbd_header.';
/** How long librbd lets a watcher take. */
const updateTimeoutMs = 10_000;

const headerOf = ({ id }: { id: string }): string => `${headerPrefix}${id}`;

const idOf = (session: Session, handle: number): string => `${session.id}/${handle}`;

/** An image's header can be watched and notified, though nothing is kept under its name. */
async function requireObject(ctx: Context, { at, name }: { at: At; name: string }): Promise<void> {
  if (await ctx.store.get(objectKeys.object(at, name))) return;
  const isHeader = name.startsWith(headerPrefix) && await ctx.store.get(keys.image({ ...at, id: name.slice(headerPrefix.length) }));
  if (!isHeader) throw new ServiceError('ENOENT', `there is no object ${name}`);
}

/** What a watcher acknowledged with; undefined where it did not in time. */
async function tell(watch: Watch, { notifyId, payload, timeoutMs, session }: NotifyRequest & { notifyId: number }): Promise<string | undefined> {
  const { channel } = watch.session;
  if (!channel) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => resolve(undefined), timeoutMs); });
  const asked = channel.ask('object.notified', { handle: watch.handle, notifyId, notifier: session.id, payload })
    .then((answer) => textOf(answer), () => undefined);
  const payloadBack = await Promise.race([asked, late]);
  clearTimeout(timer);
  return payloadBack;
}

function textOf(answer: unknown): string {
  const payload = typeof answer === 'object' && answer !== null ? (answer as { payload?: unknown }).payload : undefined;
  return typeof payload === 'string' ? payload : '';
}
