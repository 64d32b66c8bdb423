// Volumes of layers: made and removed so that a crash between any two steps leaves none behind. A volume is recorded as
// intended before it is made; what is still only intended when the daemon starts is removed.
import { randomBytes } from 'node:crypto';
import { roundVolumeSize, type Backend, type Place } from '../backend/backend.js';
import { faultPoint } from '../fault.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { backendOf, getPool, placeOf } from './pools.js';
import { volumeBytes } from './layers.js';
import { requireQuota } from './quota.js';
import { keys, type IntentRecord, type LayerRecord } from './records.js';
import { transact, type Tx } from './transact.js';

/** A layer whose volume is made; it counts only once a transaction has called `adopt`. */
export interface NewLayer {
  readonly record: LayerRecord;
  /** In a transaction: the layer exists from now on, as it is made or as `changes` say. EIO where it was abandoned. */
  adopt(tx: Tx, changes?: Partial<LayerRecord>): Promise<void>;
  /** Removes the volume again, where the transaction was refused. One that was carried out after all (its answer was lost) keeps it. */
  abandon(): Promise<void>;
}

export interface LayerPlan {
  readonly pool: number;
  readonly image: string;
  readonly kind: LayerRecord['kind'];
  /** Of the image, in bytes. */
  readonly size: number;
}

/** The size of the volume below `bytes`. EINVAL where the backend has none so large. */
export function volumeSizeFor(backend: Backend, bytes: number): number {
  const volumeSize = roundVolumeSize(backend.rules, bytes);
  if (volumeSize === undefined) throw new ServiceError('EINVAL', `a volume of ${bytes} bytes is more than the backend can hold`);
  return volumeSize;
}

/** Makes the volume of a layer: all zeroes, which is also what an empty cow layer looks like. */
export async function makeLayer(ctx: Context, { pool, image, kind, size }: LayerPlan): Promise<NewLayer> {
  await requireQuota(ctx, pool);
  const { backend } = await whereabouts(ctx, pool);
  const volumeSize = volumeSizeFor(backend, volumeBytes(kind, size));
  const id = `layer-${randomBytes(8).toString('hex')}`;
  const record: LayerRecord = { id, pool, image, kind, size, volume: id, volumeSize, generation: 0, parent: null, frozen: false, refs: 1 };
  await makeVolume(ctx, record);
  return {
    record,
    async adopt(tx, changes) {
      const intent = await tx.get<IntentRecord>(keys.intent(id));
      if (intent?.why !== 'create') throw new ServiceError('EIO', `volume ${id} was abandoned meanwhile`);
      tx.put(keys.layer(id), { ...record, ...changes });
      tx.remove(keys.intent(id));
    },
    abandon: () => finishRemoval(ctx, { pool, volume: id, why: 'create' }),
  };
}

async function makeVolume(ctx: Context, layer: LayerRecord): Promise<void> {
  const intent: IntentRecord = { pool: layer.pool, volume: layer.volume, why: 'create' };
  await transact(ctx.store, async (tx) => {
    if (!await tx.get(keys.pool(layer.pool))) throw new ServiceError('ENOENT', `there is no pool with id ${layer.pool}`);
    tx.put(keys.intent(layer.volume), intent);
  });
  faultPoint('backend');
  const { backend, place } = await whereabouts(ctx, layer.pool);
  try {
    await backend.createVolume(place, layer.volume, layer.volumeSize);
  } catch (error) {
    await finishRemoval(ctx, intent);
    throw error;
  }
  faultPoint('backend');
}

/** Inside a transaction: the layer's volume is to be removed. Call `finishRemoval` after the commit. */
export function condemnVolume(tx: Tx, layer: LayerRecord): IntentRecord {
  const intent: IntentRecord = { pool: layer.pool, volume: layer.volume, why: 'remove' };
  tx.put(keys.intent(layer.volume), intent);
  return intent;
}

/** Removes an intended volume. Where that cannot be done just now, or somebody still reads it, the intent stays and it is tried again. */
export async function finishRemoval(ctx: Context, intent: IntentRecord): Promise<void> {
  try {
    if (intent.why === 'remove' || await condemnAbandoned(ctx, intent)) await removeCondemned(ctx, intent);
    ctx.unremoved.delete(intent.volume);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const known = ctx.unremoved.get(intent.volume);
    if (known?.reason !== reason) ctx.log(`volume ${intent.volume} cannot be removed yet: ${reason}`);
    ctx.unremoved.set(intent.volume, { intent, reason });
  }
}

/** From now on the volume cannot be adopted. False where it was already. */
async function condemnAbandoned(ctx: Context, { volume }: IntentRecord): Promise<boolean> {
  return transact(ctx.store, async (tx) => {
    const intent = await tx.get<IntentRecord>(keys.intent(volume));
    if (!intent) return false;
    tx.put(keys.intent(volume), { ...intent, why: 'remove' } satisfies IntentRecord);
    return true;
  });
}

async function removeCondemned(ctx: Context, intent: IntentRecord): Promise<void> {
  if (!await ctx.store.get(keys.pool(intent.pool))) {
    ctx.log(`volume ${intent.volume} is left behind: pool ${intent.pool} is gone, and with it where it was`);
    return forgetIntent(ctx, intent);
  }
  const { backend, place } = await whereabouts(ctx, intent.pool);
  const isRead = ctx.isPinned(intent.volume) || (backend.rules.losesRemoved && intent.why === 'remove' && ctx.sessions.isShown(intent.volume));
  if (isRead) throw new ServiceError('EBUSY', 'it is still being read');
  faultPoint('backend');
  await backend.removeVolume(place, intent.volume);
  faultPoint('backend');
  await forgetIntent(ctx, intent);
}

async function forgetIntent(ctx: Context, { volume }: IntentRecord): Promise<void> {
  await ctx.store.commit({ changes: [{ remove: keys.intent(volume) }], survives: 'process-death' });
}

const retryMs = 2000;

/** Tries again, from now on, what could not be removed. Returns how to stop (resolves when the current round has ended). */
export function startRemoving(ctx: Context): () => Promise<void> {
  let running: Promise<void> | undefined;
  const round = async (): Promise<void> => {
    for (const { intent } of [...ctx.unremoved.values()]) await finishRemoval(ctx, intent);
    running = undefined;
  };
  ctx.retryRemovals = () => {
    if (ctx.unremoved.size > 0) running ??= round();
  };
  const timer = setInterval(() => ctx.retryRemovals?.(), retryMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    ctx.retryRemovals = undefined;
    await running;
  };
}

export async function finishRemovals(ctx: Context, intents: readonly IntentRecord[]): Promise<void> {
  for (const intent of intents) await finishRemoval(ctx, intent);
}

/** At start: removes what was only intended, and cuts what was to be cut. */
export async function sweepVolumes(ctx: Context): Promise<void> {
  for (const { value } of await ctx.store.list({ prefix: keys.intents })) await finishRemoval(ctx, JSON.parse(value) as IntentRecord);
  for (const { value } of await ctx.store.list({ prefix: keys.untrimmedLayers })) {
    await trimLayer(ctx, JSON.parse(value) as string).catch((error: unknown) => ctx.log(`cannot cut a volume yet: ${String(error)}`));
  }
}

/** Cuts the volume of a layer that became smaller, so that bytes past its size read as zeroes when it grows again. */
export async function trimLayer(ctx: Context, layerId: string): Promise<void> {
  const entry = await ctx.store.get(keys.layer(layerId));
  if (!entry) return;
  const layer = JSON.parse(entry.value) as LayerRecord;
  const { backend, place } = await whereabouts(ctx, layer.pool);
  faultPoint('backend');
  await backend.shrinkVolume(place, layer.volume, layer.size, layer.untrimmed ?? layer.volumeSize);
  faultPoint('backend');
  await transact(ctx.store, async (tx) => {
    const now = await tx.get<LayerRecord>(keys.layer(layerId));
    if (!now || now.size !== layer.size) return;
    const { untrimmed: _, ...trimmed } = now;
    tx.put(keys.layer(layerId), { ...trimmed, volumeSize: backend.rules.canShrink ? volumeSizeFor(backend, now.size) : now.volumeSize });
    tx.remove(keys.untrimmed(layerId));
  });
}

export async function whereabouts(ctx: Context, poolId: number): Promise<{ backend: Backend; place: Place }> {
  const pool = await getPool(ctx, poolId);
  return { backend: backendOf(ctx, pool), place: placeOf(pool) };
}
