// Growing and shrinking an image. Behind: rbd_resize, rbd_resize2, rbd_resize_with_progress.
import { faultPoint } from '../fault.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { checkSize, imageById } from './images.js';
import { freezeHead, layerIn, volumeBytes } from './layers.js';
import { mergeLater } from './merge.js';
import { whileQuiesced } from './quiesce.js';
import { requireQuota } from './quota.js';
import { imageKey, keys, type ImageRecord, type ImageRef, type LayerRecord } from './records.js';
import { changed } from './state.js';
import { readRecord, transact, type Tx } from './transact.js';
import { trimLayer, volumeSizeFor, whereabouts } from './volumes.js';

export interface ResizeRequest {
  readonly size: number;
  readonly allowShrink: boolean;
  readonly op?: string;
}

type Finish = (tx: Tx, answer: object) => object;

/** EINVAL for a shrink that is not allowed and for sizes that no image can have. Resizes of one image take turns; the last one counts. */
export async function resizeImage(ctx: Context, image: ImageRef, request: ResizeRequest): Promise<void> {
  await ctx.ops.once<object>(request.op, (finish) => ctx.imageLocks.run(`resize ${imageKey(image)}`, async () => {
    for (;;) {
      const record = await imageById(ctx, image);
      checkSize(request.size, record);
      const done = request.size < record.size ? await shrink(ctx, record, request, finish) : await grow(ctx, record, request.size, finish);
      // A snapshot, a rollback or a first write came in between, and another way leads to that size.
      if (done) return done;
    }
  }));
}

/** The volume first, then the record, then everybody is told. Undefined where the image is larger by now. */
async function grow(ctx: Context, image: ImageRef, size: number, finish: Finish): Promise<object | undefined> {
  return ctx.imageLocks.run(imageKey(image), async () => {
    const record = await imageById(ctx, image);
    if (size < record.size) return undefined;
    await requireQuota(ctx, record.dataPool ?? record.pool);
    const volumeSize = record.head ? await growHead(ctx, record, size) : 0;
    await transact(ctx.store, async (tx) => {
      const now = await imageIn(tx, image);
      const top = now.head ? { ...now.top, overlap: size } : now.top;
      tx.put(keys.image(image), { ...now, size, top });
      if (now.head) {
        const layer = await layerIn(tx, now.top.layer);
        tx.put(keys.layer(layer.id), { ...layer, size, volumeSize: Math.max(layer.volumeSize, volumeSize) });
      }
      finish(tx, {});
    });
    await changed(ctx, image);
    return {};
  });
}

async function growHead(ctx: Context, record: ImageRecord, size: number): Promise<number> {
  const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(record.top.layer));
  if (!layer) throw new ServiceError('EIO', `image ${record.name} has no layer record`);
  // Else what an interrupted shrink left behind would come back.
  if (layer.untrimmed !== undefined) await trimLayer(ctx, layer.id);
  const { backend, place } = await whereabouts(ctx, layer.pool);
  const volumeSize = volumeSizeFor(backend, volumeBytes(layer.kind, size));
  faultPoint('backend');
  await backend.extendVolume(place, layer.volume, volumeSize);
  faultPoint('backend');
  return volumeSize;
}

/**
 * The record first, so that nobody sees bytes past the new size; the volume is cut, or left behind as a frozen layer. Undefined where the
 * image is no longer as `image` says.
 */
async function shrink(ctx: Context, image: ImageRecord, request: ResizeRequest, finish: Finish): Promise<object | undefined> {
  if (!request.allowShrink) {
    throw new ServiceError('EINVAL', `size ${request.size} is less than the image's ${image.size}, and shrinking is not allowed`);
  }
  const layer = image.head ? await readRecord<LayerRecord>(ctx.store, keys.layer(image.top.layer)) : undefined;
  if (layer?.kind === 'plain') return cut(ctx, image, layer, request.size, finish);
  const answer = await whileQuiesced(ctx, image, 'resize', () => transact(ctx.store, async (tx) => {
    const now = await imageIn(tx, image);
    if (request.size >= now.size) return undefined;
    const frozen = await freezeHead(tx, now);
    tx.put(keys.image(image), shrunk(frozen, request.size));
    return finish(tx, {});
  }));
  mergeLater(ctx, image);
  return answer;
}

async function cut(ctx: Context, image: ImageRecord, layer: LayerRecord, size: number, finish: Finish): Promise<object | undefined> {
  return ctx.imageLocks.run(imageKey(image), async () => {
    const done = await transact(ctx.store, async (tx) => {
      const now = await imageIn(tx, image);
      if (!now.head || now.top.layer !== layer.id || size >= now.size) return undefined;
      const head = await layerIn(tx, layer.id);
      tx.put(keys.image(image), shrunk(now, size));
      tx.put(keys.layer(layer.id), { ...head, size, untrimmed: Math.max(head.untrimmed ?? 0, head.size) });
      tx.put(keys.untrimmed(layer.id), layer.id);
      return finish(tx, {});
    });
    if (!done) return undefined;
    await changed(ctx, image);
    // Only now, when nobody sees bytes past the new size any more.
    await trimLayer(ctx, layer.id);
    return done;
  });
}

/** What is below counts only up to the smallest size that the image has had since. */
function shrunk(record: ImageRecord, size: number): ImageRecord {
  const parent = record.parent && { ...record.parent, overlap: Math.min(record.parent.overlap, size) };
  return { ...record, size, parent, top: { ...record.top, overlap: Math.min(record.top.overlap, size) } };
}

async function imageIn(tx: Tx, image: ImageRef): Promise<ImageRecord> {
  const record = await tx.get<ImageRecord>(keys.image(image));
  if (!record) throw new ServiceError('ENOENT', `image ${image.id} is gone`);
  return record;
}
