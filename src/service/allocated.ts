// Where a layer holds data, for backends whose clients cannot find that out by themselves. Nothing here changes anything.
import type { ByteRange } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { layerTag, lookAgain, readChain, viewOf } from './layers.js';
import type { LayerRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { whereabouts } from './volumes.js';

/** What of a range of a plain layer, which the handle knows by `tag`, may hold data, in order; the rest is zero. ENOENT; EOPNOTSUPP where nobody can tell. */
export async function allocatedOf(ctx: Context, open: OpenImage, { tag, offset, length }: { tag: string } & ByteRange): Promise<ByteRange[]> {
  const layer = await lookAgain(() => layerOf(ctx, open, tag));
  if (layer.kind !== 'plain') throw new ServiceError('EINVAL', `layer ${tag} has a map of its own`);
  const { backend, place } = await whereabouts(ctx, layer.pool);
  const end = Math.min(offset + length, layer.volumeSize);
  if (end <= offset) return [];
  const found = await backend.allocatedRanges?.(place, layer.volume, { offset, length: end - offset });
  if (found === undefined) throw new ServiceError('EOPNOTSUPP', `nobody can tell what of volume ${layer.volume} holds data`);
  return found;
}

/** A layer of what the handle sees, or of a snapshot that it asked for. */
async function layerOf(ctx: Context, open: OpenImage, tag: string): Promise<LayerRecord> {
  const image = await imageById(ctx, open.image);
  const others = open.alsoShows.has(tag) ? image.snaps.map(({ id }) => id) : [];
  for (const snapId of [open.snapId, ...others]) {
    const { top, size } = viewOf(image, snapId);
    const found = (await readChain(ctx, top, size)).find(({ layer }) => layerTag(layer) === tag);
    if (found) return found.layer;
  }
  throw new ServiceError('ENOENT', `layer ${tag} is none of image ${image.name}`);
}
