// Which clones were made from which snapshots. Behind: rbd_list_children*, rbd_list_descendants.
import type { Context } from './context.js';
import { getPool } from './pools.js';
import { keys, type ChildRecord, type ImageRecord, type ImageRef, type LeftRecord, type ParentRecord, type TrashRecord } from './records.js';
import { dropTrashedSnap } from './snapshots.js';
import { readRecords, transact, type Tx } from './transact.js';

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

/** One of them, where there is any: how many there are costs nothing. */
export async function anyChild(ctx: Context, image: ImageRef, snapId?: number): Promise<ChildRecord | undefined> {
  const prefix = snapId === undefined ? keys.childrenOfImage(image) : keys.childrenOfSnap(image, snapId);
  const [entry] = await ctx.store.list({ prefix, limit: 1 });
  return entry && JSON.parse(entry.value) as ChildRecord;
}

/** The same as people see them, sorted; with `descendants` the clones of clones too. The store is asked in steps of many clones. */
export async function listChildren(ctx: Context, image: ImageRef, options: { snapId?: number; descendants: boolean }): Promise<Child[]> {
  const found: Child[] = [];
  const poolNames = new Map<number, string>();
  for (let level = await childRecords(ctx, image, options.snapId); level.length > 0;) {
    const refs = level.map((child) => child.image);
    const records = await readRecords<ImageRecord>(ctx.store, refs.map(keys.image));
    const trashed = await readRecords<TrashRecord>(ctx.store, refs.map(keys.trash));
    for (const [i, { pool, namespace, id }] of refs.entries()) {
      const poolName = poolNames.get(pool) ?? (await getPool(ctx, pool)).name;
      poolNames.set(pool, poolName);
      found.push({ pool, namespace, id, poolName, name: records[i]?.name ?? '', trash: trashed[i] !== undefined });
    }
    level = [];
    if (!options.descendants) break;
    // Clones are made of snapshots: an image without any has none.
    for (const record of records) if (record && record.snaps.length > 0) level.push(...await childRecords(ctx, record));
  }
  return found.sort((a, b) => compare(a.poolName, b.poolName) || compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

const compare = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));

/** In the transaction that ends it: the clone has no parent any more. Call `childLeft` after the commit; a crash in between is seen to at the next start. */
export function leaveParent(tx: Tx, { pool, namespace, id }: ImageRef, parent: ParentRecord): LeftRecord {
  const left = { child: { pool, namespace, id }, parent };
  tx.remove(keys.child(parent.image, parent.snapId, left.child));
  tx.put(keys.left(left.child), left);
  return left;
}

/** A clone was removed or flattened: a snapshot in the trash that has no other goes, and the parent's marks are put right. */
export async function childLeft(ctx: Context, { child, parent }: LeftRecord): Promise<void> {
  if (!await anyChild(ctx, parent.image, parent.snapId)) await dropTrashedSnap(ctx, parent.image, parent.snapId);
  await transact(ctx.store, async (tx) => {
    tx.remove(keys.left(child));
    const record = await tx.get<ImageRecord>(keys.image(parent.image));
    if (!record || (record.opFeatures & OpFeature.CLONE_PARENT) === 0 || await hasCloneOfFormat2(ctx, parent.image)) return;
    tx.put(keys.image(parent.image), { ...record, opFeatures: record.opFeatures & ~OpFeature.CLONE_PARENT });
  });
}

/** With thousands of clones that come and go not all are read each time: mostly the first one found tells. */
async function hasCloneOfFormat2(ctx: Context, image: ImageRef): Promise<boolean> {
  const first = await anyChild(ctx, image);
  return first !== undefined && (first.format === 2 || (await childRecords(ctx, image)).some(({ format }) => format === 2));
}

/** At start: parents that were not told. */
export async function tellParents(ctx: Context): Promise<void> {
  for (const { value } of await ctx.store.list({ prefix: keys.lefts })) {
    await childLeft(ctx, JSON.parse(value) as LeftRecord).catch((error: unknown) => ctx.log(`a parent is not told yet that a clone is gone: ${String(error)}`));
  }
}
