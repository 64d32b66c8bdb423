// The service's work on layers, done by the addon beside the event loop. It turns arguments and errors, nothing more.
import { Errno, ServiceError, type ErrnoName } from '../service/errors.js';
import type { LayerWorker, WorkVolume } from '../service/layer-worker.js';
import { flattenLayers, giveBackZeroes, mergeLayer, type LayerAccess } from './layers.js';

export const nativeLayerWorker: LayerWorker = {
  flatten: ({ layers, target, length, onProgress }) => translated('copying layers', () =>
    flattenLayers({ layers: layers.map(layerOf), target: layerOf(target), length }, onProgress)),
  merge: ({ upper, lower, onProgress }) => translated('merging layers', () =>
    mergeLayer({ upper: layerOf(upper), lower: layerOf(lower), visible: lower.size, length: upper.size }, onProgress)),
  giveBackZeroes: ({ volume, ranges, grain }) => translated('giving back zeroes', () =>
    giveBackZeroes({ layer: layerOf(volume), ranges: ranges.flatMap(({ offset, length }) => [offset, length]), grain })),
};

function layerOf({ kind, size, access }: WorkVolume): LayerAccess {
  if (access.driver === 'file') return { kind, size, fd: access.fd };
  const { socket, file, size: volumeSize, blockSize } = access;
  return { kind, size, nebd: { socket, file, size: volumeSize, blockSize } };
}

async function translated(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const errno: ErrnoName = Object.hasOwn(Errno, code) ? code as ErrnoName : 'EIO';
    throw new ServiceError(errno, `${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
