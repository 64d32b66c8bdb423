// Removing an image. Behind: rbd_remove, rbd_remove_with_progress, and the trash's removals.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageByName } from './images.js';
import { imageKey, keys, type At, type ImageRecord, type ImageRef, type IntentRecord, type LayerRecord } from './records.js';
import { transact } from './transact.js';
import { condemnLayer, finishRemoval } from './volumes.js';

/** ENOENT; EBUSY while somebody has it open for writing. */
export async function removeImage(ctx: Context, request: { at: At; name: string; op?: string }): Promise<void> {
  await ctx.ops.once(request.op, async (finish) => {
    const image = await imageByName(ctx, request.at, request.name);
    await removeImageRecords(ctx, image, { also: (tx) => { finish(tx, {}); } });
    return {};
  });
}

/** EBUSY where the image cannot be removed just now. */
export function requireUnused(ctx: Context, image: ImageRecord): void {
  const [watcher] = ctx.sessions.watchersOf(image);
  if (watcher) throw new ServiceError('EBUSY', `image ${image.name} is open at ${watcher.session.address}`);
}

/** Removes an image with its metadata, locks and volumes. The image is gone when the one transaction is committed. */
export async function removeImageRecords(
  ctx: Context, image: ImageRef, options: { also?: (tx: Parameters<Parameters<typeof transact>[1]>[0]) => void } = {},
): Promise<void> {
  const intents = await ctx.imageLocks.run(imageKey(image), () => transact(ctx.store, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    requireUnused(ctx, record);
    const condemned: IntentRecord[] = [];
    for (const id of record.layers) {
      const layer = await tx.get<LayerRecord>(keys.layer(id));
      if (layer) condemned.push(condemnLayer(tx, layer));
    }
    tx.remove(keys.image(image));
    if ((await tx.get<string>(keys.imageName(record, record.name))) === record.id) tx.remove(keys.imageName(record, record.name));
    tx.remove(keys.trash(image));
    tx.remove(keys.lock(image));
    tx.remove(keys.exclusiveLock(image));
    tx.removeAll(keys.metadata(image, ''));
    options.also?.(tx);
    return condemned;
  }));
  for (const intent of intents) await finishRemoval(ctx, intent);
}
