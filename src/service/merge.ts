// Chains are kept short in the background: a frozen cow layer whose parent nothing else refers to is merged into it. The
// volume below gets the blocks; then one commit lets the layer stand on that volume. Until then readers see the same bytes
// from the layer above, so that a crash at any point leaves a chain that reads as before, and the work is done again.
import { faultPoint } from '../fault.js';
import type { Context } from './context.js';
import { layerTag, volumeBytes } from './layers.js';
import { openForWork } from './layer-worker.js';
import { imageKey, keys, type ImageRecord, type ImageRef, type IntentRecord, type LayerRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { changed } from './state.js';
import { readRecord, transact } from './transact.js';
import { condemnVolume, finishRemovals, volumeSizeFor, whereabouts } from './volumes.js';

/** The merge that is going on, for `cbd2rbd status`. */
export interface MergeProgress {
  readonly layer: string;
  /** The name of the image whose chain becomes shorter; of one of them, where there are several. */
  readonly image: string;
  done: number;
  total: number;
}

/** Looks through the chains of the image, soon: something in them changed. */
export function mergeLater(ctx: Context, image: ImageRef): void {
  ctx.merger?.look(image);
}

/** Resolves when nothing is left to merge. EOPNOTSUPP where layers are not merged. */
export async function mergeAll(ctx: Context): Promise<void> {
  ctx.layerWorker();
  ctx.merger?.lookEverywhere();
  await ctx.merger?.idle();
}

/** Merges in the background, one at a time, from now on. Returns how to stop (resolves when the current merge has ended). */
export function startMerging(ctx: Context): () => Promise<void> {
  if (!ctx.canWorkOnLayers) return async () => undefined;
  const merger = new Merger(ctx);
  ctx.merger = merger;
  merger.lookEverywhere();
  return async () => {
    ctx.merger = undefined;
    await merger.stop();
  };
}

/** Which images are to be looked through, and the one look that is going on. */
export class Merger {
  private readonly waiting = new Map<string, ImageRef>();
  private current: ImageRef | undefined;
  private everywhere = false;
  private stopping = false;
  private running: Promise<void> | undefined;

  constructor(private readonly ctx: Context) {}

  /** How many images are still to be looked through, the current one among them. */
  get backlog(): number {
    return this.waiting.size + (this.current ? 1 : 0);
  }

  look(image: ImageRef): void {
    this.waiting.set(imageKey(image), image);
    this.running ??= this.run();
  }

  /** After a start: what an earlier daemon began, or saw coming. */
  lookEverywhere(): void {
    this.everywhere = true;
    this.running ??= this.run();
  }

  /** Resolves when nothing is left to look through. */
  async idle(): Promise<void> {
    await this.running;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping && (this.everywhere || this.waiting.size > 0)) {
      const [next] = this.waiting.values();
      try {
        if (this.everywhere) {
          this.everywhere = false;
          for (const image of await imagesWithPairs(this.ctx)) this.waiting.set(imageKey(image), image);
        } else if (next) {
          this.waiting.delete(imageKey(next));
          this.current = next;
          while (!this.stopping && await mergeOne(this.ctx, next, () => !this.stopping));
        }
      } catch (error) {
        this.ctx.log(`merging layers: ${String(error)}`);
      }
      this.current = undefined;
    }
    this.running = undefined;
  }
}

interface Pair {
  readonly upper: LayerRecord;
  readonly lower: LayerRecord;
  /** How much of the lower one counts. */
  readonly overlap: number;
}

/** Merges the pair of the image's chains that costs least. False where there is none. */
async function mergeOne(ctx: Context, image: ImageRef, goOn: () => boolean): Promise<boolean> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image(image));
  if (!record) return false;
  const [pair] = (await findPairs(ctx, record)).sort((a, b) => a.upper.volumeSize - b.upper.volumeSize);
  if (!pair) return false;
  const { upper, lower, overlap } = pair;
  const { backend, place } = await whereabouts(ctx, lower.pool);
  const volumeSize = Math.max(lower.volumeSize, volumeSizeFor(backend, volumeBytes(lower.kind, Math.max(upper.size, lower.size))));
  faultPoint('merge');
  await backend.extendVolume(place, lower.volume, volumeSize);
  const work = await openForWork(ctx, [{ layer: upper, visible: upper.size }, { layer: { ...lower, volumeSize }, visible: overlap }], { writable: lower.id });
  // One of them went meanwhile: there is something else to be done, or nothing.
  if (!work) return true;
  const progress: MergeProgress = { layer: upper.id, image: record.name, done: 0, total: upper.size };
  ctx.merging = progress;
  try {
    const [from, into] = work.volumes;
    if (!from || !into) return false;
    await ctx.layerWorker().merge({
      upper: from, lower: into,
      onProgress: (done, total) => {
        faultPoint('merge');
        Object.assign(progress, { done, total });
        return goOn();
      },
    });
  } finally {
    work.release();
    ctx.merging = undefined;
  }
  faultPoint('merge');
  await commitMerge(ctx, pair, volumeSize);
  // Also where one of them went while the blocks were copied: what is left is looked at again.
  return true;
}

/** In the chains of the image and of its snapshots. */
async function findPairs(ctx: Context, record: ImageRecord): Promise<Pair[]> {
  const seen = new Map<string, LayerRecord>();
  const pairs: Pair[] = [];
  for (const { top } of [record, ...record.snaps]) {
    let upper: LayerRecord | undefined;
    for (let id: string | undefined = top.layer; id !== undefined && !seen.has(id);) {
      const layer: LayerRecord | undefined = await readRecord<LayerRecord>(ctx.store, keys.layer(id));
      if (!layer) break;
      seen.set(id, layer);
      if (upper && isPair(upper, layer) && !ctx.isPinned(layer.volume)) pairs.push({ upper, lower: layer, overlap: upper.parent?.overlap ?? 0 });
      upper = layer;
      id = layer.parent?.layer;
    }
  }
  return pairs;
}

/** Reads every layer: only at a start. */
async function imagesWithPairs(ctx: Context): Promise<ImageRef[]> {
  const layers = new Map<string, LayerRecord>();
  for (const { value } of await ctx.store.list({ prefix: keys.layers })) {
    const layer = JSON.parse(value) as LayerRecord;
    layers.set(layer.id, layer);
  }
  const owners = new Set<string>();
  for (const upper of layers.values()) {
    const lower = upper.parent && layers.get(upper.parent.layer);
    if (lower && isPair(upper, lower)) owners.add(upper.image);
  }
  if (owners.size === 0) return [];
  const images = (await ctx.store.list({ prefix: keys.allImages })).map(({ value }) => JSON.parse(value) as ImageRecord);
  return images.filter(({ id }) => owners.has(id)).map(({ pool, namespace, id }) => ({ pool, namespace, id }));
}

/** Both frozen, nobody else sees the lower one. */
function isPair(upper: LayerRecord, lower: LayerRecord): boolean {
  return upper.kind === 'cow' && upper.frozen && lower.frozen && lower.refs === 1 && upper.parent?.layer === lower.id;
}

/** The upper layer stands on the lower one's volume now, under a new generation; its own volume goes. Nothing where the two are no pair any more. */
async function commitMerge(ctx: Context, { upper, lower }: Pair, volumeSize: number): Promise<void> {
  const intents = await transact(ctx.store, async (tx): Promise<IntentRecord[] | undefined> => {
    const above = await tx.get<LayerRecord>(keys.layer(upper.id));
    const below = await tx.get<LayerRecord>(keys.layer(lower.id));
    if (!above || !below || !isPair(above, below)) return undefined;
    const { kind, volume, pool, generation } = below;
    const parent = below.parent && { ...below.parent, overlap: Math.min(below.parent.overlap, above.parent?.overlap ?? 0) };
    tx.remove(keys.layer(below.id));
    tx.put(keys.layer(above.id), { ...above, kind, volume, pool, volumeSize, generation: generation + 1, parent });
    return [condemnVolume(tx, above)];
  });
  if (!intents) return;
  faultPoint('merge');
  await Promise.all(imagesThatShow(ctx, [upper, lower]).map((image) => changed(ctx, image)));
  faultPoint('merge');
  await finishRemovals(ctx, intents);
  faultPoint('merge');
}

/** Those that are open with one of the layers in their chain, or may be: what is just being opened has not been told a chain yet. */
function imagesThatShow(ctx: Context, layers: readonly LayerRecord[]): ImageRef[] {
  const tags = new Set(layers.map(layerTag));
  const mayShow = (open: OpenImage): boolean => open.shown.isUnknown || open.shown.mayShow((tag) => tags.has(tag));
  return ctx.sessions.openImages().filter((image) => ctx.sessions.openersOf(image).some(mayShow));
}
