// Flattening, merging and measuring layers from the daemon's side: arguments, progress, errors. The copying itself is tested
// natively (test/native/block/tools_test.cc).
import {closeSync, ftruncateSync, openSync, readSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {t} from 'tap';

import {flattenLayers, layerUsage, mergeLayer} from '../../src/native/layers.js';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** CRC-32C, as docs/layers.md demands. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function header(): Buffer {
  const out = Buffer.alloc(4096);
  out.write('cbd2rbd layer\n\x1a', 'latin1');
  out.writeUInt32LE(1, 16);
  out.writeUInt32LE(4096, 20);
  out.writeBigUInt64LE(65536n, 24);
  out.writeBigUInt64LE(BigInt(GiB), 32);
  out.writeUInt32LE(512, 40);
  out.writeUInt32LE(8, 44);
  out.writeUInt32LE(crc32c(out.subarray(0, 56)), 56);
  return out;
}

/** A file of a test's own folder. */
function makeFile(folder: string, name: string, size: number): number {
  const fd = openSync(join(folder, name), 'w+');
  ftruncateSync(fd, size);
  return fd;
}

/** A cow layer, as docs/layers.md lays it out, whose `blocks` are full of a byte, or zero. */
function makeCow(folder: string, name: string, size: number, blocks: ReadonlyMap<number, number>): number {
  const fd = makeFile(folder, name, GiB + size);
  writeSync(fd, header(), 0, 4096, 0);
  writeSync(fd, header(), 0, 4096, 32768);
  const sector = Buffer.alloc(512);
  for (const [block, value] of blocks) {
    const at = 8 + (block >> 2);
    sector.writeUInt8(sector.readUInt8(at) | (value ? 1 : 2) << 2 * (block % 4), at);
    if (value) writeSync(fd, Buffer.alloc(4096, value), 0, 4096, GiB + block * 4096);
  }
  sector.writeUInt32LE(crc32c(sector.subarray(8)), 0);
  writeSync(fd, sector, 0, 512, 65536);
  return fd;
}

function blockOf(fd: number, block: number): number|'mixed' {
  const bytes = Buffer.alloc(4096);
  readSync(fd, bytes, 0, 4096, block * 4096);
  const first = bytes.readUInt8(0);
  return bytes.every((byte) => byte === first) ? first : 'mixed';
}

t.test('layers', async (t) => {
  const folder = t.testdir();
  const size = 16 * 4096;

  t.test('a chain is flattened into a plain volume, and the script is told how far it is', async (t) => {
    const base = makeFile(folder, 'base', size);
    writeSync(base, Buffer.alloc(3 * 4096, 1), 0, 3 * 4096, 0);
    const cow = makeCow(folder, 'cow', size, new Map([[1, 2], [2, 0], [9, 9]]));
    const target = makeFile(folder, 'target', size);
    const told: Array<[number, number]> = [];
    await flattenLayers(
        {layers: [{kind: 'cow', size, fd: cow}, {kind: 'plain', size, fd: base}], target: {fd: target}, length: size},
        (done, total) => { told.push([done, total]); return true; });
    t.same([0, 1, 2, 3, 9].map((block) => blockOf(target, block)), [1, 2, 0, 0, 9]);
    t.same(told.at(-1), [size, size], 'the last report is of all');
    t.same(await layerUsage({kind: 'cow', size, fd: cow}), {dataBytes: 2 * 4096});
    for (const fd of [base, cow, target]) closeSync(fd);
  });

  t.test('a layer is merged into the one below, which is cut to what was visible', async (t) => {
    const lower = makeFile(folder, 'lower', size);
    writeSync(lower, Buffer.alloc(8 * 4096, 1), 0, 8 * 4096, 0);
    const upper = makeCow(folder, 'upper', size, new Map([[1, 2], [2, 0], [9, 9]]));
    await mergeLayer({
      upper: {kind: 'cow', size, fd: upper},
      lower: {kind: 'plain', size: 4 * 4096, fd: lower},
      visible: 4 * 4096,
      length: size,
    });
    t.same([0, 1, 2, 3, 4, 7, 9].map((block) => blockOf(lower, block)), [1, 2, 0, 1, 0, 0, 9]);
    closeSync(lower);
    closeSync(upper);
  });

  t.test('bad arguments, damaged layers and closed descriptors are refused with an errno', async (t) => {
    const plain = makeFile(folder, 'plain', size);
    const damaged = makeCow(folder, 'damaged', size, new Map([[1, 2]]));
    writeSync(damaged, Buffer.from('x'), 0, 1, 65536 + 100);
    await t.rejects(layerUsage({kind: 'plain', size, fd: plain}), {code: 'EINVAL'});
    await t.rejects(layerUsage({kind: 'cow', size, fd: damaged}), {code: 'EIO'});
    await t.rejects(layerUsage({kind: 'cow', size: -1, fd: damaged}), {code: 'EINVAL'});
    await t.rejects(layerUsage({kind: 'cow', size, fd: 100000}), {code: 'EBADF'});
    await t.rejects(
        flattenLayers({layers: [{kind: 'cow', size, fd: damaged}], target: {fd: plain}, length: size}), {code: 'EIO'});
    t.equal(blockOf(plain, 1), 0);
    closeSync(plain);
    closeSync(damaged);
  });
});
