// Makes the bytes of a volume from some offset on read as zeroes: CurveBS cannot shrink a volume, and what an image gave up
// must not come back when it grows again. Knows no image.

import type { NebdSession, OpenedFile } from './nebd.js';

const GIB = 1024 ** 3;
const PIECE = 1024 * 1024;
/** Pieces under way at a time. */
const DEPTH = 4;

/**
 * Reads what takes space of `range` (any bytes), writes zeroes over what is not zero, and gives whole segments back. What lies
 * behind `to` is zero already. May be repeated. `isAllocated` says whether the 1 GiB segment at an offset takes space; one that does not is zero.
 */
export async function zeroTail(nebd: NebdSession, file: OpenedFile, range: { from: number; to: number }, isAllocated: (offset: number) => Promise<boolean>): Promise<void> {
  const { from } = range;
  const end = Math.min(file.size, Math.ceil(range.to / file.blockSize) * file.blockSize);
  const first = Math.floor(from / file.blockSize) * file.blockSize;
  if (first < from && first < file.size) {
    const block = await nebd.read(file, first, file.blockSize);
    if (block.subarray(from - first).some((byte) => byte !== 0)) await nebd.write(file, first, Buffer.from(block).fill(0, from - first));
  }
  const begin = Math.ceil(from / file.blockSize) * file.blockSize;
  for (let segment = Math.floor(begin / GIB) * GIB; segment < end; segment += GIB) {
    if (!(await isAllocated(segment))) continue;
    const [low, high] = [Math.max(begin, segment), Math.min(segment + GIB, end)];
    if (low >= high) continue;
    await zeroRange(nebd, file, low, high);
    if (low === segment) await nebd.discard(file, segment, GIB);
  }
}

async function zeroRange(nebd: NebdSession, file: OpenedFile, low: number, high: number): Promise<void> {
  let next = low;
  const worker = async (): Promise<void> => {
    while (next < high) {
      const [at, length] = [next, Math.min(PIECE, high - next)];
      next += length;
      const data = await nebd.read(file, at, length);
      if (!isZero(data)) await nebd.write(file, at, Buffer.alloc(length));
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, worker));
}

const ZEROES = Buffer.alloc(PIECE);

function isZero(data: Buffer): boolean {
  return data.equals(ZEROES.subarray(0, data.length));
}
