// Which 1 GiB segments of a volume take space: all that CurveBS knows of where data is. Knows no image.

import type { ByteRange } from '../backend.js';
import type { MdsClient } from './mds.js';

const GIB = 1024 ** 3;
/** Questions to the MDS under way at a time. */
const DEPTH = 8;

/**
 * What of a range takes space, in order and joined; the rest reads as zeroes. Undefined where that cannot be told: of a volume that CurveBS's
 * own tools cloned, what takes no space of its own is read from its source.
 */
export async function findAllocated(mds: MdsClient, volume: { path: string; owner: string }, { offset, length }: ByteRange): Promise<ByteRange[] | undefined> {
  const { path, owner } = volume;
  if (await isClone(mds, volume)) return undefined;
  const end = offset + length;
  const first = Math.floor(offset / GIB);
  const isTaken: boolean[] = [];
  let next = first;
  const worker = async (): Promise<void> => {
    while (next * GIB < end) {
      const segment = next++;
      isTaken[segment - first] = await mds.isAllocated(path, owner, segment * GIB);
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, worker));
  const found: ByteRange[] = [];
  isTaken.forEach((taken, index) => {
    if (!taken) return;
    const from = Math.max((first + index) * GIB, offset);
    const to = Math.min((first + index + 1) * GIB, end);
    const last = found.at(-1);
    if (last && last.offset + last.length === from) found.splice(-1, 1, { offset: last.offset, length: to - last.offset });
    else found.push({ offset: from, length: to - from });
  });
  return found;
}

/** Whether a segment that takes no space need not be zero. */
export async function isClone(mds: MdsClient, { path, owner }: { path: string; owner: string }): Promise<boolean> {
  return ((await mds.getFileInfo(path, owner)).cloneSource ?? '') !== '';
}
