// The administrator's view of layers, and of volumes that belong to nobody. Behind: `cbd2rbd layer ls|gc|merge`.
import type { Context } from '../context.js';
import { mergeAll } from '../merge.js';
import { backendOf, listPools, placeOf } from '../pools.js';
import { keys, type ImageRecord, type LayerRecord, type PoolRecord } from '../records.js';
import { finishRemoval, finishRemovals } from '../volumes.js';
import type { IntentRecord } from '../records.js';
import { layerView, pathOf, type LayerView } from './images.js';

/** What we name our own volumes; others in a directory are not ours to remove. */
const ownVolume = /^layer-[0-9a-f]{16}(\.fenced)?$/;

export interface LayerRow extends LayerView {
  /** The image whose writes it took; its id where that image is gone. */
  readonly image: string;
  readonly parent: string | null;
}

export async function layerRows(ctx: Context): Promise<LayerRow[]> {
  const pools = new Map((await listPools(ctx)).map((pool) => [pool.id, pool]));
  const images = new Map((await ctx.store.list({ prefix: keys.allImages })).map(({ value }) => JSON.parse(value) as ImageRecord).map((image) => [image.id, image]));
  const rows: LayerRow[] = [];
  for (const { value } of await ctx.store.list({ prefix: keys.layers })) {
    const layer = JSON.parse(value) as LayerRecord;
    const image = images.get(layer.image);
    rows.push({ ...await layerView(ctx, layer), image: image ? pathOf(pools.get(image.pool)?.name ?? '', image) : layer.image, parent: layer.parent?.layer ?? null });
  }
  return rows.sort((a, b) => a.image < b.image ? -1 : a.image > b.image ? 1 : 0);
}

export interface Orphan {
  readonly pool: string;
  readonly volume: string;
  readonly size: number;
}

/** Volumes that we named and that no record knows. */
export async function findOrphans(ctx: Context): Promise<Orphan[]> {
  // Volumes first: what is made after that is not looked at.
  const found: { pool: PoolRecord; name: string; size: number }[] = [];
  for (const pool of await listPools(ctx)) {
    for (const { name, size } of await backendOf(ctx, pool).listVolumes(placeOf(pool))) if (ownVolume.test(name)) found.push({ pool, name, size });
  }
  const known = new Set<string>();
  // In this order: a volume's intent becomes its layer while we look, never the other way round.
  for (const { value } of await ctx.store.list({ prefix: keys.intents })) known.add((JSON.parse(value) as IntentRecord).volume);
  for (const { value } of await ctx.store.list({ prefix: keys.layers })) known.add((JSON.parse(value) as LayerRecord).volume);
  return found.filter(({ name }) => !known.has(name) && !known.has(name.replace(/\.fenced$/, ''))).map(({ pool, name, size }) => ({ pool: pool.name, volume: name, size }));
}

/** Removes what was only intended, and orphans; `dryRun` tells only. */
export async function collectGarbage(ctx: Context, { dryRun }: { dryRun: boolean }): Promise<{ removed: Orphan[]; waiting: string[] }> {
  const orphans = await findOrphans(ctx);
  const condemned = (await ctx.store.list({ prefix: keys.intents })).map(({ value }) => JSON.parse(value) as IntentRecord).filter(({ why }) => why === 'remove');
  if (!dryRun) {
    await finishRemovals(ctx, condemned);
    for (const { pool, volume } of orphans) {
      const record = (await listPools(ctx)).find(({ name }) => name === pool);
      if (record) await finishRemoval(ctx, { pool: record.id, volume, why: 'remove' });
    }
  }
  const left = new Set((await ctx.store.list({ prefix: keys.intents })).map(({ value }) => (JSON.parse(value) as IntentRecord).volume));
  return { removed: orphans, waiting: condemned.map(({ volume }) => volume).filter((volume) => left.has(volume)) };
}

/** Merges what can be merged now, and returns how many layers there were and are. */
export async function mergeNow(ctx: Context): Promise<{ before: number; after: number }> {
  const count = async (): Promise<number> => (await ctx.store.list({ prefix: keys.layers })).length;
  const before = await count();
  await mergeAll(ctx);
  return { before, after: await count() };
}
