// Giving back what is zero in a plain head, which any number of processes may write to: they hold still while the daemon looks at it once
// more and makes the holes, so that no write falls between the look and the hole. Behind: rbd_sparsify, rbd_sparsify_with_progress.
import type { ByteRange } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { isShared, readChain } from './layers.js';
import { openForWork } from './layer-worker.js';
import { whileQuiesced } from './quiesce.js';
import type { ImageRecord, ImageRef } from './records.js';
import { whereabouts } from './volumes.js';

/** Who makes the holes: the daemon, and it has made them; or the client that owns the head (a cow layer's map is the owner's), and nothing was done. */
export type SparsifiedBy = 'daemon' | 'owner';

export interface SparsifyRequest {
  /** Where the caller saw zeroes. */
  readonly ranges: readonly ByteRange[];
  /** Bytes; what is not zero as a whole piece of this size stays. */
  readonly grain: number;
}

/** How much others wait for at most. */
const maxBytes = 256 * 1048576;
const maxRanges = 4096;

/**
 * EINVAL for ranges that are none, or too many; EOPNOTSUPP where the backend gives back no part of a plain volume; ETIMEDOUT where somebody
 * who may write does not hold still. Nothing is given back then.
 */
export async function sparsifyImage(ctx: Context, image: ImageRef, request: SparsifyRequest): Promise<SparsifiedBy> {
  check(request);
  const seen = await imageById(ctx, image);
  if (!await isShared(ctx, seen)) return 'owner';
  const [head] = await readChain(ctx, seen.top, seen.size);
  if (!head) return 'owner';
  const { backend } = await whereabouts(ctx, head.layer.pool);
  if (!backend.rules.givesBackBlocks) throw new ServiceError('EOPNOTSUPP', `${backend.kind} gives back no part of a plain volume, which the head of image ${seen.name} is`);
  if (request.ranges.length === 0) return 'daemon';
  return whileQuiesced(ctx, image, 'sparsify', async (record) => {
    if (!await isShared(ctx, record)) return 'owner';
    await giveBack(ctx, record, request);
    return 'daemon';
  });
}

function check({ ranges, grain }: SparsifyRequest): void {
  if (grain < 4096 || !Number.isInteger(Math.log2(grain))) throw new ServiceError('EINVAL', `grain ${grain} is no power of two from 4096 on`);
  if (ranges.length > maxRanges) throw new ServiceError('EINVAL', `${ranges.length} ranges are more than ${maxRanges}`);
  let bytes = 0;
  for (const { offset, length } of ranges) {
    if (offset < 0 || length < 0 || !Number.isSafeInteger(offset + length)) throw new ServiceError('EINVAL', `no range: offset ${offset}, length ${length}`);
    bytes += length;
  }
  if (bytes > maxBytes) throw new ServiceError('EINVAL', `${bytes} bytes are more than ${maxBytes} at a time`);
}

/** The image may have become smaller since the caller looked: there is nothing behind its end. */
async function giveBack(ctx: Context, record: ImageRecord, { ranges, grain }: SparsifyRequest): Promise<void> {
  const [head] = await readChain(ctx, record.top, record.size);
  const work = head && await openForWork(ctx, [head], { writable: head.layer.id });
  const [volume] = work?.volumes ?? [];
  if (!work || !volume) throw new ServiceError('EAGAIN', `the head of image ${record.name} is another one`);
  try {
    const within = ranges.filter(({ offset }) => offset < volume.size)
      .map(({ offset, length }) => ({ offset, length: Math.min(length, volume.size - offset) }));
    await ctx.layerWorker().giveBackZeroes({ volume, ranges: within, grain });
  } finally {
    work.release();
  }
}
