// Which clones were made from which snapshots. Behind: rbd_list_children*, rbd_list_descendants.
import type { Context } from './context.js';
import { getPool } from './pools.js';
import { keys, type ChildRecord, type ImageRecord, type ImageRef, type LeftRecord, type ParentRecord, type TrashRecord } from './records.js';
import { dropTrashedSnap } from './snapshots.js';
import { readRecord, transact, type Tx } from './transact.js';

export interface Child extends ImageRef {
  readonly poolName: string;
  readonly name: string;
  readonly trash: boolean;
}

/** Bits of an image's op_features (librbd's RBD_OPERATION_FEATURE_*). */
export const OpFeature = { CLONE_PARENT: 1, CLONE_CHILD: 2, SNAP_TRASH: 8 } as const;

/** The clones of one snapshot, or of all. */
export async function childRecords(ctx: Context, image: ImageRef, snapId?: number): Promise<ChildRecord[]> {
  const prefix = snapId === undefined ? keys.childrenOfImage(image) : keys.childrenOfSnap(image, snapId);
  return (await ctx.store.list({ prefix })).map(({ value }) => JSON.parse(value) as ChildRecord);
}

/** The same as people see them, sorted; with `descendants` the clones of clones too. */
export async function listChildren(ctx: Context, image: ImageRef, options: { snapId?: number; descendants: boolean }): Promise<Child[]> {
  const found: Child[] = [];
  for (const { image: child } of await childRecords(ctx, image, options.snapId)) {
    found.push(await describeChild(ctx, child));
    if (options.descendants) found.push(...await listChildren(ctx, child, { descendants: true }));
  }
  return found.sort((a, b) => compare(a.poolName, b.poolName) || compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

async function describeChild(ctx: Context, { pool, namespace, id }: ImageRef): Promise<Child> {
  const record = await readRecord<ImageRecord>(ctx.store, keys.image({ pool, namespace, id }));
  const trash = await readRecord<TrashRecord>(ctx.store, keys.trash({ pool, namespace, id }));
  return { pool, namespace, id, poolName: (await getPool(ctx, pool)).name, name: record?.name ?? '', trash: trash !== undefined };
}

const compare = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** In the transaction that ends it: the clone has no parent any more. Call `childLeft` after the commit; a crash in between is seen to at the next start. */
export function leaveParent(tx: Tx, { pool, namespace, id }: ImageRef, parent: ParentRecord): LeftRecord {
  const left = { child: { pool, namespace, id }, parent };
  tx.remove(keys.child(parent.image, parent.snapId, left.child));
  tx.put(keys.left(left.child), left);
  return left;
}

/** A clone was removed or flattened: a snapshot in the trash that has no other goes, and the parent's marks are put right. */
export async function childLeft(ctx: Context, { child, parent }: LeftRecord): Promise<void> {
  const left = await ctx.store.list({ prefix: keys.childrenOfSnap(parent.image, parent.snapId), limit: 1 });
  if (left.length === 0) await dropTrashedSnap(ctx, parent.image, parent.snapId);
  const now = await readRecord<ImageRecord>(ctx.store, keys.image(parent.image));
  if (!now || (now.opFeatures & OpFeature.CLONE_PARENT) === 0) return;
  // With thousands of clones that come and go not all are read each time: mostly the first one found tells.
  const [any] = await ctx.store.list({ prefix: keys.childrenOfImage(parent.image), limit: 1 });
  if (any && (JSON.parse(any.value) as ChildRecord).format === 2) return;
  const formats = (await childRecords(ctx, parent.image)).map(({ format }) => format);
  await transact(ctx.store, async (tx) => {
    tx.remove(keys.left(child));
    const record = await tx.get<ImageRecord>(keys.image(parent.image));
    if (!record || formats.includes(2) || (record.opFeatures & OpFeature.CLONE_PARENT) === 0) return;
    tx.put(keys.image(parent.image), { ...record, opFeatures: record.opFeatures & ~OpFeature.CLONE_PARENT });
  });
}

/** At start: parents that were not told. */
export async function tellParents(ctx: Context): Promise<void> {
  for (const { value } of await ctx.store.list({ prefix: keys.lefts })) {
    await childLeft(ctx, JSON.parse(value) as LeftRecord).catch((error: unknown) => ctx.log(`a parent is not told yet that a clone is gone: ${String(error)}`));
  }
}
