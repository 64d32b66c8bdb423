// Holds every record against the others and against the volumes. Each finding is one line; those whose repair cannot lose data can be
// repaired. Behind: `cbd2rbd check`.
import type { Context } from '../context.js';
import { volumeBytes } from '../layers.js';
import { backendOf, listPools, placeOf } from '../pools.js';
import { imageKey, keys, type ChildRecord, type ImageRecord, type ImageRef, type LayerRecord, type Link, type PoolRecord, type TrashRecord } from '../records.js';
import { transact, type Tx } from '../transact.js';
import { pathOf } from './images.js';
import { collectGarbage, findOrphans } from './layers.js';

export interface Finding {
  /** What it is about: "image rbd/vm1", "layer layer-1f...", "volume ...". */
  readonly about: string;
  readonly problem: string;
  /** What a repair does; absent where there is none that is safe. */
  readonly repair?: string;
  /** The repair was done. */
  readonly isRepaired: boolean;
}

interface Draft {
  readonly about: string;
  readonly problem: string;
  readonly repair?: { readonly what: string; readonly run: () => Promise<void> };
}

interface World {
  readonly pools: ReadonlyMap<number, PoolRecord>;
  readonly images: readonly ImageRecord[];
  readonly byKey: ReadonlyMap<string, ImageRecord>;
  readonly layers: ReadonlyMap<string, LayerRecord>;
  readonly trash: ReadonlyMap<string, TrashRecord>;
}

async function readWorld(ctx: Context): Promise<World> {
  const all = async <T>(prefix: string): Promise<T[]> => (await ctx.store.list({ prefix })).map(({ value }) => JSON.parse(value) as T);
  const images = await all<ImageRecord>(keys.allImages);
  const trash = new Map((await ctx.store.list({ prefix: 'trash/' })).map(({ key, value }) => [key.slice('trash/'.length), JSON.parse(value) as TrashRecord]));
  return {
    pools: new Map((await listPools(ctx)).map((pool) => [pool.id, pool])), images, byKey: new Map(images.map((image) => [imageKey(image), image])),
    layers: new Map((await all<LayerRecord>(keys.layers)).map((layer) => [layer.id, layer])), trash,
  };
}

/**
 * Looks at everything; with `repair`, mends what can be mended without losing data. Others go on meanwhile: what a second look does not
 * show as well was only under way, and each repair looks again in its transaction.
 */
export async function checkRecords(ctx: Context, options: { repair: boolean }): Promise<Finding[]> {
  const first = new Set((await look(ctx)).map(textOf));
  const drafts = first.size === 0 ? [] : (await look(ctx)).filter((draft) => first.has(textOf(draft)));
  const findings: Finding[] = [];
  for (const { about, problem, repair } of drafts) {
    const isRepaired = options.repair && repair !== undefined && await attempt(ctx, repair.run);
    findings.push({ about, problem, ...(repair ? { repair: repair.what } : {}), isRepaired });
  }
  return findings;
}

const textOf = ({ about, problem }: Draft): string => `${about}: ${problem}`;

async function look(ctx: Context): Promise<Draft[]> {
  const world = await readWorld(ctx);
  return [
    ...checkImages(ctx, world), ...await checkNames(ctx, world), ...checkRefs(ctx, world), ...await checkVolumes(ctx, world), ...await checkChildren(ctx, world),
    ...await checkLeftovers(ctx, world), ...await checkOrphans(ctx),
  ];
}

async function attempt(ctx: Context, run: () => Promise<void>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    ctx.log(`check: a repair failed: ${String(error)}`);
    return false;
  }
}

const inStore = (ctx: Context, what: string, change: (tx: Tx) => Promise<void> | void): { what: string; run: () => Promise<void> } => ({ what, run: () => transact(ctx.store, change) });

function nameOf(world: World, image: ImageRecord): string {
  return `image ${pathOf(world.pools.get(image.pool)?.name ?? `(pool ${image.pool})`, image)}`;
}

/** Every way from an image into layers. */
function linksOf(image: ImageRecord): Link[] {
  return [image.top, ...image.snaps.map(({ top }) => top)];
}

function checkImages(ctx: Context, world: World): Draft[] {
  const drafts: Draft[] = [];
  for (const image of world.images) {
    const about = nameOf(world, image);
    if (!world.pools.has(image.pool)) drafts.push({ about, problem: `its pool ${image.pool} has no record` });
    for (const { layer } of linksOf(image)) if (!world.layers.has(layer)) drafts.push({ about, problem: `its layer ${layer} has no record` });
    const top = world.layers.get(image.top.layer);
    if (image.head && top?.frozen) {
      drafts.push({
        about, problem: `its head ${top.id} is frozen`,
        repair: inStore(ctx, 'the next write makes a new head', async (tx) => {
          const now = await tx.get<ImageRecord>(keys.image(image));
          if (now?.head && now.top.layer === top.id && (await tx.get<LayerRecord>(keys.layer(top.id)))?.frozen) tx.put(keys.image(image), { ...now, head: false, top: { layer: top.id, overlap: now.size } });
        }),
      });
    }
    if (image.parent && !world.byKey.has(imageKey(image.parent.image))) drafts.push({ about, problem: `its parent ${image.parent.image.id} has no record` });
  }
  for (const layer of world.layers.values()) {
    if (layer.parent && !world.layers.has(layer.parent.layer)) drafts.push({ about: `layer ${layer.id}`, problem: `the layer ${layer.parent.layer} below it has no record` });
  }
  return drafts;
}

async function checkNames(ctx: Context, world: World): Promise<Draft[]> {
  const drafts: Draft[] = [];
  const named = new Map((await ctx.store.list({ prefix: 'image-name/' })).map(({ key, value }) => [key, JSON.parse(value) as string]));
  const right = new Set<string>();
  for (const image of world.images) {
    const key = keys.imageName(image, image.name);
    const isTrashed = world.trash.has(imageKey(image));
    if (named.get(key) === image.id) {
      right.add(key);
      continue;
    }
    if (isTrashed) continue;
    const about = nameOf(world, image);
    if (named.has(key)) drafts.push({ about, problem: `its name belongs to another image (${named.get(key)})` });
    else drafts.push({ about, problem: 'its name leads nowhere', repair: inStore(ctx, 'the name is entered', async (tx) => {
      const isSo = (await tx.get<ImageRecord>(keys.image(image)))?.name === image.name && !await tx.get(keys.trash(image)) && await tx.get(key) === undefined;
      if (isSo) tx.put(key, image.id);
    }) });
  }
  for (const [key, id] of named) {
    if (right.has(key)) continue;
    const [, pool = '', namespace = ''] = key.split('/');
    const image = { pool: Number(pool), namespace: decodeURIComponent(namespace), id };
    const isRight = (record: ImageRecord | undefined): boolean => record !== undefined && keys.imageName(record, record.name) === key;
    if (isRight(world.byKey.get(imageKey(image)))) continue;
    drafts.push({
      about: `name ${key.split('/').slice(3).join('/')}`, problem: `leads to image ${id}, which has no such name`,
      repair: inStore(ctx, 'the name is removed', async (tx) => {
        if (await tx.get<string>(key) === id && !isRight(await tx.get<ImageRecord>(keys.image(image)))) tx.remove(key);
      }),
    });
  }
  return drafts;
}

/** How many links lead to each layer. */
function countLinks(world: World): ReadonlyMap<string, number> {
  const counted = new Map<string, number>();
  const count = ({ layer }: Link): void => void counted.set(layer, (counted.get(layer) ?? 0) + 1);
  world.images.forEach((image) => linksOf(image).forEach(count));
  world.layers.forEach((layer) => { if (layer.parent) count(layer.parent); });
  return counted;
}

function checkRefs(ctx: Context, world: World): Draft[] {
  const counted = countLinks(world);
  const drafts: Draft[] = [];
  for (const layer of world.layers.values()) {
    const refs = counted.get(layer.id) ?? 0;
    if (refs === layer.refs) continue;
    const about = `layer ${layer.id}`;
    const problem = `${refs} images, snapshots and layers refer to it, its record says ${layer.refs}`;
    if (refs === 0) drafts.push({ about, problem });
    else {
      drafts.push({
        about, problem,
        repair: inStore(ctx, `the record says ${refs}`, async (tx) => {
          const now = await tx.get<LayerRecord>(keys.layer(layer.id));
          // Whoever adds a link or takes one away writes the layer's record, and this transaction fails then.
          if (now && now.refs === layer.refs && countLinks(await readWorld(ctx)).get(layer.id) === refs) tx.put(keys.layer(layer.id), { ...now, refs });
        }),
      });
    }
  }
  return drafts;
}

async function checkVolumes(ctx: Context, world: World): Promise<Draft[]> {
  const drafts: Draft[] = [];
  for (const layer of world.layers.values()) {
    const pool = world.pools.get(layer.pool);
    const about = `layer ${layer.id}`;
    if (!pool) {
      drafts.push({ about, problem: `its pool ${layer.pool} has no record` });
      continue;
    }
    const backend = backendOf(ctx, pool);
    const volume = await backend.statVolume(placeOf(pool), layer.volume).catch((error: unknown) => String(error));
    if (typeof volume === 'string') drafts.push({ about, problem: `volume ${layer.volume} of pool ${pool.name} cannot be looked at: ${volume}` });
    else if (!volume) drafts.push({ about, problem: `volume ${layer.volume} of pool ${pool.name} is missing` });
    else if (volume.size < volumeBytes(layer.kind, layer.size) && volume.size < layer.volumeSize) {
      drafts.push({
        about, problem: `volume ${layer.volume} has ${volume.size} bytes, its record says ${layer.volumeSize}`,
        repair: { what: 'the volume is extended with zeroes', run: () => backend.extendVolume(placeOf(pool), layer.volume, layer.volumeSize) },
      });
    }
  }
  return drafts;
}

/** Whether an image's record says what the entry at `key` says. */
function isChildOf(image: ImageRecord | undefined, key: string): boolean {
  return image?.parent ? keys.child(image.parent.image, image.parent.snapId, image) === key : false;
}

async function checkChildren(ctx: Context, world: World): Promise<Draft[]> {
  const drafts: Draft[] = [];
  const entered = new Map((await ctx.store.list({ prefix: 'child/' })).map(({ key, value }) => [key, JSON.parse(value) as ChildRecord]));
  const wanted = new Set<string>();
  for (const image of world.images) {
    if (!image.parent) continue;
    const { image: parent, snapId, format } = image.parent;
    const ref: ImageRef = { pool: image.pool, namespace: image.namespace, id: image.id };
    const key = keys.child(parent, snapId, ref);
    wanted.add(key);
    if (!entered.has(key)) {
      drafts.push({
        about: nameOf(world, image), problem: 'its parent does not know of it',
        repair: inStore(ctx, 'it is entered as a child', async (tx) => {
          if (isChildOf(await tx.get<ImageRecord>(keys.image(ref)), key)) tx.put(key, { image: ref, format } satisfies ChildRecord);
        }),
      });
    }
  }
  for (const [key, child] of entered) {
    // A snapshot of the clone may still stand on the parent after a flatten of its head; the record of the clone says so itself.
    if (wanted.has(key) || world.byKey.get(imageKey(child.image))?.snaps.some((snap) => snap.parent !== null)) continue;
    drafts.push({ about: `clone ${child.image.id}`, problem: 'is entered as a child of an image that is not its parent', repair: inStore(ctx, 'the entry is removed', async (tx) => {
      if (!isChildOf(await tx.get<ImageRecord>(keys.image(child.image)), key)) tx.remove(key);
    }) });
  }
  return drafts;
}

/** What names an image that has no record. */
async function checkLeftovers(ctx: Context, world: World): Promise<Draft[]> {
  const drafts: Draft[] = [];
  const ids = new Set([...world.byKey.keys()]);
  for (const kind of ['metadata', 'lock', 'trash']) {
    for (const { key } of await ctx.store.list({ prefix: `${kind}/` })) {
      const image = key.split('/').slice(1, 4).join('/');
      if (ids.has(image)) continue;
      drafts.push({ about: `${kind} of ${image}`, problem: 'the image has no record', repair: inStore(ctx, 'it is removed', async (tx) => {
        if (await tx.get(`${keys.allImages}${image}`) === undefined) tx.remove(key);
      }) });
    }
  }
  return drafts;
}

async function checkOrphans(ctx: Context): Promise<Draft[]> {
  const orphans = await findOrphans(ctx).catch((error: unknown) => {
    ctx.log(`check: volumes cannot be listed: ${String(error)}`);
    return [];
  });
  return orphans.map(({ pool, volume }) => ({
    about: `volume ${volume}`, problem: `of pool ${pool} belongs to no record`,
    repair: { what: 'it is removed', run: async () => void await collectGarbage(ctx, { dryRun: false }) },
  }));
}
