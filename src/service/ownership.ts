// Who reads and who writes where only one may write: images whose head is a cow layer, or that have none yet.
// docs/protocol-layers.md, "Who may read and write". Everything here runs under the image's lock.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { limitImage } from './qos.js';
import { isShared, layerIn, layerTag, readChain } from './layers.js';
import { imageKey, keys, type Hold, type ImageRecord, type ImageRef, type LayerRecord } from './records.js';
import { answerMs, type OpenImage, type Session } from './sessions.js';
import { readRecord, transact, type Tx } from './transact.js';
import { makeLayer, whereabouts } from './volumes.js';
import type { Store } from '../store/store.js';

/** Grants `mode` to a handle, and makes the head where it is to write and there is none. EROFS, ESHUTDOWN, ETIMEDOUT. */
export async function takeOwnership(ctx: Context, open: OpenImage, mode: 'read' | 'write'): Promise<void> {
  await ctx.imageLocks.run(imageKey(open.image), async () => {
    if (open.fenced) throw new ServiceError('ESHUTDOWN', 'this handle did not answer, and its volume was taken from it');
    if (open.snapId !== null) return;
    if (mode === 'write' && open.readOnly) throw new ServiceError('EROFS', 'the image is open read-only');
    const image = await imageById(ctx, open.image);
    if (await isShared(ctx, image)) return;
    await ctx.sessions.settled(image);
    await takeFromOthers(ctx, open, mode);
    await fenceDeadWriter(ctx, image);
    if (mode === 'write' && !image.head) {
      await makeHead(ctx, image);
      await limitImage(ctx, image);
    }
    open.holds = mode === 'read' && open.holds === 'write' ? 'write' : mode;
    await ctx.sessions.record(open.session);
  });
}

/** Gives up of one's own will. */
export async function giveUpOwnership(ctx: Context, open: OpenImage, to: 'none' | 'read'): Promise<void> {
  if (to === 'none' || open.holds === 'write') open.holds = to;
  await ctx.sessions.record(open.session);
}

/** What a handle that opens the image may do without asking: read, where nobody writes. Disturbs nobody. */
export function holdForOpener(ctx: Context, image: ImageRef): Hold {
  return writerOf(ctx, image) ? 'none' : 'read';
}

/** Where nobody writes, everybody may read: after the head was frozen, for instance. To be told to them afterwards. */
export function letAllRead(ctx: Context, image: ImageRef): void {
  for (const open of ctx.sessions.openersOf(image)) if (open.snapId === null && !open.fenced) open.holds = 'read';
}

export function writerOf(ctx: Context, image: ImageRef): OpenImage | undefined {
  return ctx.sessions.openersOf(image).find((open) => open.holds === 'write');
}

/** A session ends. What it held is free; where it died writing, nothing of it may arrive at the volume any more. */
export async function releaseOwnershipOf(ctx: Context, session: Session, how: { orderly: boolean }): Promise<void> {
  for (const open of session.handles.values()) await releaseOwnership(ctx, open, how);
}

/** The same for one handle. */
export async function releaseOwnership(ctx: Context, open: OpenImage, how: { orderly: boolean }): Promise<void> {
  if (open.holds === 'write' && !how.orderly) await noteUnfenced(ctx.store, open.image, 'dead');
  open.holds = 'none';
}

/** Whether what the handle knows as layer `tag` is in its image still, and not taken from its writer (or merged) since. */
export async function isLayerCurrent(ctx: Context, open: OpenImage, tag: string): Promise<boolean> {
  if (open.fenced) return false;
  const { top, size } = await imageById(ctx, open.image);
  return (await readChain(ctx, top, size)).some(({ layer }) => layerTag(layer) === tag);
}

async function takeFromOthers(ctx: Context, open: OpenImage, mode: 'read' | 'write'): Promise<void> {
  const others = ctx.sessions.openersOf(open.image).filter((other) => other !== open && other.snapId === null);
  const wanted = others.filter((other) => (mode === 'write' ? other.holds !== 'none' : other.holds === 'write'));
  await Promise.all(wanted.map((other) => askToGiveUp(ctx, other, mode === 'write' ? 'none' : 'read')));
}

async function askToGiveUp(ctx: Context, open: OpenImage, to: 'none' | 'read'): Promise<void> {
  const before = open.holds;
  open.mayStillWrite = before === 'write';
  try {
    await untilGivenUp(ctx, open, before, to);
  } finally {
    open.mayStillWrite = false;
  }
}

async function untilGivenUp(ctx: Context, open: OpenImage, before: Hold, to: 'none' | 'read'): Promise<void> {
  for (;;) {
    // At once: no state that goes out from now on may say otherwise.
    open.holds = to;
    const question = { params: { to, serial: ctx.nextSerial() } };
    const patience = before === 'write' ? ctx.drainMs : Math.min(answerMs, ctx.drainMs);
    let outcome = await ctx.sessions.askOne(open, 'image.giveUp', question, patience);
    if (outcome === 'late' && before !== 'write') {
      // One that stands still reads nothing, and forgets what it knew first thing when it goes on: nobody needs to wait for it.
      if (ctx.isStopped(open.session.identity.pid)) return ctx.sessions.record(open.session);
      outcome = await ctx.sessions.askOne(open, 'image.giveUp', question, ctx.drainMs - patience);
    }
    if (outcome === 'late') return fence(ctx, open, { wasWriter: before === 'write' });
    // One that could not flush has nothing to keep either.
    if (outcome !== 'gone') return ctx.sessions.record(open.session);
    // Its connection was lost: it is dead, or comes back as what it was and is asked again.
    open.holds = before;
    if (await ctx.sessions.comesBack(open) === false) return;
  }
}

/** Takes the head's volume from a handle that does not answer. A reader's is merely told that it is out, should it ever ask. */
export async function fence(ctx: Context, open: OpenImage, how: { wasWriter: boolean }): Promise<void> {
  ctx.log(`session ${open.session.id} (pid ${open.session.identity.pid}) does not answer: image ${open.image.id} is taken from it`);
  open.fenced = true;
  open.holds = 'none';
  if (how.wasWriter) {
    await noteUnfenced(ctx.store, open.image, 'silent');
    await fenceHead(ctx, await imageById(ctx, open.image), { victim: open.session });
  }
  await ctx.sessions.record(open.session);
}

/**
 * Before anything is built on what a dead writer left: what it had sent, and is still under way, must not arrive afterwards. A silent one
 * from which the volume could not be taken (the disk was full) may still write by itself, whatever the backend.
 */
export async function fenceDeadWriter(ctx: Context, image: ImageRecord): Promise<void> {
  const writer = await readRecord<true | Writer>(ctx.store, keys.unfenced(image));
  if (writer === undefined) return;
  const layer = image.head ? await readRecord<LayerRecord>(ctx.store, keys.layer(image.top.layer)) : undefined;
  const isNeeded = layer !== undefined && (writer === 'silent' || (await whereabouts(ctx, layer.pool)).backend.rules.fencesDead === true);
  if (isNeeded) await fenceHead(ctx, image, {});
  else await ctx.store.commit({ changes: [{ remove: keys.unfenced(image) }], survives: 'process-death' });
}

type Writer = 'dead' | 'silent';

/** Stays noted until it is done, also over a restart of the daemon. (Earlier ones noted `true`, for dead.) */
async function noteUnfenced(store: Store, image: ImageRef, writer: Writer): Promise<void> {
  await store.commit({ changes: [{ put: keys.unfenced(image), value: JSON.stringify(writer) }], survives: 'process-death' });
}

/** The head's volume is another one from now on, that the session does not have. For whoever holds the image still. */
export async function takeHeadFrom(ctx: Context, image: ImageRecord, victim: Session): Promise<void> {
  await fenceHead(ctx, image, { victim });
}

/**
 * The layer gets a new generation before, so that the old writer is told that it is not his any more whenever he asks, and after,
 * so that who opened the volume in between opens it anew.
 */
async function fenceHead(ctx: Context, image: ImageRecord, { victim }: { victim?: Session }): Promise<void> {
  if (image.head) {
    const layer = await raiseGeneration(ctx, image);
    const { backend, place } = await whereabouts(ctx, layer.pool);
    await backend.fenceVolume(place, layer.volume);
    if (victim) await backend.closeVolumes(victim.id, { place, name: layer.volume });
  }
  await raiseGeneration(ctx, image, (tx) => tx.remove(keys.unfenced(image)));
}

async function raiseGeneration(ctx: Context, image: ImageRecord, also: (tx: Tx) => void = () => undefined): Promise<LayerRecord> {
  return transact(ctx.store, async (tx) => {
    const layer = await layerIn(tx, image.top.layer);
    if (image.head) tx.put(keys.layer(layer.id), { ...layer, generation: layer.generation + 1 });
    also(tx);
    return layer;
  });
}

/** Makes the cow layer that takes the image's writes from now on. */
async function makeHead(ctx: Context, image: ImageRecord): Promise<void> {
  const layer = await makeLayer(ctx, { pool: image.dataPool ?? image.pool, image: image.id, kind: 'cow', size: image.size });
  try {
    await transact(ctx.store, async (tx) => {
      const now = await tx.get<ImageRecord>(keys.image(image));
      if (!now || now.head || now.size !== image.size) throw new ServiceError('EAGAIN', `image ${image.name} changed meanwhile`);
      // The image's link to its newest layer becomes the new layer's.
      await layer.adopt(tx, { parent: now.top });
      tx.put(keys.image(image), { ...now, head: true, top: { layer: layer.record.id, overlap: now.size } });
    });
  } catch (error) {
    await layer.abandon();
    throw error;
  }
}

