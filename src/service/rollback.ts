// An image becomes what one of its snapshots is. No data moves: its newest layers are dropped. Behind: rbd_snap_rollback.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { refer, release } from './layers.js';
import { mergeLater } from './merge.js';
import { whileQuiesced } from './quiesce.js';
import { keys, type ImageRecord, type ImageRef, type IntentRecord } from './records.js';
import { userSnap } from './snapshots.js';
import { transact } from './transact.js';
import { finishRemovals } from './volumes.js';

/** ENOENT, ETIMEDOUT. */
export async function rollBack(ctx: Context, image: ImageRef, { name, op }: { name: string; op?: string }): Promise<void> {
  const intents = await ctx.ops.once<IntentRecord[]>(op, async (finish) => {
    // Nobody holds still for a snapshot that is not there.
    userSnap(await imageById(ctx, image), name);
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
