// Debian's qemu-img and qemu-io, unmodified, on our librbd.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { mustRun, python, runClient } from '../lib/stock-client.js';

const MiB = 1024 * 1024;

for (const backend of backends) t.test(`qemu-img and qemu-io on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  const folder = mkdtempSync('/tmp/cbd-qemu-');
  t.teardown(async () => {
    await served.destroy();
    rmSync(folder, { recursive: true, force: true });
  });
  const qemu = (...args: string[]) => mustRun(served, 'qemu-img', args);

  await t.test('qemu-img makes an image, says what it is and resizes it', async (t) => {
    await qemu('create', '-f', 'raw', 'rbd:rbd/made', '64M');
    const info = JSON.parse(await qemu('info', '--output=json', '-f', 'raw', 'rbd:rbd/made')) as Record<string, unknown>;
    t.equal(info['virtual-size'], 64 * MiB);
    t.equal(info['format'], 'raw');
    await qemu('resize', '-f', 'raw', 'rbd:rbd/made', '96M');
    await qemu('resize', '-f', 'raw', '--shrink', 'rbd:rbd/made', '32M');
    const resized = JSON.parse(await qemu('info', '--output=json', '-f', 'raw', 'rbd:rbd/made')) as Record<string, unknown>;
    t.equal(resized['virtual-size'], 32 * MiB);
    const again = await runClient(served, 'qemu-img', ['create', '-f', 'raw', 'rbd:rbd/made', '64M']);
    t.not(again.code, 0);
    t.match(again.stderr, /File exists/);
    const missing = await runClient(served, 'qemu-img', ['info', 'rbd:rbd/missing']);
    t.not(missing.code, 0);
    t.match(missing.stderr, /No such file/);
  });

  await t.test('a converted image is equal to its source, from and to raw and qcow2', async (t) => {
    const source = join(folder, 'source.raw');
    // Data, a hole, data, and a size that is no multiple of anything but the sector.
    writeFileSync(source, Buffer.concat([randomBytes(5 * MiB), Buffer.alloc(9 * MiB), randomBytes(MiB + 512)]));
    truncateSync(source, 24 * MiB + 512);
    await qemu('convert', '-f', 'raw', '-O', 'raw', source, 'rbd:rbd/raw');
    t.match(await qemu('compare', '-f', 'raw', '-F', 'raw', source, 'rbd:rbd/raw'), /identical/);
    const qcow2 = join(folder, 'copy.qcow2');
    await qemu('convert', '-f', 'raw', '-O', 'qcow2', 'rbd:rbd/raw', qcow2);
    t.match(await qemu('compare', '-f', 'raw', '-F', 'qcow2', source, qcow2), /identical/);
    await qemu('convert', '-f', 'qcow2', '-O', 'raw', '-W', '-m', '8', qcow2, 'rbd:rbd/from-qcow2');
    t.match(await qemu('compare', '-f', 'raw', '-F', 'raw', 'rbd:rbd/from-qcow2', 'rbd:rbd/raw'), /identical/);
    const back = join(folder, 'back.raw');
    await qemu('convert', '-f', 'raw', '-O', 'raw', 'rbd:rbd/from-qcow2', back);
    t.ok(readFileSync(source).equals(readFileSync(back)));
  });

  await t.test('a snapshot is converted as it was, and a clone of it is benchmarked and converted as it is', async (t) => {
    const [before, after] = [join(folder, 'before.raw'), join(folder, 'after.raw')];
    await qemu('convert', '-f', 'raw', '-O', 'raw', 'rbd:rbd/raw', before);
    await qemu('snapshot', '-c', 's', 'rbd:rbd/raw');
    await mustRun(served, 'qemu-io', ['-f', 'raw', '-c', 'write -P 77 1000k 300k', '-c', 'write -z 20M 2M', 'rbd:rbd/raw']);
    await qemu('convert', '-f', 'raw', '-O', 'raw', 'rbd:rbd/raw@s', after);
    t.ok(readFileSync(before).equals(readFileSync(after)), 'the snapshot is what the image was');
    t.notMatch(await qemu('compare', '-f', 'raw', '-F', 'raw', 'rbd:rbd/raw@s', 'rbd:rbd/raw').catch((error: Error) => error.message), /identical/);
    await python(served, "with rbd.Image(io, 'raw') as i: i.protect_snap('s')\nR.clone(io, 'raw', 's', io, 'child')");
    t.match(await qemu('compare', '-f', 'raw', '-F', 'raw', before, 'rbd:rbd/child'), /identical/);
    t.match(await qemu('bench', '-f', 'raw', '-w', '-c', '3000', '-d', '32', '--flush-interval=64', '--pattern=5', 'rbd:rbd/child'), /completed/);
    t.match(await qemu('bench', '-f', 'raw', '-c', '3000', '-d', '32', '-n', 'rbd:rbd/child'), /completed/);
    await qemu('convert', '-f', 'raw', '-O', 'raw', 'rbd:rbd/child', after);
    const [old, now] = [readFileSync(before), readFileSync(after)];
    const written = 3000 * 4096;
    t.ok(now.subarray(0, written).equals(Buffer.alloc(written, 5)));
    t.ok(now.subarray(written).equals(old.subarray(written)), 'the rest is the snapshot\'s');
    t.ok(old.equals(readFileSync(before)));
    t.match(await qemu('compare', '-f', 'raw', '-F', 'raw', before, 'rbd:rbd/raw@s'), /identical/);
  });

  // On CurveBS nobody knows what a plain image holds, and a discard promises nothing about what is read.
  const isLocal = backend === 'local';
  await t.test('qemu-img map shows what holds data', async (t) => {
    await qemu('create', '-f', 'raw', 'rbd:rbd/map', '32M');
    await mustRun(served, 'qemu-io', ['-f', 'raw', '-c', 'write -P 1 9M 100k', 'rbd:rbd/map']);
    const map = JSON.parse(await qemu('map', '--output=json', '-f', 'raw', 'rbd:rbd/map')) as { start: number; length: number; data: boolean }[];
    t.same(map.filter((e) => e.data).map((e) => [e.start, e.length]), isLocal ? [[8 * MiB, 4 * MiB]] : [[0, 32 * MiB]]);
    t.equal(map.reduce((sum, e) => sum + e.length, 0), 32 * MiB);
  });

  await t.test('qemu-img bench writes and reads at depth 32', async (t) => {
    await qemu('create', '-f', 'raw', 'rbd:rbd/bench', '32M');
    t.match(await qemu('bench', '-f', 'raw', '-w', '-c', '3000', '-d', '32', '--flush-interval=64', 'rbd:rbd/bench'), /completed/);
    t.match(await qemu('bench', '-f', 'raw', '-c', '3000', '-d', '32', '-n', 'rbd:rbd/bench'), /completed/);
  });

  await t.test('qemu-io writes, reads, zeroes and discards at offsets of 512 bytes', async (t) => {
    await qemu('create', '-f', 'raw', 'rbd:rbd/io', '16M');
    for (const cache of ['none', 'writeback', 'writethrough', 'directsync']) {
      const output = await mustRun(served, 'qemu-io', ['-f', 'raw', '-t', cache,
        '-c', 'write -P 5 512 1536', '-c', 'read -P 5 512 1536', '-c', 'read -P 0 0 512',
        '-c', 'aio_write -P 7 1000k 3k', '-c', 'aio_write -P 8 1003k 512', '-c', 'aio_flush', '-c', 'read -P 7 1000k 3k', '-c', 'read -P 8 1003k 512',
        '-c', 'write -P 9 2M 4M', '-c', 'write -z 2097664 512', '-c', 'read -P 0 2097664 512', '-c', 'read -P 9 2M 512', '-c', 'read -P 9 2098176 512',
        '-c', 'write -z -u 3M 1M', '-c', 'read -P 0 3M 1M', '-c', 'discard 4M 1M', ...(isLocal ? ['-c', 'read -P 0 4M 1M'] : []), '-c', 'read -P 9 5M 1M',
        '-c', 'flush', '-c', 'discard 0 16M', ...(isLocal ? ['-c', 'read -P 0 0 16M'] : []), 'rbd:rbd/io']);
      t.notMatch(output, /fail|error/i, cache);
    }
    const beyond = await runClient(served, 'qemu-io', ['-f', 'raw', '-c', 'read 16M 512', 'rbd:rbd/io']);
    t.match(beyond.stdout + beyond.stderr, /Input\/output error|Invalid argument/);
  });
});
