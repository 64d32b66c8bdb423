// What a user may do with images that reach into pools on which he has no rights.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';

const EPERM = -1;
const at = { pool: 1, namespace: '' };
const other = { pool: 2, namespace: '' };

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const d = await startTestDaemonOn(backend, { CBD2RBD_DEFAULT_POOLS: 'rbd,other' });
  t.teardown(() => d.stop());
  const admin = await d.client();
  await admin.call('admin.user.add', { entity: 'client.a', caps: { mon: 'profile rbd', osd: 'profile rbd pool=rbd' } });
  const user = await d.client({ entity: 'client.a' });

  t.test('data in another pool needs the rights there', async (t) => {
    const options = { dataPool: 'other' };
    t.equal(await user.code('image.create', { at, name: 'a', size: 4096, options }), EPERM);
    t.equal(await user.code('image.create', { at, name: 'a', size: 4096, options: {} }), 0);
    await user.call('image.open', { at, name: 'a', handle: 1 });
    await user.call('snap.create', { handle: 1, name: 's' });
    const clone = { at, image: 'a', snap: 's', to: at, name: 'k' };
    t.equal(await user.code('clone', { ...clone, options: { cloneFormat: 2, ...options } }), EPERM);
    t.equal(await user.code('clone', { ...clone, to: other, options: { cloneFormat: 2 } }), EPERM);
    t.equal(await admin.code('clone', { ...clone, options: { cloneFormat: 2, ...options } }), 0);
  });

  t.test('clones of others are not flattened to remove a snapshot', async (t) => {
    await user.call('image.create', { at, name: 'p', size: 4096, options: {} });
    await user.call('image.open', { at, name: 'p', handle: 2 });
    await user.call('snap.create', { handle: 2, name: 's' });
    await admin.call('clone', { at, image: 'p', snap: 's', to: other, name: 'theirs', options: { cloneFormat: 2 } });
    t.equal(await user.code('snap.remove', { handle: 2, name: 's', flatten: true }), EPERM);
    const { parent } = await admin.call('image.open', { at: other, name: 'theirs', handle: 1 });
    t.ok(parent, 'the clone is as it was');
    t.equal(await admin.code('image.close', { handle: 1 }), 0);
  });

  t.teardown(async () => {
    await user.close();
    await admin.close();
  });
});
