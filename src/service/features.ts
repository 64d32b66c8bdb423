// RBD's feature bits and the rules between them (librbd 16.2.15), and changing those of an image.
// Behind: rbd_update_features, and the feature options of the create calls.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { changed } from './state.js';
import { forgetWriter } from './exclusive-lock.js';
import { keys, type ImageRecord, type ImageRef } from './records.js';
import { transact } from './transact.js';

export const Feature = {
  LAYERING: 1, STRIPINGV2: 2, EXCLUSIVE_LOCK: 4, OBJECT_MAP: 8, FAST_DIFF: 16, DEEP_FLATTEN: 32, JOURNALING: 64,
  DATA_POOL: 128, OPERATIONS: 256, MIGRATING: 512, NON_PRIMARY: 1024,
} as const;

/** What librbd 16.2.15 knows by name (RBD_FEATURES_ALL). */
const all = 4095;
/** What RBD sets by itself: asked for in a create call, it is dropped without a word. */
const implicit = ~(Feature.LAYERING | Feature.EXCLUSIVE_LOCK | Feature.OBJECT_MAP | Feature.FAST_DIFF | Feature.DEEP_FLATTEN | Feature.JOURNALING) & all;
const mutable = Feature.EXCLUSIVE_LOCK | Feature.OBJECT_MAP | Feature.FAST_DIFF | Feature.JOURNALING;
const mapPair = Feature.OBJECT_MAP | Feature.FAST_DIFF;

export interface FeatureOptions {
  readonly features?: number;
  readonly featuresSet?: number;
  readonly featuresClear?: number;
}

/** The features of a new image. Masks may have bits above 2^31, so they are looked at before the bit operators see them. */
export function featuresForCreate(options: FeatureOptions, byDefault: number, extra: { striping: boolean; dataPool: boolean }): number {
  const asked = knownBits(options.features ?? byDefault);
  const set = knownBits(options.featuresSet ?? 0);
  const clear = knownBits(options.featuresClear ?? 0);
  let features = (asked | (set & ~clear)) & ~(clear & ~set) & ~implicit;
  // fast-diff goes with object-map: on with it, and dropped without it.
  features = (features & Feature.OBJECT_MAP) !== 0 ? features | Feature.FAST_DIFF : features & ~Feature.FAST_DIFF;
  if (extra.striping) features |= Feature.STRIPINGV2;
  if (extra.dataPool) features |= Feature.DATA_POOL;
  checkDependencies(features);
  return features;
}

function knownBits(mask: number): number {
  if (mask < 0 || mask > all) throw new ServiceError('ENOSYS', `features ${mask} are not known`);
  return mask;
}

function checkDependencies(features: number): void {
  const has = (bit: number): boolean => (features & bit) !== 0;
  if (has(Feature.OBJECT_MAP) && !has(Feature.EXCLUSIVE_LOCK)) throw new ServiceError('EINVAL', 'object-map needs exclusive-lock');
  if (has(Feature.JOURNALING) && !has(Feature.EXCLUSIVE_LOCK)) throw new ServiceError('EINVAL', 'journaling needs exclusive-lock');
  if (has(Feature.JOURNALING)) throw new ServiceError('EOPNOTSUPP', 'journaling is not supported');
}

/** What an image that `had` these has when some are turned on or off. EINVAL for 0, for what cannot be changed or is so already. */
export function changedFeatures(had: number, features: number, options: { enabled: boolean }): number {
  if (features === 0) throw new ServiceError('EINVAL', 'no feature was named');
  const allowed = options.enabled ? mutable : mutable | Feature.DEEP_FLATTEN;
  if (features > all || (features & ~allowed) !== 0) throw new ServiceError('EINVAL', `features ${features} cannot be changed`);
  return options.enabled ? withFeatures(had, features) : withoutFeatures(had, features);
}

/** Turns features of an image on or off. EINVAL as changedFeatures, and where one is needed by another. */
export async function updateFeatures(ctx: Context, image: ImageRef, features: number, options: { enabled: boolean }): Promise<void> {
  await transact(ctx.store, async (tx) => {
    const record = await tx.get<ImageRecord>(keys.image(image));
    if (!record) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    const next = changedFeatures(record.features, features, options);
    checkDependencies(next);
    tx.put(keys.image(image), { ...record, features: next });
    if (changesLock(features)) tx.remove(keys.exclusiveLock(image));
  });
  if (changesLock(features)) await forgetWriter(ctx, image);
  await changed(ctx, image);
}

/** Whether the exclusive lock goes or comes with these features: nobody has it afterwards. */
export function changesLock(features: number): boolean {
  return (features & Feature.EXCLUSIVE_LOCK) !== 0;
}

function withFeatures(had: number, asked: number): number {
  const wanted = paired(asked);
  if ((had & wanted) !== 0) throw new ServiceError('EINVAL', `features ${had & wanted} are on already`);
  return had | wanted;
}

function withoutFeatures(had: number, asked: number): number {
  const unwanted = paired(asked);
  if ((had & unwanted) !== unwanted) throw new ServiceError('EINVAL', `features ${unwanted & ~had} are off already`);
  return had & ~unwanted;
}

/** object-map and fast-diff go on and off together. */
function paired(features: number): number {
  return (features & mapPair) !== 0 ? features | mapPair : features;
}
