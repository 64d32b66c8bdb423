// Images over the socket: made, listed, opened, resized, renamed, removed, with the errors of librbd 16.2.15.
import { statSync } from 'node:fs';
import { join } from 'node:path';
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
  const b = await d.client();

  const create = (name: string, options: Json = {}, size = MiB) => a.call('image.create', { at, name, size, options });
  const createCode = (name: string, options: Json = {}, size = MiB) => a.code('image.create', { at, name, size, options });
  const files = (): string[] => d.volumes().names();
  /** A volume that somebody had open goes when the backend has closed it for him; one that stayed would make tap end this test. */
  const gone = async (): Promise<void> => {
    while (files().length > 0) await new Promise((resolve) => setImmediate(resolve));
  };
  /** CurveBS's volumes have whole GiB, ten at least, and keep their size. */
  const sizeOfVolume = (bytes: number): number => (backend === 'local' ? bytes : 10 * 1024 * MiB);

  t.test('a new image is listed, with an id of its own and order 22', async (t) => {
    const { id, order } = await create('first');
    t.match(id, /^[0-9a-f]+$/);
    t.equal(order, 22);
    t.strictSame((await a.call('image.list', { at }))['images'], [{ id, name: 'first' }]);
    t.equal(await a.code('image.remove', { at, name: 'first' }), 0);
  });

  t.test('names: empty and 4 KiB are refused; slashes, at signs, control bytes and 2 KB are taken, sorted by bytes', async (t) => {
    t.equal(await createCode(''), -22);
    t.equal(await createCode('x'.repeat(4096)), -36);
    const names = ['a/b', 'a@b', '\u0001\n\t', 'x'.repeat(2000), 'ü', '../../escape', 'Z', 'a'];
    for (const name of names) t.equal(await createCode(name), 0, JSON.stringify(name.slice(0, 20)));
    t.equal(await createCode('a/b'), -17);
    const listed = (await a.call('image.list', { at }))['images'] as { name: string }[];
    t.strictSame(listed.map(({ name }) => name), names.sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))));
    for (const name of names) t.equal(await a.code('image.remove', { at, name }), 0);
  });

  t.test('orders outside 12..25 give EDOM, 0 means 22', async (t) => {
    for (const order of [1, 11, 26, 64]) t.equal(await createCode('o', { order }), -33, `order ${order}`);
    for (const [order, got] of [[0, 22], [12, 12], [25, 25]]) {
      t.equal((await create('o', { order }))['order'], got);
      await a.call('image.remove', { at, name: 'o' });
    }
  });

  t.test('features as librbd computes them', async (t) => {
    const cases: [number, number][] = [
      [0, 0], [1, 1], [2, 0], [3, 1], [4, 4], [8, -22], [12, 28], [16, 0], [20, 4], [24, -22], [61, 61], [63, 61], [64, -22], [68, -95],
      [128, 0], [256, 0], [1024, 0], [2048, 0], [2 ** 40, -38],
    ];
    for (const [features, expected] of cases) {
      const code = await createCode('f', { features });
      if (expected < 0) {
        t.equal(code, expected, `features ${features}`);
        continue;
      }
      t.equal(code, 0, `features ${features}`);
      t.equal((await a.call('image.stat', { at, name: 'f' }))['features'], expected, `features ${features}`);
      await a.call('image.remove', { at, name: 'f' });
    }
    await create('f', { featuresSet: 3, featuresClear: 32 });
    t.equal((await a.call('image.stat', { at, name: 'f' }))['features'], 29);
    await a.call('image.remove', { at, name: 'f' });
  });

  t.test('striping: both or neither, a factor of the object size, at least 512', async (t) => {
    const good: [number, number, number][] = [[65536, 2, 63], [4 * MiB, 1, 61], [65536, 1, 63], [512, 2, 63]];
    for (const [stripeUnit, stripeCount, features] of good) {
      t.equal(await createCode('s', { stripeUnit, stripeCount }), 0);
      t.match(await a.call('image.stat', { at, name: 's' }), { stripeUnit, stripeCount, features });
      await a.call('image.remove', { at, name: 's' });
    }
    for (const [stripeUnit, stripeCount] of [[1000, 3], [65536, 0], [0, 2], [256, 2], [8 * MiB, 2]]) {
      t.equal(await createCode('s', { stripeUnit, stripeCount }), -22, `${stripeUnit}/${stripeCount}`);
    }
  });

  t.test('sizes: 0 is fine, more than an object map covers is EINVAL', async (t) => {
    t.equal(await createCode('z', {}, 0), 0);
    t.equal((await a.call('image.stat', { at, name: 'z' }))['size'], 0);
    await a.call('image.remove', { at, name: 'z' });
    t.equal(await createCode('z', {}, 256e6 * 4 * MiB + 1), -22);
    for (const size of [-1, 0.5, 2 ** 53, '1', null]) t.equal(await a.code('image.create', { at, name: 'z', size, options: {} }), -22);
    t.strictSame(files(), [], 'no volume was left behind');
  });

  t.test('pools, data pools and namespaces that do not exist give ENOENT', async (t) => {
    t.equal(await a.code('image.create', { at: { pool: 99, namespace: '' }, name: 'q', size: 1, options: {} }), -2);
    t.equal(await createCode('q', { dataPool: 'none' }), -2);
    t.equal(await a.code('image.create', { at: { pool: 1, namespace: 'none' }, name: 'q', size: 1, options: {} }), -2);
    t.strictSame((await a.call('image.list', { at: { pool: 1, namespace: 'none' } }))['images'], []);
    t.strictSame(files(), []);
  });

  t.test('an image in a data pool keeps its volume there', async (t) => {
    const { id: data } = await a.call('pool.create', { name: 'data' });
    await create('d', { dataPool: 'data' });
    const stat = await a.call('image.stat', { at, name: 'd' });
    t.equal(stat['dataPool'], data);
    t.equal(stat['prefix'], `rbd_data.1.${String(stat['id'])}`);
    t.strictSame(files(), []);
    t.equal(d.volumes({ id: Number(data), name: 'data' }).names().length, 1);
    await a.call('image.remove', { at, name: 'd' });
    await a.call('pool.delete', { name: 'data' });
  });

  t.test('an image keeps its size to the byte; its volume is whole blocks', async (t) => {
    await create('odd', {}, 10 * MiB + 512);
    const state = await a.call('image.open', { at, name: 'odd', handle: 1 });
    const volume = backend === 'local' ? { driver: 'file', fd: 0 } : { driver: 'nebd', socket: d.config.curvebsNebdSocket, size: 10 * 1024 * MiB };
    t.match(state, { size: 10 * MiB + 512, fds: backend === 'local' ? 1 : 0, own: 'shared', layers: [{ kind: 'plain', size: 10 * MiB + 512, volume }] });
    const [file] = files();
    t.equal(d.volumes().size(file ?? ''), sizeOfVolume(10 * MiB + 4096));
    if (backend === 'local') t.equal(statSync(join(d.config.localRoot, 'pool-1', file ?? '')).mode & 0o777, 0o600);
    await a.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'odd' });
  });

  t.test('an open image cannot be removed, but for those who opened it read-only', async (t) => {
    await create('busy');
    await a.call('image.open', { at, name: 'busy', handle: 1 });
    t.equal(await b.code('image.remove', { at, name: 'busy' }), -16);
    t.equal(await a.code('image.remove', { at, name: 'busy' }), -16);
    await a.call('image.close', { handle: 1 });
    await a.call('image.open', { at, name: 'busy', handle: 1, readOnly: true });
    t.equal(await b.code('image.remove', { at, name: 'busy' }), 0);
    t.equal(await b.code('image.remove', { at, name: 'busy' }), -2);
    await a.call('image.close', { handle: 1 });
    await gone();
  });

  t.test('a resize is told to everybody who has the image open before it is answered', async (t) => {
    await create('r');
    await a.call('image.open', { at, name: 'r', handle: 1 });
    await b.call('image.open', { at, name: 'r', handle: 7 });
    await a.call('image.resize', { handle: 1, size: 3 * MiB + 1, allowShrink: false });
    t.match(b.asked.at(-1), { method: 'image.changed', params: { handle: 7, state: { size: 3 * MiB + 1, layers: [{ size: 3 * MiB + 1 }] } } });
    t.match(a.asked.at(-1), { method: 'image.changed', params: { handle: 1 } });
    t.equal(await a.code('image.resize', { handle: 1, size: MiB, allowShrink: false }), -22);
    t.equal(await a.code('image.resize', { handle: 1, size: MiB + 1, allowShrink: true }), 0);
    const [file] = files();
    t.equal(d.volumes().size(file ?? ''), sizeOfVolume(MiB + 4096), 'the volume was cut, where it can be');
    t.equal(await a.code('image.resize', { handle: 1, size: 256e6 * 4 * MiB + 1, allowShrink: true }), -22);
    t.equal(await a.code('image.resize', { handle: 1, size: 0, allowShrink: true }), 0);
    await b.call('image.close', { handle: 7 });
    await b.call('image.open', { at, name: 'r', handle: 7, readOnly: true });
    t.equal(await b.code('image.resize', { handle: 7, size: MiB, allowShrink: true }), -30);
    await a.call('image.close', { handle: 1 });
    await b.call('image.close', { handle: 7 });
    await a.call('image.remove', { at, name: 'r' });
  });

  t.test('a session that does not answer holds a resize up for two seconds and no longer', async (t) => {
    await create('slow');
    const mute = await d.client();
    mute.listener = () => new Promise(() => undefined);
    await mute.call('image.open', { at, name: 'slow', handle: 1 });
    await a.call('image.open', { at, name: 'slow', handle: 1 });
    t.equal(await a.code('image.resize', { handle: 1, size: 2 * MiB, allowShrink: true }), 0);
    await mute.die();
    await a.call('image.close', { handle: 1 });
    // What a dead client left open is closed first, which the backend may take a moment for.
    let code: number;
    do code = await a.code('image.remove', { at, name: 'slow' }); while (code === -16);
    t.equal(code, 0);
  });

  t.test('renaming', async (t) => {
    const { id } = await create('old');
    await create('taken');
    t.equal(await a.code('image.rename', { at, name: 'none', to: 'x' }), -2);
    t.equal(await a.code('image.rename', { at, name: 'old', to: 'taken' }), -17);
    t.equal(await a.code('image.rename', { at, name: 'old', to: 'old' }), -17);
    t.equal(await a.code('image.rename', { at, name: 'old', to: '' }), -22);
    await b.call('image.open', { at, name: 'old', handle: 1 });
    t.equal(await a.code('image.rename', { at, name: 'old', to: 'new' }), 0);
    t.match(b.asked.at(-1), { method: 'image.changed', params: { state: { name: 'new', id } } });
    t.equal(await a.code('image.open', { at, name: 'old', handle: 5 }), -2);
    await b.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'new' });
    await a.call('image.remove', { at, name: 'taken' });
  });

  t.test('features go on and off as librbd lets them', async (t) => {
    await create('f');
    await a.call('image.open', { at, name: 'f', handle: 1 });
    const update = async (features: number, enabled: boolean): Promise<unknown> => {
      const code = await a.code('image.features', { handle: 1, features, enabled });
      return code === 0 ? (await a.call('image.stat', { at, name: 'f' }))['features'] : code;
    };
    const steps: [number, boolean, number][] = [
      [0, true, -22], [1, false, -22], [2, true, -22], [16, false, 37], [16, true, 61], [8, false, 37], [8, false, -22], [8, true, 61], [4, false, -22],
      [24, false, 37], [4, false, 33], [8, true, -22], [12, true, 61], [16, true, -22], [32, false, 29], [32, true, -22], [64, false, -22],
      [28, false, 1], [2048, true, -22], [4, true, 5], [12, true, -22], [64, true, -95],
    ];
    for (const [features, enabled, expected] of steps) t.equal(await update(features, enabled), expected, `${features} ${enabled ? 'on' : 'off'}`);
    await a.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'f' });
  });

  t.test('metadata', async (t) => {
    await create('m');
    await a.call('image.open', { at, name: 'm', handle: 1 });
    const set = (key: string, value: string) => a.code('image.metadata.set', { handle: 1, key, value });
    const cases: [string, string, number][] = [
      ['', '', 0], ['a', '', 0], ['conf_', '', 0], ['conf_rbd_cache', 'x', -22], ['conf_rbd_cache', '1', 0], ['conf_rbd_cache', 'yes', -22],
      ['conf_rbd_qos_bps_limit', '10K', 0], ['conf_rbd_qos_bps_limit', '10KB', -22], ['conf_rbd_qos_bps_limit', '-1', -22],
      ['conf_rbd_qos_bps_limit', '', -22], ['conf_rbd_cache_policy', 'zz', -22], ['conf_rbd_default_features', '61', -22],
      ['conf_rbd_qos_schedule_tick_min', '0', -22], ['conf_nosuch', '1', -22], ['conf_rbd_plugins', 'x', 0],
    ];
    for (const [key, value, code] of cases) t.equal(await set(key, value), code, `${key}=${value}`);
    t.match(a.asked.at(-1), { method: 'image.changed', params: { state: { metadata: { conf_rbd_qos_bps_limit: '10K' } } } });
    t.strictSame(((await a.call('image.metadata.list', { handle: 1 }))['entries'] as { name: string }[]).map(({ name }) => name),
      ['a', 'conf_', 'conf_rbd_cache', 'conf_rbd_plugins', 'conf_rbd_qos_bps_limit']);
    t.strictSame((await a.call('image.metadata.list', { handle: 1, start: 'a', max: 1 }))['entries'], [{ name: 'conf_', value: '' }]);
    t.equal(await a.code('image.metadata.get', { handle: 1, key: 'none' }), -2);
    t.equal(await a.code('image.metadata.remove', { handle: 1, key: 'none' }), -2);
    t.equal(await a.code('image.metadata.remove', { handle: 1, key: 'a' }), 0);
    await a.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'm' });
    await create('m');
    await a.call('image.open', { at, name: 'm', handle: 1 });
    t.strictSame((await a.call('image.metadata.list', { handle: 1 }))['entries'], [], 'a removed image leaves no metadata');
    await a.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'm' });
  });

  t.test('a change that is sent twice with one op id happens once, and is answered the same', async (t) => {
    const request = { at, name: 'once', size: MiB, options: {}, op: 'op-1' };
    const [first, second] = await Promise.all([a.call('image.create', request), b.call('image.create', request)]);
    t.strictSame(first, second);
    t.strictSame(await a.call('image.create', request), first);
    t.equal(await a.code('image.create', { ...request, op: 'op-2' }), -17);
    t.equal(await a.code('image.remove', { at, name: 'once', op: 'op-3' }), 0);
    t.equal(await a.code('image.remove', { at, name: 'once', op: 'op-3' }), 0);
    t.equal(await a.code('image.remove', { at, name: 'once', op: 'op-4' }), -2);
    await gone();
  });

  t.test('a handle number is used once at a time', async (t) => {
    await create('h');
    await a.call('image.open', { at, name: 'h', handle: 1 });
    t.equal(await a.code('image.open', { at, name: 'h', handle: 1 }), -17);
    t.equal(await a.code('image.close', { handle: 2 }), -22);
    t.equal(await b.code('image.refresh', { handle: 1 }), -22);
    await a.call('image.close', { handle: 1 });
    await a.call('image.remove', { at, name: 'h' });
  });
});
