// A clone becomes an image of its own: what it sees of its parent's layers is copied into one layer of its own, beside all
// I/O (those layers never change); then the links are changed. Behind: rbd_flatten, rbd_flatten_with_progress.
import { OpFeature, childLeft, leaveParent } from './children.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { lookAgain, readChain, release } from './layers.js';
import { openForWork } from './layer-worker.js';
import { mergeLater } from './merge.js';
import { whileQuiesced } from './quiesce.js';
import { keys, type ImageRecord, type ImageRef, type IntentRecord, type LayerRecord, type Link } from './records.js';
import { readRecord, transact, type Tx } from './transact.js';
import { finishRemovals, makeLayer, type NewLayer } from './volumes.js';

export interface FlattenRequest {
  readonly op?: string;
  /** Bytes done, bytes in all; false cancels (ECANCELED). */
  readonly onProgress?: (done: number, total: number) => boolean;
}

/**
 * EINVAL where the image has no parent, unless it once left one of which it showed nothing (librbd 16 keeps the link then, and succeeds each
 * time); ECANCELED; EAGAIN where what is below it was changed by another flatten meanwhile.
 */
export async function flattenImage(ctx: Context, image: ImageRef, request: FlattenRequest): Promise<void> {
  await ctx.ops.once<object>(request.op, async (finish) => {
    const record = await imageById(ctx, image);
    const parent = parentToLeave(record);
    if (!parent) return {};
    const borders = await findBorders(ctx, record);
    const base = await copyBelow(ctx, record, borders, request);
    let intents: IntentRecord[];
    try {
      intents = await whileQuiesced(ctx, image, 'flatten', async (now) => {
        // A first write, a snapshot or a rollback may have come since: the borders are elsewhere then.
        const current = await findBorders(ctx, now);
        return transact(ctx.store, async (tx) => {
          const condemned = await relink(tx, image, { borders: current, base });
          finish(tx, {});
          return condemned;
        });
      });
    } catch (error) {
      await base?.layer.abandon();
      throw error;
    }
    await childLeft(ctx, { child: { pool: image.pool, namespace: image.namespace, id: image.id }, parent });
    await finishRemovals(ctx, intents);
    mergeLater(ctx, image);
    return {};
  });
}

/** The parent that a flatten is to leave, null where it has left one unseen (flattenImage). EINVAL where there never was one, or it was seen. */
export function parentToLeave({ name, parent, leftUnseen }: ImageRecord): ImageRecord['parent'] {
  if (!parent && !leftUnseen) throw new ServiceError('EINVAL', `image ${name} has no parent`);
  return parent;
}

/** A link from what is the image's own (itself, a snapshot, a layer) to a layer of another image. */
interface Border {
  readonly from: 'image' | { readonly snap: number } | { readonly layer: string };
  readonly link: Link;
}

interface Base {
  /** How many bytes were copied. */
  readonly length: number;
  readonly layer: NewLayer;
  readonly from: string;
}

/** Every way from the image and its snapshots into layers of other images. */
async function findBorders(ctx: Context, record: ImageRecord): Promise<Border[]> {
  const borders = new Map<string, Border>();
  const starts: { from: Border['from']; link: Link }[] = [
    { from: 'image', link: record.top }, ...record.snaps.map((snap) => ({ from: { snap: snap.id }, link: snap.top })),
  ];
  for (const start of starts) {
    let { from, link } = start;
    for (;;) {
      const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(link.layer));
      if (!layer) throw new ServiceError('EIO', `layer ${link.layer} has no record`);
      if (layer.image !== record.id) {
        borders.set(JSON.stringify(from), { from, link });
        break;
      }
      if (!layer.parent) break;
      from = { layer: layer.id };
      link = layer.parent;
    }
  }
  return [...borders.values()];
}

/** Copies what the borders show into a new plain layer. Undefined where they show nothing. */
async function copyBelow(ctx: Context, record: ImageRecord, borders: readonly Border[], { onProgress }: FlattenRequest): Promise<Base | undefined> {
  const [first] = borders;
  if (!first) return undefined;
  if (borders.some(({ link }) => link.layer !== first.link.layer)) {
    throw new ServiceError('EOPNOTSUPP', `image ${record.name} and its snapshots have different parents`);
  }
  const length = Math.max(...borders.map(({ link }) => link.overlap));
  const size = Math.max(length, record.size);
  const layer = await makeLayer(ctx, { pool: record.dataPool ?? record.pool, image: record.id, kind: 'plain', size });
  try {
    // As much as the one shows that shows most: a snapshot may show more than the image, which was shrunk after it.
    await copyChain(ctx, { link: { layer: first.link.layer, overlap: length }, length }, layer.record, onProgress);
  } catch (error) {
    await layer.abandon();
    throw error;
  }
  return { layer, from: first.link.layer, length };
}

/** What the chain below a link shows of its first `length` bytes, into a plain layer that nobody sees yet. */
export async function copyChain(
  ctx: Context, from: { link: Link; length: number }, target: LayerRecord, onProgress: FlattenRequest['onProgress'] = () => true,
): Promise<void> {
  const { link, length } = from;
  if (length === 0) return;
  for (;;) {
    const chain = await lookAgain(() => readChain(ctx, link, length));
    const work = await openForWork(ctx, [...chain, { layer: target, visible: length }], { writable: target.id });
    // A merge made the chain another one meanwhile.
    if (!work) continue;
    try {
      const volumes = work.volumes.slice(0, -1);
      const into = work.volumes.at(-1);
      if (into) await ctx.layerWorker().flatten({ layers: volumes, target: into, length, onProgress });
    } finally {
      work.release();
    }
    return;
  }
}

/** In a transaction: every border now leads to the new layer; the parent is forgotten. */
async function relink(tx: Tx, image: ImageRef, { borders, base }: { borders: readonly Border[]; base: Base | undefined }): Promise<IntentRecord[]> {
  const record = await tx.get<ImageRecord>(keys.image(image));
  if (!record?.parent) throw new ServiceError('EINVAL', 'the image has no parent any more');
  const { parent } = record;
  const isBorder = (link: Link): boolean => base !== undefined && link.layer === base.from;
  const moved = (link: Link): Link => (base && isBorder(link) ? { ...link, layer: base.layer.record.id } : link);
  let links = 0;
  for (const { from } of borders) {
    if (typeof from !== 'object' || !('layer' in from)) continue;
    const own = await tx.get<LayerRecord>(keys.layer(from.layer));
    if (!own?.parent || !isBorder(own.parent)) continue;
    tx.put(keys.layer(own.id), { ...own, parent: moved(own.parent) });
    links += 1;
  }
  for (const { top } of [record, ...record.snaps]) if (isBorder(top)) links += 1;
  const snaps = record.snaps.map((snap) => ({ ...snap, parent: null, top: moved(snap.top) }));
  // Nothing but the image itself sees the new layer, and all of it: it can take its writes as it is.
  const becomesHead = base !== undefined && isBorder(record.top) && links === 1 && record.top.overlap === base.length;
  const top = becomesHead ? { layer: base.layer.record.id, overlap: record.size } : moved(record.top);
  tx.put(keys.image(image), {
    ...record, snaps, top, head: becomesHead || record.head, parent: null, opFeatures: record.opFeatures & ~OpFeature.CLONE_CHILD,
    ...(parent.overlap === 0 ? { leftUnseen: true } : {}),
  });
  leaveParent(tx, image, parent);
  if (!base) return [];
  if (links === 0) throw new ServiceError('EAGAIN', `image ${record.name} changed meanwhile`);
  const { size } = base.layer.record;
  if (becomesHead && record.size > size) throw new ServiceError('EAGAIN', `image ${record.name} grew meanwhile`);
  await base.layer.adopt(tx, becomesHead ? { size: record.size } : { refs: links, frozen: true });
  const condemned: IntentRecord[] = [];
  for (let i = 0; i < links; i += 1) condemned.push(...await release(tx, base.from));
  return condemned;
}
