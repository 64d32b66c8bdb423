// The trash and namespaces over the socket.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const at = { pool: 1, namespace: '' };
  const d = await startTestDaemonOn(backend);
  t.teardown(() => d.stop());
  const a = await d.client();
  const make = async (name: string, where = at): Promise<string> =>
    String((await a.call('image.create', { at: where, name, size: 1048576, options: {} }))['id']);

  t.test('an image in the trash has no name, keeps its id, and comes back', async (t) => {
    const id = await make('t');
    t.equal(await a.code('trash.move', { at, name: 'none' }), -2);
    t.equal(await a.code('trash.move', { at, name: 't', delay: 0 }), 0);
    t.equal(await a.code('image.open', { at, name: 't', handle: 1 }), -2);
    t.equal(await a.code('image.open', { at, id, handle: 1 }), 0);
    t.equal(await a.code('trash.remove', { at, id }), -16);
    await a.call('image.close', { handle: 1 });
    t.match(await a.call('trash.get', { at, id }), { id, name: 't', source: 'user' });
    t.equal(await a.code('trash.get', { at, id: 'none' }), -2);
    t.equal(await a.code('trash.restore', { at, id: 'none' }), -2);
    await make('t');
    t.equal(await a.code('trash.restore', { at, id, to: '' }), -17);
    t.equal(await a.code('trash.restore', { at, id, to: 't2' }), 0);
    t.equal((await a.call('image.stat', { at, name: 't2' }))['id'], id);
    t.strictSame((await a.call('trash.list', { at }))['entries'], []);
    for (const name of ['t', 't2']) await a.call('image.remove', { at, name });
  });

  t.test('an image whose time has not come stays, without force', async (t) => {
    const id = await make('d');
    await a.call('trash.move', { at, name: 'd', delay: 3600 });
    t.equal(await a.code('trash.remove', { at, id, force: false }), -1);
    t.equal(await a.code('trash.purge', { at }), 0);
    t.equal(((await a.call('trash.list', { at }))['entries'] as unknown[]).length, 1);
    t.equal(await a.code('trash.remove', { at, id, force: true }), 0);
    t.equal(await a.code('trash.remove', { at, id, force: true }), -2);
  });

  t.test('a purge takes what is due, ends at what is open, and stops below a threshold', async (t) => {
    const [open] = [await make('p1'), await make('p2')];
    for (const name of ['p1', 'p2']) await a.call('trash.move', { at, name });
    await a.call('image.open', { at, id: open, handle: 1 });
    for (const threshold of [1.5, -0.5]) t.equal(await a.code('trash.purge', { at, threshold }), -22);
    t.equal(await a.code('trash.purge', { at, threshold: 1 }), 0);
    t.equal(((await a.call('trash.list', { at }))['entries'] as unknown[]).length, 2, 'less than all of the disk is in use');
    t.equal(await a.code('trash.purge', { at }), -16);
    t.match(((await a.call('trash.list', { at }))['entries'] as { id: string }[]).map(({ id }) => id).includes(open), true);
    await a.call('image.close', { handle: 1 });
    t.equal(await a.code('trash.purge', { at, threshold: 0 }), 0);
    t.strictSame((await a.call('trash.list', { at }))['entries'], []);
  });

  t.test('namespaces: made, listed, refused, and removed only when empty', async (t) => {
    const ns = (name: string) => ({ pool: 1, name });
    t.equal(await a.code('namespace.create', ns('')), -22);
    t.equal(await a.code('namespace.create', ns('x'.repeat(300))), -36);
    t.equal(await a.code('namespace.exists', ns('')), -22);
    for (const name of ['n1', 'a/b', '%2F']) t.equal(await a.code('namespace.create', ns(name)), 0);
    t.equal(await a.code('namespace.create', ns('n1')), -17);
    t.strictSame((await a.call('namespace.list', { pool: 1 }))['names'], ['%2F', 'a/b', 'n1']);
    const inside = { pool: 1, namespace: 'a/b' };
    const id = await make('i', inside);
    await make('i');
    t.strictSame((await a.call('image.list', { at: inside }))['images'], [{ id, name: 'i' }]);
    t.equal(await a.code('namespace.remove', ns('a/b')), -16);
    await a.call('trash.move', { at: inside, name: 'i' });
    t.equal(await a.code('namespace.remove', ns('a/b')), -16, 'the trash counts');
    await a.call('trash.remove', { at: inside, id });
    t.equal(await a.code('namespace.remove', ns('a/b')), 0);
    t.equal(await a.code('namespace.remove', ns('a/b')), -2);
    t.equal((await a.call('namespace.exists', ns('a/b')))['exists'], false);
  });

  t.test('pools: made, looked up, described, removed with all that is in them', async (t) => {
    const { id } = await a.call('pool.create', { name: 'p/../x' });
    t.equal(await a.code('pool.create', { name: 'p/../x' }), -17);
    t.equal(await a.code('pool.create', { name: '' }), -22);
    t.match(await a.call('pool.lookup', { name: 'p/../x' }), { id, backend });
    t.match(await a.call('pool.lookup', { id }), { name: 'p/../x' });
    t.equal(await a.code('pool.lookup', { name: 'none' }), -2);
    t.equal(await a.code('pool.app.enable', { pool: id, app: 'rbd' }), 0);
    t.equal(await a.code('pool.app.enable', { pool: id, app: 'cephfs' }), -1);
    t.equal(await a.code('pool.app.set', { pool: id, app: 'rbd', key: 'k', value: 'v' }), 0);
    t.equal((await a.call('pool.app.get', { pool: id, app: 'rbd', key: 'k' }))['value'], 'v');
    t.equal(await a.code('pool.app.get', { pool: id, app: 'none', key: 'k' }), -2);
    t.equal(await a.code('pool.metadata.set', { pool: id, key: 'conf_rbd_qos_iops_limit', value: 'x' }), -22);
    await make('in', { pool: Number(id), namespace: '' });
    await a.call('image.open', { at: { pool: id, namespace: '' }, name: 'in', handle: 3 });
    await a.call('pool.metadata.set', { pool: id, key: 'conf_rbd_qos_iops_limit', value: '5' });
    t.match(a.asked.at(-1), { method: 'image.changed', params: { state: { poolConfig: { rbd_qos_iops_limit: '5' } } } });
    t.equal(await a.code('pool.delete', { name: 'p/../x' }), -16);
    await a.call('image.close', { handle: 3 });
    t.match(await a.call('pool.images', { at: { pool: id, namespace: '' } }), { images: 1, provisionedBytes: 1048576 });
    t.equal(await a.code('pool.delete', { name: 'p/../x' }), 0);
    t.equal(await a.code('pool.lookup', { id }), -2);
  });

  t.test('a name that no image can have is refused where one is restored, and a delay may be any number', async (t) => {
    const c = await d.client();
    await c.call('image.create', { at, name: 'long', size: 4096, options: {} });
    const { images } = await c.call('image.list', { at }) as { images: { id: string; name: string }[] };
    const id = images.find(({ name }) => name === 'long')?.id;
    await c.call('trash.move', { at, name: 'long', delay: Number.MAX_SAFE_INTEGER });
    t.equal(await c.code('trash.remove', { at, id }), -1, 'it may not be removed yet');
    t.equal(await c.code('trash.restore', { at, id, to: 'x'.repeat(3000) }), -36);
    t.equal(await c.code('trash.restore', { at, id, to: '' }), 0);
    await c.call('image.remove', { at, name: 'long' });
    await c.close();
  });
});
