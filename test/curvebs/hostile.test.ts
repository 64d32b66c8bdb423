// Requests that no client sends: the stand-in refuses them as brpc and the MDS do, closes the connection, or dies of what a real
// nebd-server dies of; and it serves the next client.

import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { encodeFrame, NOTHING } from '../../src/backend/curvebs/baidu-std.js';
import { MessageWriter } from '../../src/backend/curvebs/protobuf.js';
import { NebdSession } from '../../src/backend/curvebs/nebd.js';
import { Cluster } from './cluster.js';
import { GIB } from './namespace.js';

const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
const cluster = new Cluster({ folder });
await cluster.start();
t.teardown(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

/** The same numbers in every run (xorshift). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const METHODS = ['OpenFile', 'CloseFile', 'Flush', 'GetInfo', 'InvalidateCache', 'Read', 'Write', 'Discard', 'ResizeFile', 'KeepAlive', 'Nothing'];
const mds = (method: string, fields: object): unknown => cluster.mds.call(method, { owner: 'user', date: Date.now() * 1000, ...fields }).statusCode;

function frame(random: (below: number) => number, id: number): Buffer {
  const method = METHODS[random(METHODS.length)]!;
  const body = new MessageWriter();
  if (method === 'OpenFile') body.bytes(1, ['cbd:x//user/disk_user_:', '', 'cbd:', 'cbd:a//user/none_user_:', 'x'.repeat(random(3000))][random(5)]!);
  else for (let field = 1; field <= 3; field++) if (random(8) > 0) body.varint(field, random(9) === 0 ? -random(1 << 30) : [1, 2, 4096, 8192, GIB, 2 ** 40][random(field === 1 ? 2 : 6)]!);
  const service = method === 'KeepAlive' ? 'NebdHeartbeatService' : 'NebdFileService';
  return encodeFrame({
    request: { service: random(20) === 0 ? 'x' : `nebd.client.${service}`, method, logId: id }, compressType: 0, correlationId: BigInt(id), body: body.finish(),
    attachment: method === 'Write' ? Buffer.alloc([0, 4096, 100][random(3)]!) : NOTHING,
  });
}

function spoil(bytes: Buffer, random: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  switch (random(5)) {
    case 0: copy[random(copy.length)] = random(256); return copy;
    case 1: return copy.subarray(0, random(copy.length));
    case 2: copy.writeUInt32BE(random(2) === 0 ? 0xffffffff : random(1 << 20), 4); return copy;
    case 3: copy.writeUInt32BE(random(1 << 12), 8); return copy;
    default: return copy;
  }
}

/** Sends it all on one connection and waits until that is closed, or nothing comes for a moment. */
async function send(chunks: readonly Buffer[]): Promise<void> {
  const socket = connect(cluster.nebdSocket);
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.once('connect', () => {
      for (const chunk of chunks) socket.write(chunk);
      socket.end();
    });
    socket.once('close', () => resolve());
    socket.resume();
  });
}

t.test('three thousand spoiled and senseless frames', async (t) => {
  t.equal(mds('CreateFile', { fileName: '/user', fileType: 'INODE_DIRECTORY' }), 'kOK');
  t.equal(mds('CreateFile', { fileName: '/user/disk', fileType: 'INODE_PAGEFILE', fileLength: 10 * GIB }), 'kOK');
  const random = numbers(20260101);
  let deaths = 0;
  for (let round = 0; round < 300; round++) {
    const whole = Array.from({ length: 10 }, (_, at) => frame(random, round * 10 + at));
    await send(round % 2 === 0 ? whole : whole.map((each) => spoil(each, random)));
    if (cluster.nebdServer.crash === undefined) continue;
    t.match(cluster.nebdServer.crash, /^a (read|write) of -?\d+ bytes at -?\d+ on a volume with blocks of 4096$/, 'only what takes down a real one does');
    deaths += 1;
    await cluster.restartNebd();
  }
  t.ok(deaths > 0, `it died ${deaths} times of unaligned requests`);
  await cluster.restartNebd();
  const nebd = await NebdSession.connect(cluster.nebdSocket, 60_000);
  const file = await nebd.open('cbd:after//user/disk_user_:');
  await nebd.write(file, 4096, Buffer.alloc(4096, 'good'));
  t.equal((await nebd.read(file, 4096, 4096)).toString('latin1', 0, 8), 'goodgood');
  await nebd.closeFile(file.fd);
  nebd.close();
});

function post(path: string, body: string): Promise<number> {
  const [host, port] = cluster.mdsAddresses[0]!.split(':');
  return new Promise((resolve, reject) => {
    const made = request({ host, port, path, method: 'POST', headers: { 'Content-Type': 'application/json' } }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    made.once('error', reject);
    made.end(body);
  });
}

t.test('the MDS answers 400, 404 or a status to everything, and goes on', async (t) => {
  const random = numbers(7);
  const bodies = ['', '{', '[]', 'null', '"x"', '{"fileName": 7}', '{"fileName": "/user/disk", "owner": "user", "date": "1"}', `{"fileName": "${'/a'.repeat(5000)}", "owner": "user", "date": 1}`, '\0\0'];
  const methods = ['CreateFile', 'GetFileInfo', 'ListDir', 'DeleteFile', 'ExtendFile', 'RenameFile', 'IncreaseFileEpoch', 'NoSuchMethod', '../..'];
  for (let i = 0; i < 200; i++) {
    const status = await post(`/curve.mds.CurveFSService/${methods[random(methods.length)]}`, bodies[random(bodies.length)]!);
    if (![200, 400, 404].includes(status)) t.fail(`status ${status}`);
  }
  t.equal(mds('GetFileInfo', { fileName: '/user/disk' }), 'kOK');
});
