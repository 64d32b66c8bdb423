// Changing what stands below an image while it is in use: its writers hold still, the change is committed, all get the new chain.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { isShared } from './layers.js';
import { fence, fenceDeadWriter, letAllRead, writerOf } from './ownership.js';
import { imageKey, type ImageRecord, type ImageRef } from './records.js';
import { answerMs, type OpenImage } from './sessions.js';
import { tellState } from './state.js';

/**
 * Runs `change` with every writer of the image quiesced (drained, flushed, holding its writes), then lets them go on with the state
 * of then. Holds the image's lock. ETIMEDOUT where a writer of a plain head does not answer, EIO where one cannot flush, and what the backend says
 * where it cannot take the head's volume from a silent one: nothing is changed then.
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
  // Before a snapshot those are asked, too, whose clients want to be (rbd_quiesce_watch). Nothing hangs on their answers.
  const listeners = reason === 'snapshot' ? openers.filter((open) => open.listens && !open.readOnly && !writers.includes(open)) : [];
  const silent = await findSilent(ctx, { writers, listeners });
  const mute = writers.filter((open) => silent.has(open));
  const [dumb] = mute;
  if (dumb && shared) throw holdsNotStill(dumb);
  for (const open of mute) await fence(ctx, open, { wasWriter: true });

  const quiesced: OpenImage[] = [];
  const late: OpenImage[] = [];
  const failed: OpenImage[] = [];
  const quiesceAll = async (those: readonly OpenImage[]): Promise<void> => {
    await Promise.all(those.filter((open) => !silent.has(open)).map(async (open) => {
      const outcome = await untilQuiesced(ctx, open, reason);
      const isWriter = writers.includes(open);
      if (outcome === 'answered' || (outcome === 'refused' && !isWriter)) quiesced.push(open);
      else if (outcome === 'refused') failed.push(open);
      else if (outcome === 'late' && isWriter) late.push(open);
    }));
  };
  // Who listens may take seconds (to freeze a file system); the others hold still only after that.
  await quiesceAll([...listeners, ...writers.filter(({ listens }) => listens)]);
  await quiesceAll(writers.filter(({ listens }) => !listens));
  const [slow] = late;
  const [broken] = failed;
  if (broken) {
    await resumeAll(ctx, record, [...quiesced, ...failed]);
    throw new ServiceError('EIO', `session ${broken.session.id} (pid ${broken.session.identity.pid}) could not flush`);
  }
  if (slow && shared) {
    await resumeAll(ctx, record, quiesced);
    throw holdsNotStill(slow);
  }
  try {
    for (const open of late) await fence(ctx, open, { wasWriter: true });
  } catch (error) {
    await resumeAll(ctx, record, quiesced);
    throw error;
  }
  return quiesced;
}

/**
 * Those that answer nothing at all, not even that they are there: found out while everybody else goes on, so that nobody holds his
 * writes for the sake of a process that is stopped.
 */
async function findSilent(ctx: Context, { writers, listeners }: { writers: readonly OpenImage[]; listeners: readonly OpenImage[] }): Promise<ReadonlySet<OpenImage>> {
  const silent = new Set<OpenImage>();
  if (writers.length < 2 && listeners.length === 0) return silent;
  const look = async (open: OpenImage, ms: number): Promise<void> => {
    if (await untilAnswered(ctx, open, 'image.ping', {}, ms) === 'late') silent.add(open);
  };
  await Promise.all([...writers.map((open) => look(open, ctx.drainMs)), ...listeners.map((open) => look(open, Math.min(answerMs, ctx.drainMs)))]);
  return silent;
}

function untilQuiesced(ctx: Context, open: OpenImage, reason: string): Promise<Outcome> {
  return untilAnswered(ctx, open, 'image.quiesce', { reason }, ctx.drainMs);
}

type Outcome = Awaited<ReturnType<Context['sessions']['askOne']>>;

/** Asks, and asks again one who lost its connection and came back; 'gone' once it is known not to. */
async function untilAnswered(ctx: Context, open: OpenImage, method: string, params: object, ms: number): Promise<Outcome> {
  for (;;) {
    const outcome = await ctx.sessions.askOne(open, method, { params }, ms);
    if (outcome !== 'gone' || !await ctx.sessions.comesBack(open)) return outcome;
  }
}

function holdsNotStill({ session }: OpenImage): ServiceError {
  return new ServiceError('ETIMEDOUT', `session ${session.id} (pid ${session.identity.pid}) does not hold still`);
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
