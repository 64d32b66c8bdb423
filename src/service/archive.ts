// A snapshot of an image as a snapshot of the backend's own (CurveBS's snapshotcloneserver): an export that leaves the image and all
// who use it alone. Behind: `cbd2rbd snap archive`.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { copyChain } from './flatten.js';
import { imageByName } from './images.js';
import { readChain } from './layers.js';
import type { At, ImageRecord, LayerRecord, SnapRecord } from './records.js';
import { userSnap } from './snapshots.js';
import { makeLayer, whereabouts } from './volumes.js';

export interface ArchiveRequest {
  readonly at: At;
  readonly image: string;
  readonly snap: string;
  /** Done and all, in per cent; false cancels (ECANCELED). */
  readonly onProgress?: (done: number, total: number) => boolean;
}

/** Returns the id by which the backend knows it. ENOENT; EOPNOTSUPP where the backend has no snapshots. */
export async function archiveSnapshot(ctx: Context, { at, image, snap, onProgress = () => true }: ArchiveRequest): Promise<{ id: string; bytes: number }> {
  const record = await imageByName(ctx, at, image);
  const found = userSnap(record, snap);
  const { backend, place } = await whereabouts(ctx, record.dataPool ?? record.pool);
  if (!backend.archiveVolume) throw new ServiceError('EOPNOTSUPP', `image ${image} is on ${backend.kind}, which has no snapshots of its own`);
  const source = await wholeVolume(ctx, record, found, (done, total) => onProgress(Math.floor((done / Math.max(1, total)) * 50), 100));
  try {
    const begun = source.isCopy ? 50 : 0;
    const id = await backend.archiveVolume(place, source.volume, {
      title: `${record.name}@${found.name}`, onProgress: (percent) => onProgress(begun + Math.floor((percent * (100 - begun)) / 100), 100),
    });
    onProgress(100, 100);
    return { id, bytes: found.size };
  } finally {
    await source.release();
  }
}

/** A volume that alone shows the snapshot: the only layer that it has, or a copy that goes again afterwards (and with a crash). */
async function wholeVolume(
  ctx: Context, image: ImageRecord, snap: SnapRecord, onProgress: (done: number, total: number) => boolean,
): Promise<{ volume: string; isCopy: boolean; release(): Promise<void> }> {
  const chain = await readChain(ctx, snap.top, snap.size);
  const [only] = chain;
  const pool = image.dataPool ?? image.pool;
  if (chain.length === 1 && only && isWhole(only.layer, snap, pool)) {
    const unpin = ctx.pin([only.layer.volume]);
    return { volume: only.layer.volume, isCopy: false, release: async () => unpin() };
  }
  const layer = await makeLayer(ctx, { pool, image: image.id, kind: 'plain', size: snap.size });
  try {
    await copyChain(ctx, { link: snap.top, length: snap.size }, layer.record, onProgress);
  } catch (error) {
    await layer.abandon();
    throw error;
  }
  return { volume: layer.record.volume, isCopy: true, release: () => layer.abandon() };
}

function isWhole(layer: LayerRecord, snap: SnapRecord, pool: number): boolean {
  return layer.kind === 'plain' && layer.frozen && layer.pool === pool && layer.size === snap.size && snap.top.overlap >= snap.size;
}
