// Growing and shrinking an image. Behind: rbd_resize, rbd_resize2, rbd_resize_with_progress.
import { faultPoint } from '../fault.js';
import { changed } from './changes.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { checkSize, imageById } from './images.js';
import { imageKey, keys, type ImageRecord, type LayerRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { readRecord, transact } from './transact.js';
import { trimLayer, volumeSizeFor, whereabouts } from './volumes.js';

export interface ResizeRequest {
  readonly size: number;
  readonly allowShrink: boolean;
  readonly op?: string;
}

/** EINVAL for a shrink that is not allowed and for sizes that no image can have; EROFS on a read-only handle. */
export async function resizeImage(ctx: Context, open: OpenImage, request: ResizeRequest): Promise<void> {
  await ctx.ops.once(request.op, (finish) => ctx.imageLocks.run(imageKey(open.image), async () => {
    const image = await imageById(ctx, open.image);
    if (request.size < image.size && !request.allowShrink) {
      throw new ServiceError('EINVAL', `size ${request.size} is less than the image's ${image.size}, and shrinking is not allowed`);
    }
    checkSize(request.size, image);
    const layer = await headOf(ctx, image);
    if (request.size > image.size) await growVolume(ctx, layer, request.size);
    const shrinks = request.size < image.size;
    await transact(ctx.store, async (tx) => {
      const now = await tx.get<ImageRecord>(keys.image(image));
      const head = await tx.get<LayerRecord>(keys.layer(layer.id));
      if (!now || !head) throw new ServiceError('ENOENT', `image ${image.name} is gone`);
      const volumeSize = Math.max(head.volumeSize, shrinks ? 0 : await neededVolume(ctx, head, request.size));
      tx.put(keys.image(image), { ...now, size: request.size });
      tx.put(keys.layer(layer.id), { ...head, size: request.size, volumeSize, ...(shrinks ? { untrimmed: true } : {}) });
      if (shrinks) tx.put(keys.untrimmed(layer.id), layer.id);
      finish(tx, {});
    });
    await changed(ctx, image);
    // Only now, when nobody sees bytes past the new size any more.
    if (shrinks) await trimLayer(ctx, layer.id);
    return {};
  }));
}

async function headOf(ctx: Context, image: ImageRecord): Promise<LayerRecord> {
  const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(image.layers[0] ?? ''));
  if (!layer) throw new ServiceError('EIO', `image ${image.name} has no layer record`);
  if (layer.untrimmed) await trimLayer(ctx, layer.id);
  return layer;
}

async function neededVolume(ctx: Context, layer: LayerRecord, size: number): Promise<number> {
  const { backend } = await whereabouts(ctx, layer.pool);
  return volumeSizeFor(backend, size);
}

async function growVolume(ctx: Context, layer: LayerRecord, size: number): Promise<void> {
  const { backend, place } = await whereabouts(ctx, layer.pool);
  const volumeSize = volumeSizeFor(backend, size);
  faultPoint('backend');
  await backend.extendVolume(place, layer.volume, volumeSize);
  faultPoint('backend');
}
