// Flatten and the background merge through the daemon, with real bytes: the native worker copies them.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import type { Json } from '../lib/rpc-client.js';

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const at = { pool: 1, namespace: '' };
  const MiB = 1048576;
  const d = await startTestDaemonOn(backend);
  t.teardown(() => d.stop());
  const a = await d.client();

  const layersOf = (state: Json): { id: string; kind: string }[] => state['layers'] as { id: string; kind: string }[];
  const volumeOf = (layer: { id: string } | undefined): string => layer?.id.split('.')[0] ?? '';
  const size = 64 * MiB + 512;

  await a.change('image.create', { at, name: 'base', size, options: {} });
  const [base] = layersOf(await a.call('image.open', { at, name: 'base', handle: 1 }));
  await d.volumes().write(volumeOf(base), 3 * MiB + 100, Buffer.alloc(5000, 0x61));
  await d.volumes().write(volumeOf(base), 64 * MiB, Buffer.alloc(512, 0x62));
  await a.change('snap.create', { handle: 1, name: 's' });

  t.test('a flat clone has its parent\'s bytes, takes no more room, and its progress is told', async (t) => {
    await a.change('clone', { at, image: 'base', snap: 's', to: at, name: 'k', options: { cloneFormat: 2 } });
    t.equal(await a.code('snap.remove', { handle: 1, name: 's' }), 0);
    await a.call('image.open', { at, name: 'k', handle: 2 });
    t.equal(await a.code('flatten', { handle: 1 }), -22);
    await a.change('flatten', { handle: 2, progress: 77 });
    t.ok(a.asked.some(({ method, params }) => method === 'progress' && params['token'] === 77 && params['done'] === params['total']));
    const state = await a.call('image.refresh', { handle: 2 });
    t.match(state, { own: 'shared', head: true, parent: null, layers: [{ kind: 'plain', frozen: false, size }] });
    const [flat] = layersOf(state);
    t.ok((await d.volumes().read(volumeOf(flat), 0, size)).equals(await d.volumes().read(volumeOf(base), 0, size)));
    t.ok(d.volumes().allocated(volumeOf(flat)) <= (backend === 'local' ? 2 * MiB : 1024 * MiB), 'holes stay holes');
    t.strictSame((await a.call('snap.list', { handle: 1 }))['snaps'], [], 'the snapshot in the trash went with its last clone');
  });

  t.test('a snapshot that shows more of the parent than the image does since it was shrunk keeps all of it', async (t) => {
    await a.change('snap.create', { handle: 1, name: 'whole' });
    await a.change('clone', { at, image: 'base', snap: 'whole', to: at, name: 'shrunk', options: { cloneFormat: 2 } });
    await a.call('image.open', { at, name: 'shrunk', handle: 3 });
    await a.change('snap.create', { handle: 3, name: 'before' });
    await a.change('image.resize', { handle: 3, size: 1 * MiB, allowShrink: true });
    await a.change('snap.create', { handle: 3, name: 'after' });
    await a.change('flatten', { handle: 3 });
    const [flat] = layersOf(await a.call('image.open', { at, name: 'shrunk', snap: 'before', handle: 4, readOnly: true }));
    t.match(flat, { kind: 'plain', size, inherited: false });
    t.ok((await d.volumes().read(volumeOf(flat), 0, size)).equals(await d.volumes().read(volumeOf(base), 0, size)));
    await a.call('image.close', { handle: 4 });
    for (const name of ['before', 'after']) await a.change('snap.remove', { handle: 3, name });
    await a.call('image.close', { handle: 3 });
    await a.change('image.remove', { at, name: 'shrunk' });
    await a.change('snap.remove', { handle: 1, name: 'whole' });
  });

  t.test('a chain whose middle nobody else sees becomes shorter, and reads the same', async (t) => {
    await a.call('layer.own', { handle: 1, mode: 'write' });
    await a.change('snap.create', { handle: 1, name: 'kept' });
    await a.call('layer.own', { handle: 1, mode: 'write' });
    let layers = layersOf(await a.call('image.refresh', { handle: 1 }));
    while (layers.length > 2) layers = layersOf(await a.call('image.refresh', { handle: 1 }));
    const [head, below] = layers;
    t.match([head, below], [{ kind: 'cow' }, { kind: 'plain' }]);
    const bytes = await d.volumes().read(volumeOf(below), 0, size);
    t.ok(bytes.subarray(3 * MiB + 100, 3 * MiB + 5100).equals(Buffer.alloc(5000, 0x61)));
    t.ok(bytes.subarray(64 * MiB, 64 * MiB + 512).equals(Buffer.alloc(512, 0x62)));
  });
});
