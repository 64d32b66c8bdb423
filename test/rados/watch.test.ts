// Watches and notifications: what a real 16.2.15 cluster answered to watch.py is recorded; ours must answer the same. And what only we have:
// a daemon that is restarted, and a watcher that dies.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import { root } from '../lib/root.js';
import { runPython } from './python.js';

tap.setTimeout(90_000);

for (const backend of backends) tap.test(`on ${backend} objects are watched and their watchers notified as on a real cluster`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const conf = join(daemon.dir, 'client.conf');
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
  const { code, out, err } = await runPython('watch.py', ['rbd'], { CEPH_CONF: conf });
  t.equal(code, 0, err);
  t.strictSame(out.split('\n'), readFileSync(root('test/rados/watch-16.2.15.txt'), 'utf8').split('\n'));
});

for (const backend of backends) tap.test(`on ${backend} a watcher that is gone is nobody to wait for, and one that is silent is named`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const [watcher, notifier] = [await daemon.client(), await daemon.client()];
  const [pool] = (await notifier.call('pool.list', {}) as { pools: { id: number }[] }).pools;
  const at = { pool: pool?.id, namespace: '' };
  await notifier.call('object.write', { at, name: 'o', ops: [{ op: 'create', exclusive: false }], op: 'make' });
  await t.rejects(watcher.call('object.watch', { at, name: 'none', handle: 1 }), { code: -2 });
  await t.rejects(watcher.call('object.unwatch', { handle: 1 }), { code: -107 });
  await watcher.call('object.watch', { at, name: 'o', handle: 1 });
  await watcher.call('object.watch', { at, name: 'o', handle: 1 });
  const asked = notifier.call('object.notify', { at, name: 'o', payload: '', timeoutMs: 60_000 });
  watcher.close();
  t.match(await asked, { rc: 0, acks: [], timeouts: [] }, 'the one that was told has gone meanwhile');
  t.match(await notifier.call('object.notify', { at, name: 'o', payload: '', timeoutMs: 60_000 }), { rc: 0, acks: [], timeouts: [] });
  await t.rejects(notifier.call('object.notify', { at, name: 'none', payload: '', timeoutMs: 10 }), { code: -2 });
});
