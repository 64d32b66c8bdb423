// The stand-in against recorded traffic of a real CurveBS 2.7: the same requests get the same answers, byte for byte where
// nothing in them is variable.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { decodeFrame } from '../../src/backend/curvebs/baidu-std.js';
import { MessageWriter, bytesField, numberField, readFields } from '../../src/backend/curvebs/protobuf.js';
import { ManualClock } from './clock.js';
import { Cluster, type ClusterOptions } from './cluster.js';
import { decodeMessage } from './mds-schema.js';
import { GIB, RECYCLE_BIN_ID, type Inode } from './namespace.js';
import { NebdServer } from './nebd-server.js';
import { freePort } from './ports.js';
import { Wire, recorded, type Recorded } from './replay.js';

/** When the captures were made; requests carry dates of then. */
const THEN = 1795263918000;

interface Setting {
  readonly cluster: Cluster;
  readonly clock: ManualClock;
}

async function setUp(test: Test, options: Partial<ClusterOptions> = {}): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const clock = new ManualClock(THEN);
  const cluster = new Cluster({ folder, clock, ...options });
  await cluster.start();
  test.teardown(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true });
  });
  const blocksize = options.blockSize ?? 4096;
  const directory = { fileType: 'INODE_DIRECTORY', chunkSize: 16777216, segmentSize: GIB, length: 0, seqNum: 1, fileStatus: 'kFileCreated', stripeUnit: 0, stripeCount: 0, poolset: '', blocksize: 4096 } as const;
  cluster.files.put({ ...directory, id: 3, fileName: 'pool', parentId: 0, owner: 'user1', ctime: 1795262512740591 });
  cluster.files.put(volume(4, 'vol1', 3, 11, blocksize));
  cluster.files.put(volume(5, 'vol2', 3, 11, blocksize));
  cluster.files.put(volume(7, 'my_vol_x', 0, 10, blocksize));
  cluster.files.put(volume(11, 'b512', 0, 10, blocksize));
  cluster.files.put({ ...volume(9, 'rv', 0, 10, blocksize), owner: 'root' });
  return { cluster, clock };
}

function volume(id: number, fileName: string, parentId: number, gib: number, blocksize: number): Inode {
  return {
    id, fileName, parentId, fileType: 'INODE_PAGEFILE', owner: 'user1', chunkSize: 16777216, segmentSize: GIB, length: gib * GIB, ctime: 1795262581418386,
    seqNum: 1, fileStatus: 'kFileCreated', stripeUnit: 0, stripeCount: 0, throttleParams: { throttleParams: [{ type: 'IOPS_TOTAL', limit: 2000 }, { type: 'BPS_TOTAL', limit: 125829120 }] },
    poolset: 'default', blocksize,
  };
}

/** GetInfo's reply to compare: its two uninitialised numbers are left out. */
function masked(frame: Buffer | undefined): Buffer | undefined {
  if (frame === undefined) return undefined;
  const info = bytesField(readFields(decodeFrame(frame).body), 3);
  if (info === undefined) return frame;
  const fields = readFields(info);
  return new MessageWriter().varint(1, numberField(fields, 1)!).varint(4, numberField(fields, 4)!).finish();
}

/** Sends one recorded request and holds the answer against the recorded one. Silence is believed once a later request was answered. */
async function replay(test: Test, wire: Wire, exchange: Recorded, fence?: () => Promise<unknown>): Promise<void> {
  wire.send(exchange.request);
  const got = await wire.receive(exchange.reply === undefined ? fence?.() : undefined);
  const isInfo = decodeFrame(exchange.request).request?.method === 'GetInfo';
  const shown = (frame: Buffer | undefined): Buffer | undefined => (isInfo ? masked(frame) : frame);
  test.same(shown(got)?.toString('hex').slice(0, 400), shown(exchange.reply)?.toString('hex').slice(0, 400), exchange.step);
  test.ok(shown(got)?.equals(shown(exchange.reply) ?? Buffer.alloc(0)) ?? exchange.reply === undefined, `${exchange.step}: to the last byte`);
}

/** Waits until the server has answered a request of its own connection that came after. */
async function answeredElsewhere(path: string): Promise<void> {
  const wire = await Wire.open({ path });
  wire.send(recorded('errors').find((exchange) => exchange.step === '19_getinfo-badfd')!.request);
  await wire.receive();
  wire.close();
}

async function replayAll(test: Test, setting: Setting, set: string, hooks: Record<string, () => Promise<unknown> | void> = {}, without: string[] = []): Promise<void> {
  const path = setting.cluster.nebdSocket;
  let wire = await Wire.open({ path });
  for (const exchange of recorded(set)) {
    if (without.includes(exchange.step)) continue;
    if (hooks[exchange.step]) {
      await hooks[exchange.step]!();
      wire.close();
      wire = await Wire.open({ path });
    }
    await replay(test, wire, exchange, () => answeredElsewhere(path));
  }
  wire.close();
}

t.test('a libnebd session gets the answers that it got from the real server', async (test) => {
  const setting = await setUp(test, { firstFd: 2 });
  setting.cluster.files.put(volume(5, 'vol2', 3, 10, 4096));
  await replayAll(test, setting, 'libnebd');
});

t.test('refusals are the recorded ones', async (test) => {
  await replayAll(test, await setUp(test, { firstFd: 14 }), 'errors', {}, ['39_read-4MiB', '41_read-16MiB', '43_read-32MiB', '45_read-60MiB']);
});

t.test('I/O past the end gets no reply and wedges the fd', async (test) => {
  await replayAll(test, await setUp(test, { firstFd: 16 }), 'errors2');
});

t.test('with returnRpcWhenIoError an error is answered, and an empty request still is not', async (test) => {
  await replayAll(test, await setUp(test, { returnRpcWhenIoError: true }), 'errors_returnRpcWhenIoError');
});

t.test('each unaligned request kills the server', async (test) => {
  const all = recorded('unaligned');
  for (const fatal of all.filter((exchange) => exchange.step.startsWith('02_'))) {
    const { cluster } = await setUp(test);
    const wire = await Wire.open({ path: cluster.nebdSocket });
    await replay(test, wire, all[0]!);
    await replay(test, wire, fatal);
    for (const later of all.filter((exchange) => /^0[34]_/.test(exchange.step))) await replay(test, wire, later);
    test.match(cluster.nebdServer.crash, /on a volume with blocks of 4096/, `${fatal.step} killed it`);
    await test.rejects(Wire.open({ path: cluster.nebdSocket }), 'and nobody listens any more');
  }
});

t.test('names are taken apart as by the real server', async (test) => {
  await replayAll(test, await setUp(test, { firstFd: 47 }), 'names');
});

t.test('volumes with blocks of 512 bytes', async (test) => {
  await replayAll(test, await setUp(test, { blockSize: 512 }), 'block512');
});

t.test('an fd goes on working after kill -9, and OpenFile fails while no MDS answers', async (test) => {
  const setting = await setUp(test);
  const { cluster, clock } = setting;
  let waiting: NodeJS.Timeout | undefined;
  await replayAll(test, setting, 'restart', {
    '04_write-after-restart': () => cluster.restartNebd(),
    '06_read': () => cluster.data.write(7, 0, Buffer.alloc(4096, '4')),
    '14_open': async () => {
      await cluster.setLeader(-1);
      waiting = setInterval(() => clock.advance(1000), 5);
    },
    '15_write': async () => {
      clearInterval(waiting);
      await cluster.setLeader(0);
    },
  }, ['03_write-after-kill9']);
});

t.test('a discarded segment is read as before, while it is read', async (test) => {
  const setting = await setUp(test, { firstFd: 26 });
  await setting.cluster.data.write(5, 0, Buffer.alloc(4096, 0x5a));
  const reads = recorded('discard').filter((exchange) => /^\d+_read-\d/.test(exchange.step));
  await replayAll(test, setting, 'discard', Object.fromEntries(reads.map((exchange) => [exchange.step, () => setting.clock.advance(5000)])));
});

t.test('a segment that was discarded in pieces is zero and freed after a minute without I/O', async (test) => {
  const setting = await setUp(test, { firstFd: 27 });
  await replayAll(test, setting, 'discard2', { '19_read-after-80s': () => setting.clock.advance(80_000) });
});

t.test('two nebd-servers write one volume', async (test) => {
  const { cluster } = await setUp(test, { firstFd: 16 });
  const other = new NebdServer(cluster.newNebd('other-table.json', 1), `${cluster.nebdSocket}.b`);
  await other.start();
  test.teardown(() => other.kill());
  const wires = { A: await Wire.open({ path: cluster.nebdSocket }), B: await Wire.open({ path: other.path }) };
  for (const exchange of recorded('multi')) await replay(test, exchange.step.includes('_A-') ? wires.A : wires.B, exchange);
  for (const wire of Object.values(wires)) wire.close();
});

/** The files that the recorded MDS had, from its own listings. */
function putRecordedFiles(cluster: Cluster): void {
  const listing = JSON.parse(readFileSync(resolve('test/data/captures/mds-http/35_ListDir_ok.resp.txt'), 'utf8').split('\r\n\r\n')[1]!) as { fileInfo: Inode[] };
  for (const id of [4, 7, 9, 11]) cluster.files.drop(id);
  for (const inode of listing.fileInfo) cluster.files.put(inode);
  const reply = recorded('mds-baidu_std').find((exchange) => exchange.step === '24_ListDir_recyclebin')!.reply!;
  const bin = decodeMessage('ListDirResponse', decodeFrame(reply).body)['fileInfo'] as Inode[];
  for (const inode of bin.filter((each) => !each.fileName.startsWith('cap1'))) cluster.files.put({ ...inode, parentId: RECYCLE_BIN_ID });
  cluster.files.put({ ...cluster.files.get(3)!, id: 1003, fileName: 'clone', owner: 'root', ctime: 1795263440029220 });
  cluster.files.put({ ...cluster.files.get(1)!, ctime: 1795263330480376 });
}

async function allocate(cluster: Cluster, id: number, segments: number): Promise<void> {
  for (let i = 0; i < segments; i++) await cluster.data.write(id, i * GIB, Buffer.alloc(4096));
}

t.test('the MDS answers over baidu_std as recorded', async (test) => {
  const port = await freePort();
  const { cluster, clock } = await setUp(test, { mdsPorts: [port] });
  putRecordedFiles(cluster);
  await allocate(cluster, 1010, 12);
  const wire = await Wire.open({ port, host: '127.0.0.1' });
  // Clients of ours never ask for the topology.
  const known = recorded('mds-baidu_std').filter((exchange) => !/^(28|29|30)_/.test(exchange.step));
  for (const exchange of known) {
    const frame = decodeFrame(exchange.request);
    const method = frame.request!.method;
    const date = cluster.mds.knows(method) ? Number(decodeMessage(`${method}Request`, frame.body)['date'] ?? 0) : 0;
    if (date > 0) clock.advance(Math.max(0, Math.floor(date / 1000) - clock.now()));
    wire.send(exchange.request);
    const [got, wanted] = [decodeFrame((await wire.receive())!), decodeFrame(exchange.reply!)];
    const shown = (body: Buffer): object => (cluster.mds.knows(method) ? withoutTimes(decodeMessage(`${method}Response`, body)) : {});
    const address = (response: object | undefined): string => JSON.stringify(response).replace(/127\.0\.0\.1:\d+/, 'MDS');
    test.same(shown(got.body), shown(wanted.body), exchange.step);
    test.equal(address(got.response), address(wanted.response), `${exchange.step}: brpc's verdict`);
    test.equal(got.body.length, wanted.body.length, `${exchange.step}: as long`);
  }
  wire.close();
});

function withoutTimes(answer: object): object {
  return JSON.parse(JSON.stringify(answer), (key: string, value: unknown) => (key === 'ctime' ? 0 : value)) as object;
}

t.test('the MDS answers over HTTP as recorded', async (test) => {
  const port = await freePort();
  const { cluster } = await setUp(test, { mdsPorts: [port] });
  putRecordedFiles(cluster);
  await allocate(cluster, 5, 11);
  await allocate(cluster, 1010, 1);
  const folder = resolve('test/data/captures/mds-http');
  for (const file of readdirSync(folder).filter((each) => each.endsWith('.req.txt')).sort()) {
    const [head, body] = readFileSync(join(folder, file), 'utf8').split('\r\n\r\n');
    const path = head!.split(' ')[1]!;
    const got = await post(port, path, body!);
    const [wantedHead, wantedBody] = readFileSync(join(folder, file.replace('.req.', '.resp.')), 'utf8').split('\r\n\r\n');
    const step = file.slice(0, -'.req.txt'.length);
    const headers = Object.fromEntries(wantedHead!.split('\r\n').slice(1).map((line) => line.toLowerCase().split(': ')));
    test.equal(got.body, wantedBody!.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`), step);
    test.equal(got.status, Number(wantedHead!.split(' ')[1]), `${step}: status`);
    test.equal(got.type, headers['content-type'], `${step}: content type`);
    test.equal(got.error, headers['x-bd-error-code'], `${step}: brpc's error`);
  }
});

function post(port: number, path: string, body: string): Promise<{ status: number; type: string; error: string | undefined; body: string }> {
  return new Promise((done, fail) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      const error = response.headers['x-bd-error-code'];
      response.on('end', () => done({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', error: typeof error === 'string' ? error : undefined, body: text }));
    });
    request.on('error', fail).end(body);
  });
}
