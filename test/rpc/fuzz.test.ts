// Every method with every kind of value in every field: each is answered with a result or one of RBD's errors, never with a failure of the
// daemon's own (EIO), and the daemon lives.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import type { Json, RpcClient } from '../lib/rpc-client.js';

const EIO = -5;
const at = { pool: 1, namespace: '' };
const values: readonly unknown[] = [
  null, true, -1, 0.5, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER, 1e300, '', 'no such', 'a/b@c', '\u0000', '\ud800', '../..', '__proto__', 'x'.repeat(5000), [], [null], ['\u0000'], [[1, 2]],
  {}, { pool: 1 }, { __proto__: null, name: 1 },
];

/** A good request of each method; what it does is undone, or does no harm to the others. */
const requests: Readonly<Record<string, Json>> = {
  'cluster.stat': {}, 'pool.list': {}, 'pool.lookup': { name: 'rbd', id: 1 }, 'pool.create': { name: 'p' }, 'pool.delete': { name: 'p' }, 'pool.stat': { pool: 1 },
  'pool.images': { at }, 'pool.io': { pools: [1] }, 'pool.app.enable': { pool: 1, app: 'rbd', force: true }, 'pool.app.list': { pool: 1 },
  'pool.app.get': { pool: 1, app: 'rbd', key: 'k' }, 'pool.app.set': { pool: 1, app: 'rbd', key: 'k', value: 'v' }, 'pool.app.remove': { pool: 1, app: 'rbd', key: 'k' },
  'pool.app.metadata': { pool: 1, app: 'rbd' }, 'pool.metadata.list': { pool: 1, start: '', max: 5 }, 'pool.metadata.get': { pool: 1, key: 'k' },
  'pool.metadata.set': { pool: 1, key: 'conf_rbd_cache', value: 'true' }, 'pool.metadata.remove': { pool: 1, key: 'k' }, 'pool.config.list': { pool: 1 },
  'namespace.create': { pool: 1, name: 'n' }, 'namespace.remove': { pool: 1, name: 'n' }, 'namespace.exists': { pool: 1, name: 'n' }, 'namespace.list': { pool: 1 },
  'image.create': { at, name: 'fuzz', size: 4096, options: { order: 22, features: 61, featuresSet: 0, featuresClear: 0, stripeUnit: 0, stripeCount: 0, dataPool: 'rbd', format: 2 }, op: 'o1' },
  'image.list': { at }, 'image.stat': { at, name: 'fixed' }, 'image.open': { at, name: 'fixed', id: 'x', snap: 's', snapId: 4, readOnly: true, handle: 77, own: 'read' },
  'image.attach': { at, name: 'fixed', id: 'x', readOnly: true, handle: 78, own: 'read' }, 'image.refresh': { handle: 1 }, 'image.snap': { handle: 1, snapId: null },
  'layer.own': { handle: 1, mode: 'read', have: [] }, 'layer.get': { handle: 1, layer: 'x' }, 'layer.release': { handle: 1, to: 'read' }, 'layer.chain': { handle: 1, snapId: null, have: [] },
  'image.close': { handle: 999 }, 'image.resize': { handle: 1, size: 8192, allowShrink: true, op: 'o2', progress: 1 }, 'image.rename': { at, name: 'none', to: 'other', op: 'o3' },
  'image.remove': { at, name: 'none', op: 'o4' }, 'image.features': { handle: 1, features: 16, enabled: false }, 'image.touch': { handle: 1, access: true, modify: true },
  'image.wrote': { handle: 1 }, 'image.use': { handle: 1 }, 'image.watchers': { handle: 1 }, 'image.metadata.get': { handle: 1, key: 'k' }, 'image.metadata.set': { handle: 1, key: 'conf_rbd_cache', value: 'true' },
  'image.metadata.remove': { handle: 1, key: 'k' }, 'image.metadata.list': { handle: 1, start: '', max: 1 }, 'image.lock.list': { handle: 1 },
  'image.lock.add': { handle: 1, cookie: 'c', tag: 't', exclusive: true }, 'image.lock.remove': { handle: 1, cookie: 'c' }, 'image.lock.break': { handle: 1, client: 'client.1', cookie: 'c' },
  'image.xlock.acquire': { handle: 1 }, 'image.xlock.release': { handle: 1 }, 'image.xlock.owners': { handle: 1 }, 'image.xlock.break': { handle: 1, owner: 'x' },
  'snap.create': { handle: 1, name: 'new', op: 'o5' }, 'snap.remove': { handle: 1, name: 'new', id: 99, unprotect: true, flatten: true, op: 'o6' },
  'snap.rename': { handle: 1, name: 'none', to: 'b' }, 'snap.list': { handle: 1 }, 'snap.protect': { handle: 1, name: 'none' }, 'snap.unprotect': { handle: 1, name: 'none' },
  'snap.rollback': { handle: 1, name: 's', op: 'o7' }, 'snap.archive': { at, image: 'fixed', snap: 's', progress: 1 }, 'snap.limit.get': { handle: 1 }, 'snap.limit.set': { handle: 1, limit: 50 },
  'snap.children': { handle: 1, snapId: 4, descendants: true }, 'flatten': { handle: 1, op: 'o8', progress: 1 },
  'clone': { at, image: 'fixed', imageId: 'x', snap: 's', snapId: 4, to: at, name: 'k', options: { cloneFormat: 2, order: 22 }, op: 'o9' },
  'trash.move': { at, name: 'none', delay: 1, op: 'oa' }, 'trash.restore': { at, id: 'x', to: '', op: 'ob' }, 'trash.remove': { at, id: 'x', force: true, op: 'oc' }, 'trash.list': { at },
  'trash.get': { at, id: 'x' }, 'trash.purge': { at, expireTs: 1, threshold: -1 },
  'object.watch': { at, name: 'obj', handle: 1 }, 'object.unwatch': { handle: 1 }, 'object.notify': { at, name: 'obj', payload: '', timeoutMs: 1 },
  'object.read': { at, name: 'obj', ops: [{ op: 'read', offset: 0, length: 4, flags: 0 }] }, 'object.write': { at, name: 'obj', ops: [{ op: 'write', offset: 0, data: 'AAAA' }], mtime: { sec: 1, nsec: 1 }, op: 'od' },
  'object.list': { pool: 1, namespace: '', after: '', max: 10 }, 'mon.command': { cmd: ['{"prefix":"status"}'], inbuf: '' }, 'cancel': { token: 1 },
  'admin.status': {}, 'admin.image.list': { pool: 'rbd' }, 'admin.image.show': { image: 'rbd/fixed' }, 'admin.image.adopt': { pool: 'rbd', volume: 'v', name: 'n' }, 'admin.image.release': { image: 'rbd/none' },
  'admin.layer.list': {}, 'admin.layer.gc': { dryRun: true }, 'admin.check': { repair: true }, 'admin.backup': { token: 'x' }, 'admin.pool.map': { name: 'm', backend: 'local', dir: 'd', owner: 'o', ceph: {} },
  'admin.pool.unmap': { name: 'm' }, 'admin.pool.list': {}, 'admin.pool.qos': { name: 'rbd', keeper: 'client' }, 'admin.pool.show': { name: 'rbd' }, 'admin.session.list': {},
  'admin.session.kill': { id: 1 }, 'admin.user.add': { entity: 'client.z', key: 'x', caps: { mon: 'allow r' }, owner: 'z' }, 'admin.user.list': {}, 'admin.user.show': { entity: 'client.z' },
  'admin.user.caps': { entity: 'client.z', caps: { mon: 'allow r' } }, 'admin.user.remove': { entity: 'client.z' },
};

/** The request with each of its fields, also those within, replaced by each value, and left out. */
function* damaged(good: Json): Generator<Json> {
  for (const [field, whole] of Object.entries(good)) {
    for (const value of values) yield { ...good, [field]: value };
    const { [field]: _, ...rest } = good;
    yield rest;
    if (Array.isArray(whole) && typeof whole[0] === 'object') for (const item of damaged(whole[0] as Json)) yield { ...good, [field]: [item] };
    else if (typeof whole === 'object' && whole !== null && !Array.isArray(whole)) for (const item of damaged(whole as Json)) yield { ...good, [field]: item };
  }
}

async function prepare(c: RpcClient): Promise<void> {
  await c.call('image.create', { at, name: 'fixed', size: 4096, options: {} });
  await c.call('image.open', { at, name: 'fixed', handle: 1 });
  await c.call('snap.create', { handle: 1, name: 's' });
  await c.call('object.write', { at, name: 'obj', ops: [{ op: 'write', offset: 0, data: 'AAAA' }] });
}

for (const backend of backends) t.test(`whatever stands in a field, on ${backend}`, async (t) => {
  const d = await startTestDaemonOn(backend);
  t.teardown(() => d.stop());
  const c = await d.client();
  await prepare(c);
  const methods = Object.keys(requests);
  let count = 0;
  for (const method of methods) {
    for (const params of damaged(requests[method] ?? {})) {
      count += 1;
      const answer = await c.call(method, params).then(() => '', (error: { code?: number; message: string }) => `${error.code} ${error.message}`);
      if (answer.startsWith(`${EIO} `) || answer.startsWith('undefined') || answer.startsWith('NaN')) t.fail(`${method} ${JSON.stringify(params).slice(0, 300)}: ${answer.slice(0, 300)}`);
    }
  }
  t.ok(count > 3000, `${count} requests`);
  const other = await d.client();
  t.ok(await other.call('image.list', { at }));
  await other.close();
  await c.close();
});
