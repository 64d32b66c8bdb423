// What a pool on CurveBS may hand to CurveBS: limits of I/O, and snapshots that CurveBS keeps in its object store.

import { resolve } from 'node:path';
import t from 'tap';
import { run, startAll } from './stack.js';

const { cluster, stack, stop } = await startAll();
t.teardown(stop);
const CLI = resolve('dist/src/cli/cbd2rbd.js');
const cli = (...args: string[]) => run({ ...process.env }, process.execPath, CLI, '--socket', stack.daemon.socket, ...args);
const volumes = () => cluster.files.list(cluster.files.child(0, 'rbd')!.id);
const python = (body: string) => run(stack.environment, '/usr/bin/python3', '-c', `
import rados, rbd
cluster = rados.Rados(conffile='')
cluster.connect()
io = cluster.open_ioctx('rbd')
R = rbd.RBD()
${body}
print('good')
`);

t.test('a snapshot of a plain image is archived as it stands, with progress; one with layers from a copy that goes again', async (t) => {
  const made = await python(`
R.create(io, 'disk', 32 << 20)
with rbd.Image(io, 'disk') as i:
    i.write(b'one' * 1000, 0); i.create_snap('s1')
    i.write(b'two' * 1000, 4096); i.create_snap('s2')
`);
  t.equal(made.stdout, 'good\n', made.stderr);
  const before = volumes().map(({ fileName }) => fileName).sort();
  const ids: string[] = [];
  for (const snap of ['s1', 's2']) {
    const { code, stdout, stderr } = await cli('snap', 'archive', `rbd/disk@${snap}`);
    t.equal(code, 0, stderr);
    t.match(stderr, /archiving: \d+% complete\n[^]*archiving: 100% complete\n$/);
    ids.push(stdout.trim());
  }
  t.not(ids[0], ids[1]);
  const known = cluster.snapshotClone.all();
  t.same(known.map(({ UUID, User, Name, Status }) => ({ UUID, User, Name, Status })), [
    { UUID: ids[0], User: 'cinder', Name: 'disk@s1', Status: 0 }, { UUID: ids[1], User: 'cinder', Name: 'disk@s2', Status: 0 },
  ]);
  t.ok(before.includes(known[0]!.File.replace('/rbd/', '')), 'the plain one is the image\'s own volume');
  t.notOk(before.includes(known[1]!.File.replace('/rbd/', '')), 'the other is a volume of its own');
  t.same(volumes().map(({ fileName }) => fileName).sort(), before, 'which is gone again');
  const copied = await cluster.snapshotClone.data(ids[1]!, 0, 8192);
  t.equal(copied.toString('latin1', 0, 3), 'one');
  t.equal(copied.toString('latin1', 4096, 4099), 'two', 'and showed the whole chain');
  const used = await python(`
with rbd.Image(io, 'disk') as i:
    i.write(b'three', 0)
    for s in ('s2', 's1'): i.remove_snap(s)
R.remove(io, 'disk')
`);
  t.equal(used.stdout, 'good\n', used.stderr);
});

t.test('what cannot be archived is refused by name', async (t) => {
  for (const [args, message, code] of [
    [['rbd/none@s'], /there is no image none/, 1], [['none/x@s'], /none/, 1], [['rbd/x'], /is no snapshot/, 2], [['rbd/@'], /is no snapshot/, 2],
  ] as const) {
    const ended = await cli('snap', 'archive', ...args);
    t.match(ended.stderr, message);
    t.equal(ended.code, code);
  }
  t.match((await cli('help', 'snap', 'archive')).stdout, /POOL\/\[NAMESPACE\/\]IMAGE@SNAP/);
});

t.test('limits are CurveBS\'s where the pool says so: of new images, of changed options, of every head', async (t) => {
  /** Of each volume, the one with the most first. */
  const limits = () => volumes().filter(({ fileType }) => fileType === 'INODE_PAGEFILE').map(({ throttleParams }) =>
    Object.fromEntries((throttleParams?.throttleParams ?? []).filter(({ limit }) => limit > 0).map(({ type, limit }) => [type, limit])))
    .sort((a, b) => Object.keys(b).length - Object.keys(a).length);
  const first = await python("R.create(io, 'limited', 8 << 20)");
  t.equal(first.stdout, 'good\n', first.stderr);
  t.same(limits(), [{ IOPS_TOTAL: 2000, BPS_TOTAL: 125829120 }], 'CurveBS\'s own stay as long as nothing is handed over');
  t.equal((await cli('pool', 'qos', 'rbd', 'backend')).code, 0);
  t.same(limits(), [{}], 'an image without limits has none');
  const changed = await python(`
R.pool_metadata_set(io, 'conf_rbd_qos_bps_limit', '1M')
with rbd.Image(io, 'limited') as i:
    i.metadata_set('conf_rbd_qos_write_iops_limit', '100'); i.metadata_set('conf_rbd_qos_write_iops_burst', '300')
R.create(io, 'later', 8 << 20)
`);
  t.equal(changed.stdout, 'good\n', changed.stderr);
  t.same(limits(), [{ BPS_TOTAL: 1048576, IOPS_WRITE: 100 }, { BPS_TOTAL: 1048576 }]);
  const headed = await python(`
with rbd.Image(io, 'limited') as i:
    i.create_snap('s'); i.write(b'x', 0)
`);
  t.equal(headed.stdout, 'good\n', headed.stderr);
  t.equal(limits().filter((each) => each['IOPS_WRITE'] === 100).length, 2, 'a new head has its image\'s, as the one below it had');
  const fast = await python(`
with rbd.Image(io, 'later') as i:
    i.metadata_set('conf_rbd_qos_iops_limit', '1')
    for k in range(40): i.write(b'x' * 512, k * 512)
`);
  t.equal(fast.stdout, 'good\n', fast.stderr);
  t.match(JSON.parse((await cli('pool', 'show', 'rbd', '--json')).stdout), { qos: 'backend' });
  t.equal((await cli('pool', 'qos', 'rbd', 'client')).code, 0);
  t.ok(limits().every((each) => Object.keys(each).length === 0), 'handed back, they are lifted');
  t.equal((await cli('pool', 'qos', 'none', 'client')).code, 1);
  t.equal((await cli('pool', 'qos', 'rbd', 'nobody')).code, 2);
});
