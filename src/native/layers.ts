// The typed face of the addon's work on layers (shim/addon/layers.cc): flatten, merge and measure them beside the event loop.
// Each may be cut short by anything and run again from the beginning. It knows nothing of images or of which layers there are.
import {loadAddon} from './addon.js';

/** A volume: an open file (the descriptor stays the caller's), or a CurveBS volume behind a nebd-server. */
export type VolumeAccess = {
  readonly fd: number
}|{
  readonly nebd: {readonly socket: string; readonly file: string; readonly size: number; readonly blockSize?: number};
};

/** A layer: `size` says how many of its bytes count. */
export type LayerAccess = VolumeAccess&{readonly kind: 'plain' | 'cow'; readonly size: number};

/** Told bytes done and in all; returning false ends the work soon, with an error of code ECANCELED. */
export type LayerProgress = (done: number, total: number) => boolean;

interface NativeLayers {
  flattenLayers(options: object, onProgress?: LayerProgress): Promise<void>;
  mergeLayer(options: object, onProgress?: LayerProgress): Promise<void>;
  giveBackZeroes(options: object): Promise<void>;
  layerUsage(layer: object): Promise<{dataBytes: number}>;
}

function native(): NativeLayers {
  return loadAddon() as NativeLayers;
}

/**
 * Copies the bytes [0, length) that a chain shows (newest first, clipped by the sizes) into a plain volume of zeroes, and flushes.
 * What is zero is not written. Rejects with an Error that has Node's `code` and `errno`.
 */
export async function flattenLayers(
    options: {readonly layers: readonly LayerAccess[]; readonly target: VolumeAccess; readonly length: number},
    onProgress?: LayerProgress): Promise<void> {
  return native().flattenLayers(options, onProgress);
}

/**
 * Puts what the cow layer `upper` owns of [0, length) onto `lower`, of which `visible` bytes counted before (what is behind them
 * becomes zero); afterwards `lower` alone shows what both show. Its volume must be large enough already.
 */
export async function mergeLayer(
    options: {readonly upper: LayerAccess; readonly lower: LayerAccess; readonly visible: number; readonly length: number},
    onProgress?: LayerProgress): Promise<void> {
  return native().mergeLayer(options, onProgress);
}

/**
 * Of a plain layer's ranges (offset, length, offset, length ...) gives back those whole pieces of `grain` bytes that hold nothing but
 * zeroes. Nobody may write there meanwhile. EOPNOTSUPP for a volume whose discarded ranges do not read as zeroes.
 */
export async function giveBackZeroes(options: {readonly layer: LayerAccess; readonly ranges: readonly number[]; readonly grain: number}): Promise<void> {
  return native().giveBackZeroes(options);
}

/** How many bytes a cow layer holds as data. */
export async function layerUsage(layer: LayerAccess): Promise<{dataBytes: number}> {
  return native().layerUsage(layer);
}
