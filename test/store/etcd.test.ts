// The store on a real etcd: the contract, endpoints that do not answer, and watches that outlive a restart of etcd.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openEtcdStore } from '../../src/store/etcd.js';
import { StoreError, type Store, type WatchEvent } from '../../src/store/store.js';
import { startTestDaemon } from '../lib/daemon.js';
import { storeContract } from './contract.js';

const dir = mkdtempSync(join(tmpdir(), 'cbd-etcd-'));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const address = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return typeof address === 'object' && address ? address.port : 0;
}

const [clientPort, peerPort, deadPort] = [await freePort(), await freePort(), await freePort()];
const endpoint = `http://127.0.0.1:${clientPort}`;
let etcd: ChildProcess;

async function startEtcd(): Promise<void> {
  const peer = `http://127.0.0.1:${peerPort}`;
  etcd = spawn('etcd', [
    '--name', 't', '--data-dir', join(dir, 'data'), '--listen-client-urls', endpoint, '--advertise-client-urls', endpoint, '--listen-peer-urls', peer,
    '--initial-advertise-peer-urls', peer, '--initial-cluster', `t=${peer}`, '--log-level', 'error', '--unsafe-no-fsync',
  ], { stdio: 'ignore' });
  const exited = new Promise<never>((_resolve, reject) => { etcd.once('error', reject); });
  exited.catch(() => undefined);
  for (;;) {
    const reached = await Promise.race([exited, openEtcdStore({ endpoints: [endpoint], prefix: '' }).then((store) => store.close().then(() => true), () => false)]);
    if (reached) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

async function stopEtcd(): Promise<void> {
  const ended = new Promise((resolve) => { etcd.once('exit', resolve); });
  etcd.kill('SIGKILL');
  await ended;
}

await startEtcd();
t.teardown(async () => {
  await stopEtcd();
  rmSync(dir, { recursive: true, force: true });
});

let made = 0;
const prefixes = new Map<Store, string>();

async function open(prefix: string, endpoints = [endpoint]): Promise<Store> {
  const store = await openEtcdStore({ endpoints, prefix });
  prefixes.set(store, prefix);
  return store;
}

await t.test('the contract of stores', async (t) => {
  storeContract(t, { fresh: () => open(`/test/${made++}/`), reopen: (store) => open(prefixes.get(store) ?? '') });
});

await t.test('an endpoint that does not answer is passed over; none at all is named', async (t) => {
  const dead = `http://127.0.0.1:${deadPort}`;
  const store = await open('/over/', [dead, endpoint]);
  t.ok((await store.commit({ changes: [{ put: 'a', value: '1' }] })).done);
  await store.close();
  await t.rejects(open('/none/', [dead]), { name: 'StoreError', message: new RegExp(dead) });
});

await t.test('a commit whose answer is lost on the way is known to be done, and one that was not carried out to be refused', async (t) => {
  let isLosing = false;
  const server = createHttpServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      void fetch(`${endpoint}${request.url}`, { method: 'POST', body: Buffer.concat(parts) }).then(async (answer) => {
        const text = await answer.text();
        if (isLosing) response.destroy();
        else response.end(text);
      });
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.teardown(() => { server.close(); });
  const { port } = server.address() as { port: number };
  const store = await open('/lost/', [`http://127.0.0.1:${port}`, endpoint]);
  const put = (value: string, revision: number) => store.commit({ when: [{ key: 'a', revision }], changes: [{ put: 'a', value }, { put: 'b', value }, { remove: 'c' }] });
  isLosing = true;
  const first = await put('1', 0);
  t.strictSame(first, { done: true, revision: (await store.get('b'))?.revision });
  await store.close();
  isLosing = false;
  const again = await open('/lost/', [`http://127.0.0.1:${port}`, endpoint]);
  isLosing = true;
  t.equal((await again.commit({ when: [{ key: 'a', revision: 0 }], changes: [{ put: 'a', value: '2' }, { put: 'd', value: '2' }] })).done, false);
  t.equal((await again.get('a'))?.value, '1');
  await again.close();
});

await t.test('what etcd refuses is a StoreError with its words', async (t) => {
  const store = await open('/refused/');
  await t.rejects(store.commit({ changes: [{ put: 'a', value: '1', lease: 12345 }] }), { name: 'StoreError', message: /lease/ });
  await store.close();
  await t.rejects(store.get('a'), StoreError);
});

await t.test('a watch goes on after etcd was killed and started again, and misses nothing', async (t) => {
  const store = await open('/watch/');
  const heard: WatchEvent[] = [];
  let wake: () => void = () => undefined;
  const watch = store.watch('', (events) => {
    heard.push(...events);
    wake();
  });
  await watch.ready;
  await store.commit({ changes: [{ put: 'before', value: '1' }] });
  await stopEtcd();
  await startEtcd();
  await store.commit({ changes: [{ put: 'after', value: '2' }] });
  while (heard.length < 2) await new Promise<void>((resolve) => { wake = resolve; });
  t.strictSame(heard.map(({ key }) => key), ['before', 'after']);
  await store.close();
});

await t.test('a daemon on etcd serves images; a second one is told who has the store, until the first is gone', async (t) => {
  const environment = { CBD2RBD_STORE: `etcd:${endpoint}/daemons` };
  const first = await startTestDaemon(environment);
  const client = await first.client();
  const at = { pool: 1, namespace: '' };
  await client.change('image.create', { at, name: 'a', size: 1048576, options: {} });
  await client.call('image.open', { at, name: 'a', handle: 1 });
  await client.change('snap.create', { handle: 1, name: 's' });
  await client.call('layer.own', { handle: 1, mode: 'write' });
  await client.change('image.rename', { at, name: 'a', to: 'b' });
  await t.rejects(startTestDaemon(environment), { name: 'StoreError', message: /in use by another daemon \(pid \d+ on/ });
  await client.close();
  await first.restart();
  const again = await first.client();
  t.match(await again.call('image.list', { at }), { images: [{ name: 'b' }] });
  await again.close();
  await first.stop();
});
