// Who reads and who writes where only one may write: images whose head is a cow layer, or that have none yet.
// docs/protocol-layers.md, "Who may read and write". Everything here runs under the image's lock.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { imageById } from './images.js';
import { isShared } from './layers.js';
import { imageKey, keys, type Hold, type ImageRecord, type ImageRef, type LayerRecord } from './records.js';
import type { OpenImage, Session } from './sessions.js';
import { readRecord, transact } from './transact.js';
import { makeLayer, whereabouts } from './volumes.js';

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
    if (mode === 'write' && !image.head) await makeHead(ctx, image);
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
  for (const open of session.handles.values()) {
    if (open.holds === 'write' && !how.orderly) ctx.deadWriters.add(imageKey(open.image));
    open.holds = 'none';
  }
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
    const outcome = await ctx.sessions.askOne(open, 'image.giveUp', { params: { to, serial: ctx.nextSerial() } }, ctx.drainMs);
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
  if (how.wasWriter) await fenceHead(ctx, await imageById(ctx, open.image));
  open.fenced = true;
  open.holds = 'none';
  await ctx.sessions.record(open.session);
}

async function fenceDeadWriter(ctx: Context, image: ImageRecord): Promise<void> {
  if (!ctx.deadWriters.delete(imageKey(image)) || !image.head) return;
  const layer = await readRecord<LayerRecord>(ctx.store, keys.layer(image.top.layer));
  if (!layer) return;
  const { backend } = await whereabouts(ctx, layer.pool);
  if (backend.rules.fencesDead) await fenceHead(ctx, image);
}

async function fenceHead(ctx: Context, image: ImageRecord): Promise<void> {
  if (!image.head) return;
  await transact(ctx.store, async (tx) => {
    const layer = await tx.get<LayerRecord>(keys.layer(image.top.layer));
    if (!layer) return;
    const { backend, place } = await whereabouts(ctx, layer.pool);
    await backend.fenceVolume(place, layer.volume);
    // A new generation: everybody opens the volume anew.
    tx.put(keys.layer(layer.id), { ...layer, generation: layer.generation + 1 });
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
      layer.adopt(tx, { parent: now.top });
      tx.put(keys.image(image), { ...now, head: true, top: { layer: layer.record.id, overlap: now.size } });
    });
  } catch (error) {
    await layer.abandon();
    throw error;
  }
}

