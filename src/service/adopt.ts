// Volumes that other tools made in a pool's directory show up as images of their own name and size: each gets a record the first
// time that somebody lists the pool or asks for that name. Behind: rbd_list, rbd_open, on CurveBS.
import { createHash, randomBytes } from 'node:crypto';
import type { VolumeInfo } from '../backend/backend.js';
import type { Context } from './context.js';
import { newRecord, shapeOf } from './images.js';
import { checkName } from './names.js';
import { requirePlace } from './namespaces.js';
import { backendOf, getPool, placeOf } from './pools.js';
import { keys, type At, type ImageRecord, type LayerRecord } from './records.js';
import { transact } from './transact.js';

/** What we name our own volumes. */
const ownVolume = /^layer-[0-9a-f]+$/;

/** Takes every volume of the pool that has no record. Namespaces have none: CurveBS's directories hold no such thing. */
export async function adoptAll(ctx: Context, at: At): Promise<void> {
  await withHolder(ctx, at, async (holder) => {
    for (const volume of await holder.list()) await adopt(ctx, at, volume);
  });
}

/** The same for the volume of one name; true where it is an image now. */
export async function adoptOne(ctx: Context, at: At, name: string): Promise<boolean> {
  if (ownVolume.test(name)) return false;
  let isAdopted = false;
  await withHolder(ctx, at, async (holder) => {
    const volume = await holder.find(name);
    isAdopted = volume !== undefined && await adopt(ctx, at, volume);
  });
  return isAdopted;
}

/** A backend that does not answer hides such volumes, and nothing else: our own images are in our own records. */
async function withHolder(ctx: Context, at: At, action: (holder: { list(): Promise<VolumeInfo[]>; find(name: string): Promise<VolumeInfo | undefined> }) => Promise<void>): Promise<void> {
  if (at.namespace !== '') return;
  const pool = await getPool(ctx, at.pool);
  const backend = backendOf(ctx, pool);
  if (!backend.rules.hasOthersVolumes) return;
  try {
    await action({ list: () => backend.listVolumes(placeOf(pool)), find: (name) => backend.statVolume(placeOf(pool), name) });
  } catch (error) {
    ctx.log(`volumes of others in pool ${pool.name} cannot be looked for: ${String(error)}`);
  }
}

async function adopt(ctx: Context, at: At, volume: VolumeInfo): Promise<boolean> {
  if (ownVolume.test(volume.name) || !isImageName(volume.name)) return false;
  const layerId = `volume-${at.pool}-${createHash('sha256').update(volume.name).digest('hex').slice(0, 24)}`;
  if (await ctx.store.get(keys.layer(layerId))) return false;
  const shape = await shapeOf(ctx, 'client.admin', at.pool, {});
  const id = randomBytes(7).toString('hex');
  const layer: LayerRecord = {
    id: layerId, pool: at.pool, image: id, kind: 'plain', size: volume.size, volume: volume.name, volumeSize: volume.size, generation: 0, parent: null,
    frozen: false, refs: 1,
  };
  const record: ImageRecord = { ...newRecord(ctx, { id, name: volume.name, at, size: volume.size, shape }), top: { layer: layerId, overlap: volume.size }, head: true };
  return transact(ctx.store, async (tx) => {
    await requirePlace(tx, at);
    // An image of that name hides the volume; one that is being removed is nobody's any more.
    if (await tx.get(keys.imageName(at, volume.name)) || await tx.get(keys.layer(layerId)) || await tx.get(keys.intent(volume.name))) return false;
    tx.put(keys.layer(layerId), layer);
    tx.put(keys.image(record), record);
    tx.put(keys.imageName(at, volume.name), id);
    return true;
  });
}

function isImageName(name: string): boolean {
  try {
    checkName('image', name);
    return true;
  } catch {
    return false;
  }
}
