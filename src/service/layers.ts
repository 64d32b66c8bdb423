// Layers and the chains that they form: how one is referred to, frozen, released, and what a chain looks like.
import type { Backend, VolumeAccess } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { keys, type ImageRecord, type IntentRecord, type LayerRecord, type Link, type SnapRecord } from './records.js';
import type { OpenImage } from './sessions.js';
import { readRecord, type Tx } from './transact.js';
import { condemnVolume, whereabouts } from './volumes.js';

/** What a cow layer's header and map take of its volume; its data begins there (docs/protocol-layers.md). */
export const cowDataStart = 1024 ** 3;

/** The bytes that a layer of an image of `size` bytes needs of its volume. */
export function volumeBytes(kind: LayerRecord['kind'], size: number): number {
  return kind === 'cow' ? cowDataStart + size : size;
}

/** The id under which sessions know the layer: it changes when a merge changed what is in the volume. */
export function layerTag({ volume, generation }: LayerRecord): string {
  return generation === 0 ? volume : `${volume}.${generation}`;
}

/** A layer in a chain; bytes at and past `visible` are zero, below it too. */
export interface ChainLayer {
  readonly layer: LayerRecord;
  readonly visible: number;
}

/** What was being looked at was changed meanwhile: a layer was merged, an image rolled back. A second look finds what is there now. */
export class ChainMoved extends ServiceError {
  constructor(message: string) {
    super('EIO', message);
  }
}

/** Runs `look`, which reads a chain and opens its volumes, again as long as somebody changes the chain under it. EIO where a volume stays away. */
export async function lookAgain<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof ChainMoved) || tries === 20) throw error;
    }
  }
}

/** Opens a layer's volume. Within `lookAgain` only. */
export async function openLayer(ctx: Context, layer: LayerRecord, as: Parameters<Backend['openVolume']>[2]): Promise<VolumeAccess> {
  const { backend, place } = await whereabouts(ctx, layer.pool);
  try {
    return await backend.openVolume(place, layer.volume, as);
  } catch (error) {
    if (error instanceof ServiceError && error.errno === 'ENOENT') throw new ChainMoved(`the volume of layer ${layer.id} is gone`);
    throw error;
  }
}

/** The layers from `link` downwards, the newest first, up to `size` bytes of them. Within `lookAgain` only. */
export async function readChain(ctx: Context, link: Link, size: number): Promise<ChainLayer[]> {
  const chain: ChainLayer[] = [];
  let visible = size;
  for (let at: Link | null = link; at; at = chain.at(-1)?.layer.parent ?? null) {
    const layer: LayerRecord | undefined = await readRecord<LayerRecord>(ctx.store, keys.layer(at.layer));
    if (!layer) throw new ChainMoved(`layer ${at.layer} has no record`);
    visible = Math.min(visible, at.overlap);
    chain.push({ layer, visible });
  }
  return chain;
}

/** What a handle sees: the image, or the snapshot that it is at. ENOENT where that snapshot is gone. */
export function viewOf(record: ImageRecord, snapId: number | null): { size: number; top: Link; snap: SnapRecord | undefined } {
  if (snapId === null) return { size: record.size, top: record.top, snap: undefined };
  const snap = record.snaps.find(({ id }) => id === snapId);
  if (!snap) throw new ServiceError('ENOENT', `image ${record.name} has no snapshot with id ${snapId}`);
  return { size: snap.size, top: snap.top, snap };
}

/** ENOENT, EIO: in a transaction, the record of a layer. */
export async function layerIn(tx: Tx, id: string): Promise<LayerRecord> {
  const layer = await tx.get<LayerRecord>(keys.layer(id));
  if (!layer) throw new ServiceError('EIO', `layer ${id} has no record`);
  return layer;
}

/** One more link to the layer. */
export async function refer(tx: Tx, id: string): Promise<void> {
  const layer = await layerIn(tx, id);
  tx.put(keys.layer(id), { ...layer, refs: layer.refs + 1 });
}

/** One link less; layers that nothing refers to any more are condemned, and the volumes to remove after the commit returned. */
export async function release(tx: Tx, id: string): Promise<IntentRecord[]> {
  const condemned: IntentRecord[] = [];
  for (let next: string | undefined = id; next !== undefined;) {
    const layer: LayerRecord = await layerIn(tx, next);
    if (layer.refs > 1) {
      tx.put(keys.layer(next), { ...layer, refs: layer.refs - 1 });
      break;
    }
    tx.remove(keys.layer(next));
    tx.remove(keys.untrimmed(next));
    condemned.push(condemnVolume(tx, layer));
    next = layer.parent?.layer;
  }
  return condemned;
}

/** The image without a head: what was the head takes no more writes. The image's own link stays. */
export async function freezeHead(tx: Tx, image: ImageRecord): Promise<ImageRecord> {
  if (!image.head) return image;
  const layer = await layerIn(tx, image.top.layer);
  tx.put(keys.layer(layer.id), { ...layer, frozen: true });
  return { ...image, head: false, top: { layer: layer.id, overlap: image.size } };
}

/** A layer with its volume opened for a session (or without, where it has that already). */
export interface OpenedLayers {
  readonly layers: readonly { readonly id: string }[];
  readonly accesses: VolumeAccess[];
}

/** The chain that a handle sees, with volumes opened for its session but for those in `have`. The caller releases the accesses. Within `lookAgain` only. */
export async function openChain(ctx: Context, open: OpenImage, record: ImageRecord, options: { snapId: number | null; have: ReadonlySet<string>; beside?: true }): Promise<OpenedLayers> {
  const { size, top } = viewOf(record, options.snapId);
  const layers: (OpenedLayers['layers'][number] & Record<string, unknown>)[] = [];
  const accesses: VolumeAccess[] = [];
  let fds = 0;
  try {
    for (const { layer, visible } of await readChain(ctx, top, size)) {
      const id = layerTag(layer);
      const writable = !layer.frozen && !open.readOnly && options.snapId === null;
      const shown = { id, kind: layer.kind, size: visible, created: layer.size, frozen: layer.frozen, writable, inherited: layer.image !== record.id };
      if (options.have.has(id)) {
        layers.push(shown);
        continue;
      }
      const access = await openLayer(ctx, layer, {
        writable, session: open.session.id, handle: open.handle, pid: open.session.identity.pid, generation: layer.generation, ...(options.beside ? { beside: true } : {}),
      });
      accesses.push(access);
      const volume = access.driver === 'file'
        ? { driver: 'file', fd: fds++, size: layer.volumeSize, blockSize: access.blockSize }
        : access;
      layers.push({ ...shown, volume });
    }
    return { layers, accesses };
  } catch (error) {
    releaseAll(accesses);
    throw error;
  }
}

export function releaseAll(accesses: readonly VolumeAccess[]): void {
  for (const access of accesses) if (access.driver === 'file') access.release();
}

export function descriptorsOf(accesses: readonly VolumeAccess[]): number[] {
  return accesses.flatMap((access) => (access.driver === 'file' ? [access.fd] : []));
}

/** Whether anybody may write to the image at any time: its head is a plain layer. Otherwise one at a time does (ownership.ts). */
export async function isShared(ctx: Context, image: ImageRecord): Promise<boolean> {
  if (!image.head) return false;
  return (await readRecord<LayerRecord>(ctx.store, keys.layer(image.top.layer)))?.kind === 'plain';
}
