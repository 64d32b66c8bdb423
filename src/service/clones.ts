// Clones: images that begin as what a snapshot of another is. No data moves. Behind: rbd_clone*.
import type { Context } from './context.js';
import { OpFeature } from './children.js';
import { ServiceError } from './errors.js';
import { Feature } from './features.js';
import { findImage, imageById, imageByName, newImageId, newRecord, putNewImage, shapeOf, type CreateOptions } from './images.js';
import { refer } from './layers.js';
import { listMetadata } from './metadata.js';
import { checkName, isImageName } from './names.js';
import { requirePlace } from './namespaces.js';
import { keys, type At, type ChildRecord, type ImageRecord, type ParentRecord } from './records.js';
import type { Session } from './sessions.js';
import { choose } from './snapshots.js';
import { changed } from './state.js';
import { transact } from './transact.js';

export interface CloneRequest {
  readonly at: At;
  /** The parent: its name, or its id. */
  readonly image?: string;
  readonly imageId?: string;
  /** Its snapshot: name or id. */
  readonly snap?: string;
  readonly snapId?: number;
  readonly to: At;
  readonly name: string;
  readonly options: CreateOptions & { readonly cloneFormat?: number };
  readonly op?: string;
}

/** ENOENT, EEXIST, EINVAL (unprotected with format 1, no snapshot, one of no bytes), ENOSYS (no layering), ENOEXEC (layering cleared) and whatever a create gives for its options. */
export async function cloneImage(ctx: Context, session: Session, request: CloneRequest): Promise<{ id: string; order: number }> {
  return ctx.ops.once<{ id: string; order: number }>(request.op, async (finish) => {
    const { at, to, name, options } = request;
    if (request.snap === undefined && request.snapId === undefined) throw new ServiceError('EINVAL', 'a clone is made from a snapshot');
    checkName('image', name);
    const parent = request.imageId === undefined ? await parentByName(ctx, at, request.image ?? '') : await imageById(ctx, { ...at, id: request.imageId });
    const snap = choose(parent, { ...(request.snap === undefined ? {} : { name: request.snap }), ...(request.snapId === undefined ? {} : { id: request.snapId }) });
    const format = formatOf(ctx, session, options.cloneFormat ?? 0);
    if (format === 1 && at.namespace !== to.namespace) throw new ServiceError('EXDEV', 'a clone in another namespace has format 2');
    if (!hasLayering(parent.features)) throw new ServiceError('ENOSYS', `image ${parent.name} does not have the layering feature`);
    if (format === 1 && !snap.isProtected) throw new ServiceError('EINVAL', `snapshot ${snap.name} is not protected`);
    if (await findImage(ctx, to, name)) throw new ServiceError('EEXIST', `image ${name} exists`);
    if (!hasLayering(options.features ?? parent.features)) throw new ServiceError('ENOSYS', 'a clone needs the layering feature');
    const shape = await shapeOf(ctx, session.identity.entity, to.pool, inherited(options, parent));
    if (!hasLayering(shape.features)) throw new ServiceError('ENOEXEC', 'a clone needs the layering feature, which is to be cleared');
    if (snap.size === 0) throw new ServiceError('EINVAL', `snapshot ${snap.name} is of an image without bytes`);
    const metadata = await listMetadata(ctx, parent);
    const id = await newImageId(ctx, session, to);
    const image = { pool: parent.pool, namespace: parent.namespace, id: parent.id };
    const link: ParentRecord = { image, snapId: snap.id, overlap: snap.size, format };
    const made = await transact(ctx.store, async (tx) => {
      const now = await tx.get<ImageRecord>(keys.image(parent));
      const stillThere = now?.snaps.find((one) => one.id === snap.id);
      if (!now || !stillThere) throw new ServiceError('ENOENT', `snapshot ${snap.name} is gone`);
      if (format === 1 && !stillThere.isProtected) throw new ServiceError('EINVAL', `snapshot ${snap.name} is not protected`);
      await requirePlace(tx, to);
      await refer(tx, stillThere.top.layer);
      const record: ImageRecord = {
        ...newRecord(ctx, { id, name, at: to, size: snap.size, shape }), opFeatures: format === 2 ? OpFeature.CLONE_CHILD : 0,
        top: { layer: stillThere.top.layer, overlap: Math.min(snap.size, stillThere.top.overlap) }, head: false, parent: link,
      };
      await putNewImage(tx, record);
      tx.put(keys.child(image, snap.id, record), { image: { ...to, id }, format } satisfies ChildRecord);
      // Also where nothing changes in it: who looks for clones and then changes the parent must find this one (unprotectSnapshot).
      tx.put(keys.image(parent), format === 2 ? { ...now, opFeatures: now.opFeatures | OpFeature.CLONE_PARENT } : now);
      for (const entry of metadata) tx.put(keys.metadata(record, entry.name), entry.value);
      return finish(tx, { id, order: record.order });
    });
    if (format === 2 && (parent.opFeatures & OpFeature.CLONE_PARENT) === 0) await changed(ctx, parent);
    return made;
  });
}

/** A name that no image can have is only not there, unlike where it is opened. */
async function parentByName(ctx: Context, at: At, name: string): Promise<ImageRecord> {
  if (!isImageName(name)) throw new ServiceError('ENOENT', 'there is no image of a name that long');
  return imageByName(ctx, at, name);
}

/**
 * What is not asked for is as the parent has it; a stripe unit that does not fit a smaller object is refused then, as by librbd.
 * An order of 0 that is asked for is the default, whatever the parent's is.
 */
function inherited(options: CreateOptions, parent: ImageRecord): CreateOptions {
  const { order, features, stripeUnit, stripeCount } = parent;
  return { order, features, stripeUnit, stripeCount, ...options };
}

/** The lowest bit; also of masks that bit operators do not see whole. */
const hasLayering = (features: number): boolean => features % 2 === Feature.LAYERING;

/** "auto" is 1: what 16.2.15 takes until an administrator asks for newer clients. */
function formatOf(ctx: Context, session: Session, asked: number): 1 | 2 {
  if (asked !== 0 && asked !== 1 && asked !== 2) throw new ServiceError('EINVAL', `clone format ${asked} is neither 1 nor 2`);
  if (asked !== 0) return asked;
  return ctx.clientConfig(session.identity.entity)['rbd_default_clone_format'] === '2' ? 2 : 1;
}
