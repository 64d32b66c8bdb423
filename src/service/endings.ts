// What becomes free when a session ends, or when a handle of one is not taken up again: ownership, locks, watches, volumes on the host.
import type { Context } from './context.js';
import { dropExclusiveLock, dropExclusiveLocksOf } from './exclusive-lock.js';
import { releaseLocksOf } from './locks.js';
import { releaseOwnership, releaseOwnershipOf } from './ownership.js';

/** To be called once, before the first session. */
export function releaseWithSessions(ctx: Context): void {
  const { sessions } = ctx;
  sessions.onEnd((session, how) => releaseOwnershipOf(ctx, session, how));
  sessions.onEnd((session) => dropExclusiveLocksOf(ctx, session));
  sessions.onEnd(async (session) => { ctx.objectWatches.endOf(session); });
  sessions.onEnd(async (session, { orderly }) => { if (!orderly) await releaseLocksOf(ctx, session); });
  sessions.onEnd(async (session) => { for (const backend of ctx.backends.values()) await backend.closeVolumes(session.id); });
  sessions.onDrop((open) => releaseOwnership(ctx, open, { orderly: false }));
  sessions.onDrop((open) => dropExclusiveLock(ctx, open));
  sessions.onDrop(async ({ session, handle }) => { for (const backend of ctx.backends.values()) backend.forgetVolumes(session.id, handle); });
}
