// Whose volumes are whose: a pool's directory and volumes belong to one CurveBS owner, by default that of the user who makes the
// pool. Who may use a pool is the caps' business alone.

import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/cli/commands.js';
import { run as runCommand } from '../../src/cli/run.js';
import { startTestDaemonIn } from '../lib/daemon.js';
import type { RpcClient } from '../lib/rpc-client.js';
import { run, startAll } from './stack.js';

const { cluster, stack, stop } = await startAll({ settings: { CBD2RBD_DEFAULT_BACKEND: 'curvebs' } });
t.teardown(stop);
const admin = await stack.daemon.client();
t.teardown(() => admin.close());

const ownerOf = (name: string): string | undefined => cluster.files.child(0, name)?.owner;
const everything = { mon: 'allow *', osd: 'allow *' };

async function userNamed(name: string, more: object = {}): Promise<RpcClient> {
  await admin.call('admin.user.add', { entity: `client.${name}`, caps: everything, ...more });
  const client = await stack.daemon.client({ entity: `client.${name}` });
  t.teardown(() => client.close());
  return client;
}

t.test('a pool that a user makes belongs to the owner of his name', async (t) => {
  const cinder = await userNamed('cinder');
  await cinder.change('pool.create', { name: 'volumes' });
  t.equal(ownerOf('volumes'), 'cinder');
  await cinder.call('admin.pool.map', { name: 'more', backend: 'curvebs', dir: '/deep/er' });
  t.equal(ownerOf('deep'), 'cinder');
  const glance = await userNamed('glance', { owner: 'images' });
  await glance.change('pool.create', { name: 'pictures' });
  t.equal(ownerOf('pictures'), 'images', 'or to the owner that his record names');
});

t.test('the administrator\'s belong to the configured owner, and any pool to the one that is pinned', async (t) => {
  await admin.change('pool.create', { name: 'common' });
  t.equal(ownerOf('common'), 'cbd2rbd');
  const cinder = await stack.daemon.client({ entity: 'client.cinder' });
  await cinder.call('admin.pool.map', { name: 'pinned', backend: 'curvebs', owner: 'nova' });
  t.equal(ownerOf('pinned'), 'nova');
  cinder.close();
  t.match(await admin.call('admin.pool.list'), { pools: [{ name: 'rbd', owner: 'cinder' }, { name: 'volumes', owner: 'cinder' }] });
});

t.test('a user whose name no owner can have is encoded, and his images work', async (t) => {
  const nova = await userNamed('nova_compute%ü');
  await nova.change('pool.create', { name: 'odd' });
  t.equal(ownerOf('odd'), 'nova%5Fcompute%25%C3%BC');
  const { pools } = await admin.call('admin.pool.list') as { pools: { name: string; owner: string }[] };
  t.equal(pools.find(({ name }) => name === 'odd')?.owner, 'nova_compute%ü', 'and shown as he is called');
  const script = `
import rados, rbd
cluster = rados.Rados(conffile='')
cluster.connect()
pool = cluster.open_ioctx('odd')
rbd.RBD().create(pool, 'i', 1 << 20)
with rbd.Image(pool, 'i') as i:
    i.write(b'x' * 5000, 3)
    i.create_snap('s')
    i.write(b'y', 0)
    assert i.read(0, 4) == b'y\\0\\0x', i.read(0, 4)
print('good')
`;
  const { stdout, stderr } = await run(stack.environment, '/usr/bin/python3', '-c', script);
  t.equal(stdout, 'good\n', stderr);
});

t.test('owners that cannot be are refused by name, and nothing is made', async (t) => {
  t.equal(await admin.code('admin.user.add', { entity: 'client.bad', caps: {}, owner: 'root' }), -22);
  for (const [owner, code] of [['root', -22], ['x'.repeat(300), -36]] as const) {
    t.equal(await admin.code('admin.pool.map', { name: 'refused', backend: 'curvebs', owner }), code);
    t.equal(ownerOf('refused'), undefined);
  }
  const { pools } = await admin.call('admin.pool.list') as { pools: { name: string }[] };
  t.notOk(pools.some(({ name }) => name === 'refused'));
});

t.test('two pools cannot share a directory, nor one have a directory of another owner', async (t) => {
  t.equal(await admin.code('admin.pool.map', { name: 'twin', backend: 'curvebs', dir: 'volumes/', owner: 'cinder' }), -17);
  t.equal(await admin.code('admin.pool.map', { name: 'thief', backend: 'curvebs', dir: '/volumes/below', owner: 'glance' }), -1);
});

t.test('the caps decide who may use a pool, whoever owns its directory', async (t) => {
  await admin.call('admin.user.add', { entity: 'client.reader', caps: { mon: 'allow r', osd: 'profile rbd-read-only pool=volumes' } });
  await admin.change('image.create', { at: { pool: (await admin.call('pool.lookup', { name: 'volumes' }))['id'], namespace: '' }, name: 'disk', size: 1 << 20, options: {} });
  const reader = await stack.daemon.client({ entity: 'client.reader' });
  t.teardown(() => reader.close());
  const at = { pool: (await reader.call('pool.lookup', { name: 'volumes' }))['id'], namespace: '' };
  t.equal(await reader.code('image.open', { at, name: 'disk', handle: 1, readOnly: true }), 0);
  t.equal(await reader.code('image.create', { at, name: 'other', size: 1, options: {} }), -1);
});

t.test('the administrator sees which volumes a session has open in nebd-server, and under which names', async (t) => {
  const client = await stack.daemon.client();
  const at = { pool: (await client.call('pool.lookup', { name: 'volumes' }))['id'], namespace: '' };
  await client.call('image.open', { at, name: 'disk', handle: 1 });
  const view = async (): Promise<Record<string, unknown>> => {
    const { sessions } = await admin.call('admin.session.list') as { sessions: Record<string, unknown>[] };
    return sessions.find(({ id }) => id === client.sessionId)!;
  };
  t.match(await view(), { images: ['volumes/disk'], volumes: [{ path: /^\/volumes\/layer-/, name: new RegExp(`^cbd:cbd2rbd-.*-${client.sessionId}-1\\.0-${process.pid}\\.0//volumes/layer-.*_cinder_:$`) }] });
  t.equal((await admin.call('admin.status'))['openVolumes'], 1);
  let printed = '';
  t.equal(await runCommand(commands, ['--dir', stack.daemon.dir, '--socket', stack.daemon.socket, 'session', 'ls'], { stdout: (text) => { printed += text; }, stderr: t.comment }), 0);
  t.match(printed, /^ID .* IMAGES +VOLUMES$/m);
  t.match(printed, new RegExp(`^${client.sessionId} .* volumes/disk +/volumes/layer-\\S+$`, 'm'), 'also where a person reads it');
  await client.call('image.close', { handle: 1 });
  t.match(await view(), { images: [], volumes: [] });
  client.close();
});

t.test('default_backend = curvebs without an MDS stops the start', async (t) => {
  const folder = join(stack.folder, 'bad');
  await t.rejects(startTestDaemonIn(folder, { CBD2RBD_DEFAULT_BACKEND: 'curvebs' }), /curvebs_mds/);
});
