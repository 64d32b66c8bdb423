// Chains are kept short in the background: a frozen cow layer whose parent nothing else refers to is merged into it. The
// volume below gets the blocks; then one commit lets the layer stand on that volume. Until then readers see the same bytes
// from the layer above, so that a crash at any point leaves a chain that reads as before, and the work is done again.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { volumeBytes } from './layers.js';
import { openForWork } from './layer-worker.js';
import { keys, type IntentRecord, type LayerRecord } from './records.js';
import { changed } from './state.js';
import { transact } from './transact.js';
import { condemnVolume, finishRemovals, volumeSizeFor, whereabouts } from './volumes.js';

export interface MergeProgress {
  readonly layer: string;
  done: number;
  total: number;
}

/** Looks for layers to merge, soon. */
export function mergeLater(ctx: Context): void {
  ctx.stirMerging?.();
}

/** Resolves when nothing is left to merge. EOPNOTSUPP where layers are not merged. */
export async function mergeAll(ctx: Context): Promise<void> {
  ctx.layerWorker();
  ctx.stirMerging?.();
  await ctx.mergingDone?.();
}

/** Merges in the background, one at a time, from now on. Returns how to stop (resolves when the current merge has ended). */
export function startMerging(ctx: Context): () => Promise<void> {
  if (!ctx.canWorkOnLayers) return async () => undefined;
  let stopping = false;
  let running: Promise<void> | undefined;
  let again = false;
  const run = async (): Promise<void> => {
    do {
      again = false;
      try {
        while (!stopping && await mergeOne(ctx, () => !stopping));
      } catch (error) {
        ctx.log(`merging layers: ${String(error)}`);
      }
    } while (again && !stopping);
    running = undefined;
  };
  ctx.stirMerging = () => {
    if (running) again = true;
    else running = run();
  };
  ctx.mergingDone = async () => { await running; };
  ctx.stirMerging();
  return async () => {
    stopping = true;
    ctx.stirMerging = undefined;
    ctx.mergingDone = undefined;
    await running;
  };
}

interface Pair {
  readonly upper: LayerRecord;
  readonly lower: LayerRecord;
  /** How much of the lower one counts. */
  readonly overlap: number;
}

/** Merges the pair that costs least. False where there is none. */
async function mergeOne(ctx: Context, goOn: () => boolean): Promise<boolean> {
  const [pair] = (await findPairs(ctx)).sort((a, b) => a.upper.volumeSize - b.upper.volumeSize);
  if (!pair) return false;
  const { upper, lower, overlap } = pair;
  const { backend, place } = await whereabouts(ctx, lower.pool);
  const volumeSize = Math.max(lower.volumeSize, volumeSizeFor(backend, volumeBytes(lower.kind, Math.max(upper.size, lower.size))));
  await backend.extendVolume(place, lower.volume, volumeSize);
  const work = await openForWork(ctx, [{ layer: upper, visible: upper.size }, { layer: { ...lower, volumeSize }, visible: overlap }], { writable: lower.id });
  // One of them went meanwhile: there is something else to be done, or nothing.
  if (!work) return true;
  const progress: MergeProgress = { layer: upper.id, done: 0, total: 0 };
  ctx.merging = progress;
  try {
    const [from, into] = work.volumes;
    if (!from || !into) return false;
    await ctx.layerWorker().merge({
      upper: from, lower: into,
      onProgress: (done, total) => {
        Object.assign(progress, { done, total });
        return goOn();
      },
    });
  } finally {
    work.release();
    ctx.merging = undefined;
  }
  await commitMerge(ctx, pair, volumeSize);
  return true;
}

async function findPairs(ctx: Context): Promise<Pair[]> {
  const entries = await ctx.store.list({ prefix: keys.layers });
  const layers = new Map(entries.map(({ value }) => JSON.parse(value) as LayerRecord).map((layer) => [layer.id, layer]));
  const pairs: Pair[] = [];
  for (const upper of layers.values()) {
    const lower = upper.parent && layers.get(upper.parent.layer);
    if (lower && isPair(upper, lower) && !ctx.isPinned(lower.volume)) pairs.push({ upper, lower, overlap: upper.parent?.overlap ?? 0 });
  }
  return pairs;
}

/** Both frozen, nobody else sees the lower one. */
function isPair(upper: LayerRecord, lower: LayerRecord): boolean {
  return upper.kind === 'cow' && upper.frozen && lower.frozen && lower.refs === 1 && upper.parent?.layer === lower.id;
}

/** The upper layer stands on the lower one's volume now, under a new generation; its own volume goes. */
async function commitMerge(ctx: Context, { upper, lower }: Pair, volumeSize: number): Promise<void> {
  const intents = await transact(ctx.store, async (tx): Promise<IntentRecord[]> => {
    const above = await tx.get<LayerRecord>(keys.layer(upper.id));
    const below = await tx.get<LayerRecord>(keys.layer(lower.id));
    if (!above || !below || !isPair(above, below)) throw new ServiceError('EAGAIN', `layer ${upper.id} changed meanwhile`);
    const { kind, volume, pool, generation } = below;
    const parent = below.parent && { ...below.parent, overlap: Math.min(below.parent.overlap, above.parent?.overlap ?? 0) };
    tx.remove(keys.layer(below.id));
    tx.put(keys.layer(above.id), { ...above, kind, volume, pool, volumeSize, generation: generation + 1, parent });
    return [condemnVolume(tx, above)];
  });
  // Whoever has an image open hears of its shorter chain; for the others' nothing changes.
  for (const image of ctx.sessions.openImages()) await changed(ctx, image);
  await finishRemovals(ctx, intents);
}
