// librados objects: what a real 16.2.15 cluster answered to objects.py is recorded; ours must answer the same.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import { root } from '../lib/root.js';
import { runPython } from './python.js';

for (const backend of backends) tap.test(`on ${backend} objects are written, read, compared, listed and locked as on a real cluster`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const conf = join(daemon.dir, 'client.conf');
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
  const { code, out, err } = await runPython('objects.py', ['rbd'], { CEPH_CONF: conf });
  t.equal(code, 0, err);
  t.strictSame(out.split('\n'), readFileSync(root('test/rados/objects-16.2.15.txt'), 'utf8').split('\n'));
});

for (const backend of backends) tap.test(`on ${backend} what was answered is there after the daemon was killed`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const write = async (name: string, data: string) => {
    const client = await daemon.client();
    const [pool] = (await client.call('pool.list', {}) as { pools: { id: number }[] }).pools;
    const ops = [{ op: 'writeFull', data: Buffer.from(data).toString('base64') }, { op: 'omapSet', entries: [['6b', 'dg==']] }];
    const at = { pool: pool?.id, namespace: '' };
    await client.call('object.write', { at, name, ops, op: `op-${name}` });
    return { client, at, ops };
  };
  const { at, ops } = await write('kept', 'data');
  await daemon.restart();
  const client = await daemon.client();
  const again = await client.call('object.write', { at, name: 'kept', ops: [{ op: 'remove' }], op: 'op-kept' });
  t.match(again, { rc: 0 }, 'an op that was answered before is answered again');
  const read = await client.call('object.read', { at, name: 'kept', ops: [{ op: 'read', offset: 0, length: 0 }, { op: 'omapGet', max: 10 }] });
  t.match(read, { rc: 0, results: [{ data: Buffer.from('data').toString('base64') }, { entries: [['6b', 'dg==']], more: false }] }, 'and not carried out again');
  t.equal(ops.length, 2);
});

for (const backend of backends) tap.test(`on ${backend} bad operations are named and change nothing`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const client = await daemon.client();
  const [pool] = (await client.call('pool.list', {}) as { pools: { id: number }[] }).pools;
  const at = { pool: pool?.id, namespace: '' };
  const bad = [
    { ops: [{ op: 'nosuch' }], code: -95, message: /nosuch/ },
    { ops: 'none', code: -22, message: /ops/ },
    { ops: [7], code: -22, message: /ops\.0/ },
  ];
  for (const { ops, code, message } of bad) {
    await t.rejects(client.call('object.write', { at, name: 'x', ops, op: JSON.stringify(ops) }), { code, message }, JSON.stringify(ops));
  }
  const fields = [{ op: 'write', offset: -1, data: '' }, { op: 'omapSet', entries: [['a']] }, { op: 'truncate', size: 2 ** 60 }];
  for (const bad of fields) {
    const ops = [{ op: 'create' }, bad];
    const answer = await client.call('object.write', { at, name: 'x', ops, op: JSON.stringify(ops) });
    t.match(answer, { rc: -22, version: 0, results: [{ rc: 0 }, { rc: -22, message: /(offset|entries|size) must be/ }] }, bad.op);
  }
  await t.rejects(client.call('object.read', { at, name: 'x', ops: [{ op: 'remove' }] }), { code: -22 }, 'a read cannot change');
  t.match(await client.call('object.list', { pool: pool?.id, namespace: null }), { objects: [], next: null });
});
