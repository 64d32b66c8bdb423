// Snapshots and clones over the socket: records, errors of librbd 16.2.15, who owns a head, what sessions are asked and told.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import { hold } from '../lib/hold.js';
import { CallError, type Json, type RpcClient } from '../lib/rpc-client.js';

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const at = { pool: 1, namespace: '' };
  const MiB = 1048576;
  const d = await startTestDaemonOn(backend);
  t.teardown(() => d.stop());
  const a = await d.client();
  const b = await d.client();

  const files = (): string[] => d.volumes().names();
  const create = (name: string, options: Json = {}) => a.call('image.create', { at, name, size: 8 * MiB, options });
  const open = (c: RpcClient, name: string, handle: number, more: Json = {}) => c.call('image.open', { at, name, handle, ...more });
  const layersOf = (state: Json): Json[] => state['layers'] as Json[];
  const asked = (c: RpcClient): string[] => c.asked.splice(0).map(({ method, params }) => `${method} ${String(params['handle'])}${params['to'] ? ` ${String(params['to'])}` : ''}`);
  const lastState = (c: RpcClient): Json => (c.asked.at(-1)?.params['state'] ?? {}) as Json;

  t.test('a snapshot freezes the head, quiesces who writes, and tells all', async (t) => {
    // Without the exclusive-lock feature: who changes such an image takes no lock by it.
    await create('s', { features: 1 });
    const opened = await open(a, 's', 1);
    const [plain] = layersOf(opened);
    await a.call('image.took', { handle: 1, serial: opened['serial'] });
    await open(b, 's', 1, { readOnly: true });
    asked(a); asked(b);
    const { id } = await a.change('snap.create', { handle: 1, name: 'one' });
    const state = lastState(a);
    t.strictSame(asked(a), ['image.quiesce 1', 'image.resume 1']);
    t.strictSame(asked(b), ['image.changed 1']);
    t.match(state, { own: 'read', head: false, snaps: [{ id, name: 'one', size: 8 * MiB, protected: false, namespace: { type: 'user' }, children: 0 }] });
    t.strictSame(layersOf(state), [{ id: plain?.['id'], kind: 'plain', size: 8 * MiB, created: 8 * MiB, frozen: true, writable: false, inherited: false }]);
    t.equal(await a.code('snap.create', { handle: 1, name: 'one' }), -17);
    t.equal(await b.code('snap.create', { handle: 1, name: 'two' }), -30);
    t.equal(await a.code('snap.remove', { handle: 1, name: 'none' }), -2);
    t.equal(await a.code('image.remove', { at, name: 's' }), -39);
  });

  t.test('the first write makes a cow head; reading and writing moves between sessions', async (t) => {
    await b.call('image.close', { handle: 1 });
    await open(b, 's', 1);
    asked(a); asked(b);
    const state = await a.call('layer.own', { handle: 1, mode: 'write', have: layersOf(await a.call('image.refresh', { handle: 1 })).map(({ id }) => id) });
    t.strictSame(asked(b), ['image.giveUp 1 none']);
    t.match(state, { own: 'write', head: true, fds: backend === 'local' ? 1 : 0 });
    const volume = backend === 'local' ? { driver: 'file', fd: 0, size: 1024 * MiB + 8 * MiB } : { driver: 'nebd', size: 10 * 1024 * MiB };
    t.match(layersOf(state), [{ kind: 'cow', size: 8 * MiB, writable: true, frozen: false, volume }, { kind: 'plain', frozen: true }]);
    t.match(await a.call('layer.own', { handle: 1, mode: 'write' }), { own: 'write' });
    t.match(await b.call('layer.own', { handle: 1, mode: 'read' }), { own: 'read' });
    t.strictSame(asked(a), ['image.giveUp 1 read']);
    t.match(await a.call('layer.own', { handle: 1, mode: 'write' }), { own: 'write' });
    t.match(await b.call('image.refresh', { handle: 1 }), { own: 'none' });
    t.match(await b.call('layer.own', { handle: 1, mode: 'write' }), { own: 'write' });
    t.match(await a.call('image.refresh', { handle: 1 }), { own: 'none' });
    const c = await d.client();
    t.match(await open(c, 's', 1, { readOnly: true }), { own: 'none' });
    t.equal(await c.code('layer.own', { handle: 1, mode: 'write' }), -30);
    t.match(await open(c, 's', 2, { snap: 'one' }), { own: 'frozen', readOnly: true, layers: [{ kind: 'plain' }] });
    await c.close();
  });

  t.test('a writer whose process dies frees the head and its locks at once', async (t) => {
    const held = await hold(d.socket, 's', 'own');
    t.equal(await a.code('image.lock.add', { handle: 1, cookie: 'x', tag: '', exclusive: true }), -16);
    t.match(await a.call('image.refresh', { handle: 1 }), { own: 'none' });
    held.kill('SIGKILL');
    t.match(await a.call('layer.own', { handle: 1, mode: 'write' }), { own: 'write' });
    while (((await a.call('image.lock.list', { handle: 1 }))['lockers'] as unknown[]).length > 0);
  });

  t.test('a writer that lost its connection but lives is waited for', async (t) => {
    const c = await d.client();
    await open(c, 's', 5);
    t.match(await c.call('layer.own', { handle: 5, mode: 'write' }), { own: 'write' });
    await c.die();
    const granted = a.call('layer.own', { handle: 1, mode: 'write' });
    const again = await d.client({ resume: c.sessionId });
    const { id } = await again.call('image.stat', { at, name: 's' });
    t.match(await again.call('image.attach', { at, id, handle: 5 }), { own: 'write' });
    t.match(await granted, { own: 'write' });
    t.ok(again.asked.some(({ method }) => method === 'image.giveUp'));
    await again.close();
  });

  t.test('ownership survives a restart of the daemon; another waits until the owner is back', async (t) => {
    await b.close();
    await d.restart();
    const again = await d.client({ resume: a.sessionId });
    const other = await d.client();
    const { id } = await other.call('image.stat', { at, name: 's' });
    t.match(await open(other, 's', 1), { own: 'none' });
    const granted = other.call('layer.own', { handle: 1, mode: 'write' });
    t.match(await again.call('image.attach', { at, id, handle: 1, own: 'write' }), { own: 'write' });
    t.match(await granted, { own: 'write' });
    t.ok(again.asked.some(({ method, params }) => method === 'image.giveUp' && params['to'] === 'none'));
    await other.close();
    await again.close();
  });

  let c: RpcClient;

  t.test('rollback drops the head and gives the snapshot\'s size back; its volume goes', async (t) => {
    c = await d.client();
    await open(c, 's', 1);
    await c.call('layer.own', { handle: 1, mode: 'write' });
    t.equal(files().length, 2);
    t.equal(await c.code('image.resize', { handle: 1, size: 16 * MiB, allowShrink: false }), 0);
    t.match(lastState(c), { size: 16 * MiB, layers: [{ kind: 'cow', size: 16 * MiB, created: 16 * MiB }, { kind: 'plain', size: 8 * MiB }] });
    t.equal(await c.code('snap.rollback', { handle: 1, name: 'none' }), -2);
    t.equal(await c.code('snap.rollback', { handle: 1, name: 'one' }), 0);
    t.match(lastState(c), { size: 8 * MiB, head: false, own: 'read', layers: [{ kind: 'plain' }] });
    t.equal(files().length, 1);
  });

  t.test('a shrink of a cow head freezes it; what is cut never comes back', async (t) => {
    await c.call('layer.own', { handle: 1, mode: 'write' });
    t.equal(await c.code('image.resize', { handle: 1, size: 3 * MiB, allowShrink: true }), 0);
    t.match(lastState(c), { size: 3 * MiB, head: false, layers: [{ kind: 'cow', size: 3 * MiB, frozen: true }, { kind: 'plain', size: 3 * MiB }] });
    t.equal(await c.code('image.resize', { handle: 1, size: 8 * MiB, allowShrink: true }), 0);
    t.match(lastState(c), { size: 8 * MiB, layers: [{ size: 3 * MiB }, { size: 3 * MiB }] });
  });

  t.test('names, limits and protection', async (t) => {
    t.equal(await c.code('snap.rename', { handle: 1, name: 'none', to: 'x' }), -2);
    t.equal(await c.code('snap.rename', { handle: 1, name: 'one', to: 'two' }), 0);
    await c.change('snap.create', { handle: 1, name: 'three' });
    t.equal(await c.code('snap.rename', { handle: 1, name: 'three', to: 'two' }), -17);
    t.equal(await c.code('snap.limit.set', { handle: 1, limit: 1 }), -34);
    t.equal(await c.code('snap.limit.set', { handle: 1, limit: 2 }), 0);
    t.equal(await c.code('snap.create', { handle: 1, name: 'four' }), -122);
    t.equal((await c.call('snap.limit.get', { handle: 1 }))['limit'], 2);
    t.equal(await c.code('snap.limit.set', { handle: 1, limit: null }), 0);
    t.equal(await c.code('snap.unprotect', { handle: 1, name: 'two' }), -22);
    t.equal(await c.code('snap.protect', { handle: 1, name: 'none' }), -2);
    t.equal(await c.code('snap.protect', { handle: 1, name: 'two' }), 0);
    t.equal(await c.code('snap.protect', { handle: 1, name: 'two' }), -16);
    t.equal(await c.code('snap.remove', { handle: 1, name: 'two' }), -16);
  });

  const clone = (name: string, more: Json = {}) => c.code('clone', { at, image: 's', snap: 'two', to: at, name, options: {}, ...more });

  t.test('clones of format 1 need protection and hold their snapshot', async (t) => {
    t.equal(await clone('k', { snap: 'three' }), -22);
    t.equal(await clone('k', { snap: 'none' }), -2);
    t.equal(await clone('k', { image: 'none' }), -2);
    t.equal(await c.code('clone', { at, image: 's', to: at, name: 'k', options: {} }), -22);
    t.equal(await clone('k', { options: { features: 4 } }), -38);
    t.equal(await clone('k', { options: { order: 11 } }), -33);
    t.equal(await clone('k', { options: { order: 20 } }), -22, 'the parent\'s stripe unit does not fit');
    t.equal(await clone('k'), 0);
    t.equal(await clone('k'), -17);
    const state = await open(c, 'k', 9);
    t.match(state, { size: 8 * MiB, head: false, own: 'read', parent: { name: 's', snapName: 'two', poolName: 'rbd', overlap: 8 * MiB }, opFeatures: 0 });
    t.match((await c.call('snap.children', { handle: 1 }))['children'], [{ name: 'k', poolName: 'rbd', namespace: '', trash: false }]);
    t.equal(await c.code('snap.unprotect', { handle: 1, name: 'two' }), -16);
    t.equal(await c.code('image.resize', { handle: 9, size: MiB, allowShrink: true }), 0);
    t.match(lastState(c), { size: MiB, parent: { overlap: MiB }, layers: [{ size: MiB }] });
    await c.call('image.close', { handle: 9 });
    t.equal(await c.code('image.remove', { at, name: 'k' }), 0);
    t.equal(await c.code('snap.unprotect', { handle: 1, name: 'two' }), 0);
  });

  t.test('clones of format 2 need none; their snapshot goes to the trash, and then with the last of them', async (t) => {
    t.equal(await clone('k2', { options: { cloneFormat: 2 } }), 0);
    t.match(await c.call('image.stat', { at, name: 's' }), { opFeatures: 1, features: 1 + 256 });
    t.match(await c.call('image.stat', { at, name: 'k2' }), { opFeatures: 2, features: 1 + 256 });
    t.equal(await c.code('snap.remove', { handle: 1, name: 'two' }), 0);
    t.match(lastState(c)['snaps'], [{ namespace: { type: 'trash', originalName: 'two' }, children: 1 }, { name: 'three' }]);
    t.match(await open(c, 'k2', 9, { readOnly: true }), { parent: { snapNamespace: { type: 'trash', originalName: 'two' } } });
    await c.call('image.close', { handle: 9 });
    t.equal(await c.code('image.remove', { at, name: 'k2' }), 0);
    t.strictSame(((await c.call('snap.list', { handle: 1 }))['snaps'] as Json[]).map(({ name }) => name), ['three']);
    t.match(await c.call('image.stat', { at, name: 's' }), { opFeatures: 0, features: 1 });
  });

  t.test('an open snapshot that is removed says so; a removed image leaves no volume', async (t) => {
    const { id } = await c.call('image.stat', { at, name: 's' });
    t.match(await open(c, 's', 2, { snap: 'three' }), { snapGone: false, size: 8 * MiB });
    t.equal(await c.code('snap.remove', { handle: 1, name: 'three' }), 0);
    t.ok(c.asked.some(({ params }) => params['handle'] === 2 && (params['state'] as Json)?.['snapGone'] === true));
    await c.call('image.close', { handle: 2 });
    await c.call('image.close', { handle: 1 });
    t.equal(await c.code('image.remove', { at, name: 's' }), 0);
    // A merge that is going on keeps its volumes until it ends; one that nobody refers to would stay, and tap end this test.
    while (files().length > 0) await new Promise((resolve) => setImmediate(resolve));
    t.equal(await c.code('image.open', { at, id, handle: 3 }), -2);
  });

  t.test('the volume of a layer is sent until the client has said that he has it', async (t) => {
    const c = await d.client();
    await c.call('image.create', { at, name: 'v', size: 8 * MiB, options: { features: 1 } });
    let state = await open(c, 'v', 1);
    let count = 0;
    const sent = async (): Promise<boolean[]> => {
      await c.call('image.metadata.set', { handle: 1, key: 'conf_rbd_cache_size', value: String(4096 * ++count) });
      return layersOf(lastState(c)).map((layer) => 'volume' in layer);
    };
    const takeHead = async (): Promise<void> => {
      await c.change('snap.create', { handle: 1, name: `v${count}` });
      state = await c.call('layer.own', { handle: 1, mode: 'write' });
    };
    const serialOf = ({ serial }: Json): number => Number(serial);
    c.listener = () => { throw new CallError(-5, 'it cannot be used'); };
    t.strictSame(await sent(), [true], 'the answer to an open may not be taken yet');
    t.strictSame(await sent(), [true], 'one that was refused is not there');
    c.listener = () => ({});
    t.strictSame(await sent(), [true]);
    t.strictSame(await sent(), [false]);
    await takeHead();
    t.strictSame(await sent(), [true, false], 'that in the answer to layer.own may be on its way');
    t.strictSame(await sent(), [false, false]);
    await takeHead();
    t.equal(await c.code('image.took', { handle: 1, serial: serialOf(state) + 1_000_000 }), 0, 'a serial that was never told says nothing');
    t.equal(await c.code('image.took', { handle: 1, serial: serialOf(state) }), 0);
    t.strictSame(await sent(), [false, false, false]);
    t.equal(await c.code('image.took', { handle: 2, serial: 1 }), -22);
    await c.close();
  });
});
