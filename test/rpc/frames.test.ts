// Frames that are not what they should be: one clear error each, and nothing else happens.
import { connect } from 'node:net';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { startTestDaemon } from '../lib/daemon.js';
import { RpcClient, type Json } from '../lib/rpc-client.js';

const d = await startTestDaemon();
t.teardown(() => d.stop());

/** Sends raw bytes and returns the frames that came back until the connection was quiet or closed. */
async function exchange(bytes: Buffer | string, until: (frames: Json[]) => boolean): Promise<Json[]> {
  const socket = connect(d.socket);
  let text = '';
  const frames = (): Json[] => text.split('\n').slice(0, -1).filter((line) => line.trim()).map((line) => JSON.parse(line) as Json);
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (until(frames())) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve());
    socket.write(bytes);
  });
  return frames();
}

t.test('what is no JSON object is refused, and the connection goes on', async (t) => {
  const hello = JSON.stringify({ jsonrpc: '2.0', id: 9, method: 'session.hello', params: { protocol: 1, entity: 'client.admin', pid: 1 } });
  const bad = ['garbage', '{"unfinished":', '[]', '1', 'null', '"text"', '[{"id":1}]', '\u0000\u0001', '{"id":{},"method":"x"}'];
  for (const frame of bad) {
    const frames = await exchange(`${frame}\n${hello}\n`, (got) => got.some(({ id }) => id === 9));
    t.equal(frames.length, 2, JSON.stringify(frame));
    t.match(frames[0], { id: null, error: { code: -22 } });
    t.match(frames[1], { id: 9, result: { keyRequired: false } });
  }
});

t.test('blank lines and blanks before an object are skipped', async (t) => {
  const frames = await exchange('\n \n   {"jsonrpc":"2.0","id":1,"method":"nope"}\n', (got) => got.length > 0);
  t.match(frames, [{ id: 1, error: { code: -107 } }]);
});

t.test('a frame over the limit gets one error, then the connection ends', async (t) => {
  const frames = await exchange(Buffer.alloc(17 * 1048576, 'x'), () => false);
  t.match(frames, [{ id: null, error: { code: -7 } }]);
});

t.test('methods before the handshake, of another protocol, or unknown, are refused', async (t) => {
  const c = await RpcClient.connect(d.socket);
  t.equal(await c.code('image.list', { at: { pool: 1 } }), -107);
  t.equal(await c.code('session.auth'), -22);
  t.equal(await c.code('session.hello', { protocol: 2, entity: 'client.admin' }), -95);
  t.equal(await c.code('session.hello', { protocol: 1, entity: 'client.nobody' }), 0);
  t.equal(await c.code('session.auth'), -13);
  t.equal(await c.code('session.hello', { protocol: 1, entity: 'client.admin' }), 0);
  t.equal(await c.code('session.auth'), 0);
  t.equal(await c.code('toString'), -95);
  t.equal(await c.code('__proto__'), -95);
  await c.close();
});

t.test('parameters of the wrong kind are named', async (t) => {
  const c = await d.client();
  const cases: [string, Json, string][] = [
    ['image.open', { at: { pool: 'x' }, name: 'a', handle: 1 }, 'at.pool'],
    ['image.open', { at: [], name: 'a', handle: 1 }, 'at'],
    ['image.open', { at: { pool: 1 }, name: 5, handle: 1 }, 'name'],
    ['image.open', { at: { pool: 1 }, handle: 1 }, 'name'],
    ['image.open', { at: { pool: 1 }, name: 'a', handle: 1, readOnly: 1 }, 'readOnly'],
    ['image.create', { at: { pool: 1 }, name: 'a', size: 1e300, options: {} }, 'size'],
    ['image.create', { at: { pool: 1 }, name: 'a', size: 1, options: { order: '22' } }, 'options.order'],
    ['image.close', { handle: -1 }, 'handle'],
  ];
  for (const [method, params, field] of cases) {
    await t.rejects(c.call(method, params), { code: -22, message: new RegExp(field.replace('.', '\\.')) }, `${method} ${field}`);
  }
  await c.close();
});

t.test('random damage to good frames never ends the daemon', async (t) => {
  let seed = 20261121;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  const good = [
    { jsonrpc: '2.0', id: 1, method: 'session.hello', params: { protocol: 1, entity: 'client.admin', pid: 7 } },
    { jsonrpc: '2.0', id: 2, method: 'session.auth', params: {} },
    { jsonrpc: '2.0', id: 3, method: 'image.create', params: { at: { pool: 1, namespace: '' }, name: 'fuzz', size: 4096, options: { order: 22 } } },
    { jsonrpc: '2.0', id: 4, method: 'image.open', params: { at: { pool: 1, namespace: '' }, name: 'fuzz', handle: 1 } },
    { jsonrpc: '2.0', id: 5, method: 'image.metadata.set', params: { handle: 1, key: 'k', value: 'v' } },
    { jsonrpc: '2.0', id: 6, method: 'trash.list', params: { at: { pool: 1, namespace: '' } } },
  ].map((frame) => `${JSON.stringify(frame)}\n`).join('');
  for (let round = 0; round < 300; round += 1) {
    const bytes = Buffer.from(good);
    for (let i = random(6); i >= 0; i -= 1) bytes[random(bytes.length)] = random(256);
    const socket = connect(d.socket);
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.on('data', () => undefined);
      socket.end(bytes);
    });
  }
  const c = await d.client();
  t.ok(await c.call('image.list', { at: { pool: 1, namespace: '' } }));
  await c.close();
});

t.test('a client that sends without reading does not grow the daemon without bound', async (t) => {
  const c = await d.client();
  c.socket.pause();
  const frame = `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'pool.config.list', params: { pool: 1 } })}\n`;
  let blocked = false;
  // Each answer has some 10 KiB; once the daemon stops reading, our own socket's buffer fills.
  for (let i = 0; i < 20_000 && !blocked; i += 1) {
    blocked = !c.socket.write(frame) && c.socket.writableLength > 262144;
    if (i % 200 === 0) await new Promise((resolve) => { setImmediate(resolve); });
  }
  t.ok(blocked, 'the daemon stopped reading');
  const other = await d.client();
  t.ok(await other.call('pool.list'), 'others are served');
  await c.die();
  await other.close();
});

t.test('the socket: for everybody, alone, and a stale one is replaced', async (t) => {
  t.equal(statSync(d.socket).mode & 0o777, 0o666);
  const second = await import('../../src/rpc/server.js');
  const door = {} as Parameters<typeof second.RpcServer.listen>[1];
  await t.rejects(second.RpcServer.listen(d.socket, door), /another daemon listens/);
  const file = `${d.dir}/file`;
  writeFileSync(file, 'precious');
  chmodSync(file, 0o600);
  await t.rejects(second.RpcServer.listen(file, door), /not a socket/);
  await t.rejects(second.RpcServer.listen(`${d.dir}/${'x'.repeat(120)}`, door), /107 bytes/);
});
