// An image becomes what one of its snapshots is. No data moves: its newest layers are dropped. Behind: rbd_snap_rollback.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { requireNotHeldByOther } from './exclusive-lock.js';
import { Feature } from './features.js';
import { imageById } from './images.js';
import { refer, release } from './layers.js';
import { mergeLater } from './merge.js';
import { whileQuiesced } from './quiesce.js';
import { keys, type ImageRecord, type ImageRef, type IntentRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { userSnap } from './snapshots.js';
import { transact } from './transact.js';
import { finishRemovals } from './volumes.js';

/**
 * ENOENT; EROFS where another than `by` has the image's exclusive lock, which is not asked for as a write would (Ceph 16's
 * Operations::snap_rollback only tries to get it); ETIMEDOUT.
 */
export async function rollBack(ctx: Context, image: ImageRef, { name, op, by }: { name: string; op?: string; by?: OpenImage }): Promise<void> {
  const intents = await ctx.ops.once<IntentRecord[]>(op, async (finish) => {
    // Nobody holds still for a snapshot that is not there.
    const found = await imageById(ctx, image);
    userSnap(found, name);
    const writer = ctx.sessions.writerOf(image);
    if (writer && writer !== by && (found.features & Feature.EXCLUSIVE_LOCK) !== 0) throw new ServiceError('EROFS', `${writer.session.address} has the exclusive lock`);
    if (by) await requireNotHeldByOther(ctx, by);
    return whileQuiesced(ctx, image, 'rollback', () => transact(ctx.store, async (tx) => {
      const record = await tx.get<ImageRecord>(keys.image(image));
      if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
      const { size, top, parent } = userSnap(record, name);
      await refer(tx, top.layer);
      const condemned = await release(tx, record.top.layer);
      tx.put(keys.image(image), { ...record, size, top, head: false, parent: record.parent ? parent : null });
      return finish(tx, condemned);
    }));
  });
  await finishRemovals(ctx, intents);
  mergeLater(ctx, image);
}
