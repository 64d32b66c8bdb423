// What the daemon does to the bytes of layers itself: copying what a chain shows into one volume, merging one layer into the
// one below, giving back what is zero. Native code does it, off this thread; the service knows only this face of it.
import type { ByteRange, VolumeAccess } from '../backend/backend.js';
import type { ChainLayer } from './layers.js';
import { releaseAll } from './layers.js';
import type { Context } from './context.js';
import { keys, type LayerRecord } from './records.js';
import { readRecord } from './transact.js';
import { whereabouts } from './volumes.js';

/** A layer's volume, open for work. */
export interface WorkVolume {
  readonly kind: LayerRecord['kind'];
  /** How many of the layer's bytes count. */
  readonly size: number;
  readonly volumeSize: number;
  readonly access: VolumeAccess;
}

/** Each call may be repeated after a crash, and rejects with a ServiceError (ECANCELED where `onProgress` said false). */
export interface LayerWorker {
  /** What the layers show (the newest first) of bytes 0 to `length`, into a plain volume of zeroes; flushed. */
  flatten(work: { layers: readonly WorkVolume[]; target: WorkVolume; length: number; onProgress: (done: number, total: number) => boolean }): Promise<void>;
  /** What `upper` owns onto `lower`, of which `lower.size` bytes count and the rest becomes zero; flushed. */
  merge(work: { upper: WorkVolume; lower: WorkVolume; onProgress: (done: number, total: number) => boolean }): Promise<void>;
  /** Of ranges of a plain volume, to which nobody writes, gives back the pieces of `grain` bytes that are zero. */
  giveBackZeroes(work: { volume: WorkVolume; ranges: readonly ByteRange[]; grain: number }): Promise<void>;
}

/** The session number under which the daemon itself opens volumes. */
const ownSession = 0;
let nextWork = 0;

/**
 * Opens the volumes of layers for the daemon's own work; none is removed before `release` is called. Undefined where a layer is no
 * longer what it was when the caller read of it.
 */
export async function openForWork(
  ctx: Context, layers: readonly ChainLayer[], options: { writable: string },
): Promise<{ volumes: WorkVolume[]; release(): void } | undefined> {
  const volumes: WorkVolume[] = [];
  nextWork += 1;
  const handle = nextWork;
  const unpin = ctx.pin(layers.map(({ layer }) => layer.volume));
  const release = (): void => {
    releaseAll(volumes.map(({ access }) => access));
    unpin();
    for (const backend of ctx.backends.values()) backend.forgetVolumes(ownSession, handle);
  };
  try {
    for (const { layer, visible } of layers) {
      // A volume is removed after its record was: one that is there now, and pinned, stays.
      const now = await readRecord<LayerRecord>(ctx.store, keys.layer(layer.id));
      const isNew = now === undefined && layer.id === options.writable;
      if (!isNew && (now?.volume !== layer.volume || now.generation !== layer.generation)) {
        release();
        return undefined;
      }
      const { backend, place } = await whereabouts(ctx, layer.pool);
      const access = await backend.openVolume(place, layer.volume, { writable: layer.id === options.writable, session: ownSession, handle });
      volumes.push({ kind: layer.kind, size: visible, volumeSize: layer.volumeSize, access });
    }
    return { volumes, release };
  } catch (error) {
    release();
    throw error;
  }
}
