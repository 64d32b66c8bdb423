// Sessions that end at an unhappy moment: while their request runs, before they have begun, or when their end cannot be written down.
// Nothing of them stays open, and the daemon goes on.
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { Access } from '../../src/access/access.js';
import { newKey } from '../../src/access/key.js';
import { addLock } from '../../src/service/locks.js';
import { imageMethods } from '../../src/rpc/methods/images.js';
import { snapshotMethods } from '../../src/rpc/methods/snapshots.js';
import { RpcServer } from '../../src/rpc/server.js';
import { acquireLock } from '../../src/service/exclusive-lock.js';
import { createImage } from '../../src/service/images.js';
import { openImage } from '../../src/service/open.js';
import { keys } from '../../src/service/records.js';
import { removeImage } from '../../src/service/remove.js';
import { sessionAdmin } from '../../src/service/session-admin.js';
import { storedUsers } from '../../src/service/users.js';
import { backends, type TestBackend } from '../lib/backends.js';
import { RpcClient } from '../lib/rpc-client.js';
import { startFarService, type FarService, type TestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const refusal = (errno: string) => ({ name: 'ServiceError', errno });

interface Far extends FarService {
  readonly socket: string;
  readonly log: string[];
}

/** The service on such a store, with its socket. */
async function startFar(backend: TestBackend, graceMs = 1000): Promise<Far> {
  const log: string[] = [];
  const service = await startFarService({ log: (line) => { log.push(line); }, graceMs }, backend);
  const { ctx, far, folder } = service;
  const users = storedUsers(far);
  await users.write({ entity: 'client.admin', key: newKey(), caps: { mon: 'allow *', osd: 'allow *' }, owner: 'admin' });
  const access = new Access({ users, trustOwnUid: true, log: () => undefined });
  const socket = join(folder, 's');
  const server = await RpcServer.listen(socket, { ctx, access, methods: { ...imageMethods, ...snapshotMethods }, fsid: '', log: (line) => { log.push(line); } });
  return {
    ...service, socket, log,
    async close() {
      await server.close();
      await service.close();
    },
  };
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!await holds()) await new Promise((resolve) => { setImmediate(resolve); });
}

/** Resolves when no session is left, on record neither. */
async function untilNobodyIsThere({ ctx }: TestService): Promise<void> {
  await until(async () => ctx.sessions.list().length === 0 && (await ctx.store.list({ prefix: keys.sessions })).length === 0);
}

const request = (id: number, method: string, params: object): string => `${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`;
const hello = request(1, 'session.hello', { protocol: 1, entity: 'client.admin', program: 'test' });
const auth = request(2, 'session.auth', {});

/** Another client, which is given the image (it was another's) to write to. */
async function writesTo(socket: string, name: string): Promise<RpcClient> {
  const other = await RpcClient.open(socket);
  await other.call('image.open', { at, name, handle: 1 });
  await other.call('snap.create', { handle: 1, name: 't' });
  await other.call('layer.own', { handle: 1, mode: 'write' });
  return other;
}

for (const backend of backends) t.test(`on ${backend} an image that is being opened when its session ends is not open afterwards`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  const opening = openImage(s.ctx, session, { at, name: 'a', readOnly: false, handle: 1 });
  await Promise.all([t.rejects(opening, refusal('ENOTCONN')), s.ctx.sessions.end(session, { orderly: false })]);
  await removeImage(s.ctx, { at, name: 'a' });
});

for (const backend of backends) t.test(`on ${backend} locks that are being taken when their session ends are not held afterwards`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  for (const take of [acquireLock, (ctx, open) => addLock(ctx, open, { cookie: 'c', tag: '', exclusive: true })] as (typeof acquireLock)[]) {
    const { session } = await s.session();
    await createImage(s.ctx, session, { at, name: `a${session.id}`, size: 4096, options: {} });
    const { accesses } = await openImage(s.ctx, session, { at, name: `a${session.id}`, readOnly: false, handle: 1 });
    for (const access of accesses) if (access.driver === 'file') access.release();
    const open = session.open(1);
    const taken = take(s.ctx, open).catch(() => undefined);
    await Promise.all([taken, s.ctx.sessions.end(session, { orderly: false })]);
    t.equal(await s.ctx.store.get(keys.exclusiveLock(open.image)), undefined);
    t.equal(await s.ctx.store.get(keys.lock(open.image)), undefined);
  }
});

for (const backend of backends) t.test(`on ${backend} a connection that ends while its session begins leaves none`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const socket = connect(s.socket);
  await once(socket, 'connect');
  const isCounting = new Promise<void>((resolve) => { s.far.before = (call, key) => { if (call === 'commit' && key.startsWith('session/')) resolve(); }; });
  socket.write(hello + auth);
  await isCounting;
  socket.destroy();
  await untilNobodyIsThere(s);
  t.pass('it has ended');
});

for (const backend of backends) t.test(`on ${backend} a connection has one session, however fast it asks for more`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const socket = connect(s.socket);
  let text = '';
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.split('\n').length > 6) resolve();
    });
  });
  socket.write(hello + auth + hello + auth + hello + auth);
  await answered;
  t.equal(s.ctx.sessions.list().length, 1);
  socket.destroy();
  await untilNobodyIsThere(s);
  t.pass('and it ends with the connection');
});

for (const backend of backends) t.test(`on ${backend} after its goodbye a connection begins nothing more`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const client = await RpcClient.open(s.socket);
  await client.call('session.close');
  t.equal(await client.code('session.hello', { protocol: 1, entity: 'client.admin' }), -107);
  await client.die();
});

for (const backend of backends) t.test(`on ${backend} a store that is full when a client leaves does not end the daemon, and the client is gone`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const client = await RpcClient.open(s.socket);
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  await client.call('image.open', { at, name: 'a', handle: 1 });
  s.far.refuse = (keys) => keys.some((key) => key.startsWith('session/'));
  await client.die();
  await until(() => s.log.some((line) => line.includes('full')));
  t.equal(s.ctx.sessions.get(client.sessionId), undefined);
  s.far.refuse = () => false;
  await removeImage(s.ctx, { at, name: 'a' });
  const next = await RpcClient.open(s.socket);
  await next.close();
});

for (const backend of backends) t.test(`on ${backend} a handle that its session does not take up again holds nobody up for longer than the grace time`, async (t) => {
  const s = await startFar(backend, 300);
  t.teardown(() => s.close());
  const client = await RpcClient.open(s.socket);
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  await client.call('image.open', { at, name: 'a', handle: 1 });
  await client.call('snap.create', { handle: 1, name: 's' });
  await client.call('layer.own', { handle: 1, mode: 'write' });
  await client.die();
  const back = await RpcClient.open(s.socket, { resume: client.sessionId });
  t.equal(back.sessionId, client.sessionId);
  const other = await writesTo(s.socket, 'a');
  t.equal(await back.code('image.refresh', { handle: 1 }), -22, 'it is closed');
  await back.close();
  await other.close();
});

for (const backend of backends) t.test(`on ${backend} a handle that its session says it has no more is closed at once; those that it names are waited for`, async (t) => {
  // Nobody waits for an hour: what is not closed at once here ends the test by its own time.
  const s = await startFar(backend, 3_600_000);
  t.teardown(() => s.close());
  const client = await RpcClient.open(s.socket);
  const { session } = await s.session();
  for (const [handle, name] of [[1, 'a'], [2, 'b']] as const) {
    await createImage(s.ctx, session, { at, name, size: 4096, options: {} });
    await client.call('image.open', { at, name, handle });
    await client.call('snap.create', { handle, name: 's' });
    await client.call('layer.own', { handle, mode: 'write' });
  }
  await client.die();
  const back = await RpcClient.open(s.socket, { resume: client.sessionId, handles: [2, 7] });
  t.equal(back.sessionId, client.sessionId);
  const other = await writesTo(s.socket, 'a');
  t.equal(await back.code('image.refresh', { handle: 1 }), -22, 'it is closed');
  t.equal(await back.code('image.refresh', { handle: 2 }), 0, 'the other is not');
  await t.rejects(RpcClient.open(s.socket, { resume: client.sessionId, handles: ['x'] as unknown as number[] }), /handles/);
  await back.close();
  await other.close();
});

for (const backend of backends) t.test(`on ${backend} a session that the administrator ends is cut off`, async (t) => {
  const s = await startFar(backend);
  t.teardown(() => s.close());
  const client = await RpcClient.open(s.socket);
  await sessionAdmin(s.ctx).kill(client.sessionId);
  await client.closed;
  t.strictSame(s.ctx.sessions.list(), []);
});
