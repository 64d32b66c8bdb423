// Clients that are shut out, as Ceph's blocklist has it: by address, which names one session ("127.0.0.1:0/4105") or all of this host
// ("127.0.0.1:0/0"), until a time. Who is on it may still ask the monitors, and loses everything else: what he has open, too.
// Behind: rados_blocklist_add, `osd blocklist`, rbd_break_lock, rbd_lock_break.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { dropExclusiveLock } from './exclusive-lock.js';
import { isShared } from './layers.js';
import { closeImage } from './open.js';
import { fence, takeHeadFrom } from './ownership.js';
import { whileQuiesced } from './quiesce.js';
import { imageKey, keys, type ImageRecord } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { readRecord, transact } from './transact.js';

export interface BlocklistEntry {
  readonly address: string;
  /** Seconds since the epoch. */
  readonly until: number;
}

/** What Ceph's monitors take where nobody says for how long. */
const defaultSeconds = 3600;
const wholeHost = '127.0.0.1:0/0';

/** Those that still hold. */
export async function blocklist(ctx: Context): Promise<BlocklistEntry[]> {
  const found = await ctx.store.list({ prefix: keys.blocklisted });
  return found.map(({ key, value }) => ({ address: key.slice(keys.blocklisted.length), until: JSON.parse(value) as number })).filter(({ until }) => until > Date.now() / 1000);
}

/** Returns until when, once nothing of the client can reach an image any more. `seconds` 0: Ceph's hour. */
export async function addToBlocklist(ctx: Context, address: string, seconds: number): Promise<BlocklistEntry> {
  const entry = { address, until: Date.now() / 1000 + (seconds || defaultSeconds) };
  await transact(ctx.store, (tx) => tx.put(keys.blocklist(address), entry.until));
  const victims = ctx.sessions.list().filter((session) => isMeant(session, address));
  for (const session of victims) session.shutOutUntil = Math.max(session.shutOutUntil, entry.until * 1000);
  await Promise.all(victims.flatMap((session) => [...session.handles.values()]).map((open) => takeFrom(ctx, open)));
  return entry;
}

/** False where it was not on the list. What the client had open stays lost; he may open it anew. */
export async function removeFromBlocklist(ctx: Context, address: string): Promise<boolean> {
  const was = (await blocklist(ctx)).some((entry) => entry.address === address);
  await transact(ctx.store, (tx) => tx.remove(keys.blocklist(address)));
  await Promise.all(ctx.sessions.list().map((session) => applyBlocklist(ctx, session)));
  return was;
}

export async function clearBlocklist(ctx: Context): Promise<void> {
  await transact(ctx.store, (tx) => tx.removeAll(keys.blocklisted));
  for (const session of ctx.sessions.list()) session.shutOutUntil = 0;
}

/** For a session that begins, or comes back after a restart of the daemon. */
export async function applyBlocklist(ctx: Context, session: Session): Promise<void> {
  const meant = (await blocklist(ctx)).filter(({ address }) => isMeant(session, address));
  session.shutOutUntil = Math.max(0, ...meant.map(({ until }) => until * 1000));
}

/** ESHUTDOWN where the session is on the list. */
export function requireWelcome(session: Session, what: string): void {
  if (session.isShutOut) throw new ServiceError('ESHUTDOWN', `${what}: ${session.address} is on the blocklist`);
}

const isMeant = (session: Session, address: string): boolean => address === session.address || address === wholeHost;

/** The handle is closed for its client: what he had sent is done, and nothing comes after it. */
async function takeFrom(ctx: Context, open: OpenImage): Promise<void> {
  const image = open.image;
  const mustReplace = await ctx.imageLocks.run(imageKey(image), async () => {
    if (open.session.handles.get(open.handle) !== open) return false;
    const was = open.holds;
    open.holds = 'none';
    open.fenced = true;
    const outcome = await ctx.sessions.askOne(open, 'image.shutOut', { params: {} }, ctx.drainMs);
    const mayWrite = outcome !== 'answered' && open.snapId === null && !open.readOnly;
    if (mayWrite && was === 'write') await fence(ctx, open, { wasWriter: true });
    await dropExclusiveLock(ctx, open);
    await closeImage(ctx, open);
    const record = await readRecord<ImageRecord>(ctx.store, keys.image(image));
    return mayWrite && record !== undefined && await isShared(ctx, record);
  });
  // A plain head that anybody may write to: the others go over to a volume that he does not have.
  if (mustReplace) await whileQuiesced(ctx, image, 'fence', (record) => takeHeadFrom(ctx, record, open.session));
}
