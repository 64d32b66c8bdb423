// Changing what stands below an image while it is in use: its writers hold still, the change is committed, all get the new chain.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { isShared } from './layers.js';
import { fence, fenceDeadWriter, letAllRead, writerOf } from './ownership.js';
import { imageKey, type ImageRecord, type ImageRef } from './records.js';
import type { OpenImage } from './sessions.js';
import { tellState } from './state.js';

/**
 * Runs `change` with every writer of the image quiesced (drained, flushed, holding its writes), then lets them go on with the state
 * of then. Holds the image's lock. ETIMEDOUT where a writer of a plain head does not answer, EIO where one cannot flush: nothing is changed then.
 */
export async function whileQuiesced<T>(ctx: Context, image: ImageRef, reason: string, change: (record: ImageRecord) => Promise<T>): Promise<T> {
  return ctx.imageLocks.run(imageKey(image), async () => {
    const record = await imageById(ctx, image);
    await ctx.sessions.settled(image);
    const quiesced = await quiesceWriters(ctx, record, reason);
    try {
      await fenceDeadWriter(ctx, await imageById(ctx, image));
      return await change(await imageById(ctx, image));
    } finally {
      await resumeAll(ctx, image, quiesced);
    }
  });
}

async function quiesceWriters(ctx: Context, record: ImageRecord, reason: string): Promise<OpenImage[]> {
  const shared = await isShared(ctx, record);
  const openers = ctx.sessions.openersOf(record).filter((open) => open.snapId === null && !open.fenced);
  const writers = openers.filter((open) => (shared ? !open.readOnly : open.holds === 'write'));
  // Before a snapshot the others are asked too: their clients may have watchers that wait for it (rbd_quiesce_watch). Nothing hangs on their answers.
  const listeners = reason === 'snapshot' ? openers.filter((open) => !open.readOnly && !writers.includes(open)) : [];
  const quiesced: OpenImage[] = [];
  const late: OpenImage[] = [];
  const failed: OpenImage[] = [];
  const asked = listeners.map(async (open) => {
    const outcome = await ctx.sessions.askOne(open, 'image.quiesce', { params: { reason } }, ctx.drainMs);
    if (outcome === 'answered' || outcome === 'refused') quiesced.push(open);
  });
  await Promise.all(writers.map(async (open) => {
    for (;;) {
      const outcome = await ctx.sessions.askOne(open, 'image.quiesce', { params: { reason } }, ctx.drainMs);
      if (outcome === 'answered') quiesced.push(open);
      if (outcome === 'late') late.push(open);
      if (outcome === 'refused') failed.push(open);
      if (outcome !== 'gone' || !await ctx.sessions.comesBack(open)) return;
    }
  }));
  await Promise.all(asked);
  const [silent] = late;
  const [broken] = failed;
  if (broken) {
    await resumeAll(ctx, record, [...quiesced, ...failed]);
    throw new ServiceError('EIO', `session ${broken.session.id} (pid ${broken.session.identity.pid}) could not flush`);
  }
  if (silent && shared) {
    await resumeAll(ctx, record, quiesced);
    throw new ServiceError('ETIMEDOUT', `session ${silent.session.id} (pid ${silent.session.identity.pid}) does not hold still`);
  }
  for (const open of late) await fence(ctx, open, { wasWriter: true });
  return quiesced;
}

async function resumeAll(ctx: Context, image: ImageRef, quiesced: readonly OpenImage[]): Promise<void> {
  await reconsiderHolds(ctx, image);
  await Promise.all(ctx.sessions.openersOf(image).map(async (open) => {
    try {
      await tellState(ctx, open, quiesced.includes(open) ? 'image.resume' : 'image.changed');
    } catch (error) {
      ctx.log(`session ${open.session.id} could not be told to go on: ${String(error)}`);
    }
  }));
}

/** A head that was frozen has no writer any more. */
async function reconsiderHolds(ctx: Context, image: ImageRef): Promise<void> {
  const record = await imageById(ctx, image).catch(() => undefined);
  if (!record) return;
  const writer = writerOf(ctx, image);
  if (writer && record.head && !await isShared(ctx, record)) return;
  letAllRead(ctx, image);
  for (const open of ctx.sessions.openersOf(image)) await ctx.sessions.record(open.session);
}
