// The stand-in keeps CurveBS's rules where no recorded traffic shows them: time, use by others, durability, garbage.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { NebdSession } from '../../src/backend/curvebs/nebd.js';
import { ManualClock } from './clock.js';
import { Cluster } from './cluster.js';
import { GIB } from './namespace.js';
import { Wire } from './replay.js';

/** Of calls that are answered; what is silence is told apart by a short one. */
const PATIENT_MS = 60_000;

interface Setting {
  readonly folder: string;
  readonly clock: ManualClock;
  cluster: Cluster;
  status(method: string, fields: Record<string, unknown>): string;
}

async function setUp(test: Test): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const clock = new ManualClock();
  const setting: Setting = {
    folder, clock, cluster: new Cluster({ folder, clock }),
    status: (method, fields) => setting.cluster.mds.call(method, { owner: 'user1', date: clock.now() * 1000, ...fields }).statusCode,
  };
  await setting.cluster.start();
  test.teardown(async () => {
    await setting.cluster.stop();
    rmSync(folder, { recursive: true });
  });
  test.equal(setting.status('CreateFile', { fileName: '/pool', fileType: 'INODE_DIRECTORY' }), 'kOK');
  test.equal(setting.status('CreateFile', { fileName: '/pool/disk', fileType: 'INODE_PAGEFILE', fileLength: 10 * GIB }), 'kOK');
  return setting;
}

const NAME = 'cbd:a//pool/disk_user1_:';

t.test('a file without KeepAlive is closed after 30 s, and opened again by I/O', async (test) => {
  const { cluster, clock } = await setUp(test);
  const nebd = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const file = await nebd.open(NAME);
  clock.advance(29_000);
  test.ok(cluster.nebd.isOpen(NAME));
  clock.advance(2_000);
  test.notOk(cluster.nebd.isOpen(NAME));
  test.equal((await nebd.read(file, 0, 4096)).length, 4096);
  test.ok(cluster.nebd.isOpen(NAME));
  nebd.close();
});

t.test('that a volume is in use is known from 1.25 s on, and until it is closed', async (test) => {
  const { cluster, clock, status } = await setUp(test);
  const nebd = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const file = await nebd.open(NAME);
  test.equal(status('FindFileMountPoint', { fileName: '/pool/disk' }), 'kFileNotExists');
  clock.advance(1300);
  test.equal(status('FindFileMountPoint', { fileName: '/pool/disk' }), 'kOK');
  test.equal(status('DeleteFile', { fileName: '/pool/disk' }), 'kFileOccupied');
  test.equal(status('RenameFile', { oldFileName: '/pool/disk', newFileName: '/pool/other' }), 'kFileOccupied');
  await nebd.closeFile(file.fd);
  test.equal(status('DeleteFile', { fileName: '/pool/disk' }), 'kOK');
  nebd.close();
});

t.test('a volume removed right after it was opened: its I/O is never answered, CloseFile hangs', async (test) => {
  const { cluster, status } = await setUp(test);
  const nebd = await NebdSession.connect(cluster.nebdSocket, 200);
  const file = await nebd.open(NAME);
  test.equal(status('DeleteFile', { fileName: '/pool/disk' }), 'kOK');
  await test.rejects(nebd.read(file, 0, 4096), /does not answer/);
  await test.rejects(nebd.closeFile(file.fd), /does not answer/);
  nebd.close();
});

t.test('rename onto a volume puts that one into the recycle bin, from where it can be recovered', async (test) => {
  const { cluster, status } = await setUp(test);
  status('CreateFile', { fileName: '/pool/other', fileType: 'INODE_PAGEFILE', fileLength: 11 * GIB });
  test.equal(status('RenameFile', { oldFileName: '/pool/disk', newFileName: '/pool/other' }), 'kOK');
  test.equal(cluster.mds.find('/pool/other', 'user1')?.length, 10 * GIB);
  test.equal(status('DeleteFile', { fileName: '/pool/other' }), 'kOK');
  test.equal(status('RecoverFile', { fileName: '/pool/other' }), 'kOK');
});

t.test('all that was answered is there after a kill', async (test) => {
  const setting = await setUp(test);
  const nebd = await NebdSession.connect(setting.cluster.nebdSocket, PATIENT_MS);
  const file = await nebd.open(NAME);
  await nebd.write(file, 5 * GIB, Buffer.alloc(4096, 9));
  nebd.close();
  await setting.cluster.stop();
  setting.cluster = new Cluster({ folder: setting.folder, clock: setting.clock });
  await setting.cluster.start();
  const again = await NebdSession.connect(setting.cluster.nebdSocket, PATIENT_MS);
  test.equal((await again.read(file, 5 * GIB, 4096))[100], 9, 'even on the same fd');
  test.equal(setting.status('CreateFile', { fileName: '/pool/disk', fileType: 'INODE_PAGEFILE', fileLength: 10 * GIB }), 'kFileExists');
  again.close();
});

t.test('garbage ends its own connection, and nothing else', async (test) => {
  const { cluster } = await setUp(test);
  for (let seed = 1; seed < 60; seed++) {
    const wire = await Wire.open({ path: cluster.nebdSocket });
    const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => (seed * 7919 + i * i * 31) & 255));
    if (seed % 3 === 0) bytes.write('PRPC', 0, 'latin1');
    if (seed % 3 === 0) bytes.writeUInt32BE(seed % 2 ? 188 : 0x7fffffff, 4);
    if (seed % 6 === 3) bytes.writeUInt32BE(seed % 40, 8);
    wire.send(bytes);
    // It is cut off, or answered with brpc's error, or waited on for the rest of a frame.
    await wire.receive(new Promise((done) => setTimeout(done, 5)));
    wire.close();
  }
  const nebd = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  test.ok((await nebd.open(NAME)).fd > 0);
  test.equal(cluster.nebdServer.crash, undefined);
  nebd.close();
});
