// A pool that goes while something is made in it, or while something of it is still read: no record and no volume is left without a pool.
import t, { type Test } from 'tap';
import { createImage } from '../../src/service/images.js';
import { createPool, deletePool, getPool, listPools } from '../../src/service/pools.js';
import { keys, type LayerRecord } from '../../src/service/records.js';
import { finishRemoval } from '../../src/service/volumes.js';
import { backends, type TestBackend } from '../lib/backends.js';
import { startFarService, type FarService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const refusal = (errno: string) => ({ name: 'ServiceError', errno });

async function start(t: Test, backend: TestBackend): Promise<FarService & { log: string[] }> {
  const log: string[] = [];
  const s = await startFarService({ log: (line) => { log.push(line); } }, backend);
  t.teardown(() => s.close());
  return { ...s, log };
}

/** Runs `action` before the first commit that begins with such a key. */
function beforeCommit(far: FarService['far'], prefix: string, action: () => Promise<unknown>): void {
  let isDone = false;
  far.before = async (call, key) => {
    if (isDone || call !== 'commit' || !key.startsWith(prefix)) return;
    isDone = true;
    await action();
  };
}

for (const backend of backends) t.test(`on ${backend} an image cannot be made in a pool that is just gone`, async (t) => {
  for (const prefix of ['intent/', 'layer/']) {
    const s = await start(t, backend);
    const { session } = await s.session();
    const outcomes: string[] = [];
    const note = (what: string) => (error: { errno?: string }) => { outcomes.push(`${what} ${error.errno ?? String(error)}`); };
    beforeCommit(s.far, prefix, async () => deletePool(s.ctx, await getPool(s.ctx, 1)).catch(note('delete')));
    await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} }).catch(note('create'));
    // Either of them, not both.
    t.strictSame(outcomes, [prefix === 'intent/' ? 'create ENOENT' : 'delete EBUSY']);
    t.equal((await s.ctx.store.list({ prefix: keys.allImages })).length, (await listPools(s.ctx)).length);
    t.strictSame(await s.ctx.store.list({ prefix: keys.intents }), []);
  }
});

for (const backend of backends) t.test(`on ${backend} a pool in which an image is made at the last moment stays`, async (t) => {
  const s = await start(t, backend);
  const { session } = await s.session();
  beforeCommit(s.far, 'pool/', () => createImage(s.ctx, session, { at, name: 'late', size: 4096, options: {} }));
  await t.rejects(deletePool(s.ctx, await getPool(s.ctx, 1)), refusal('EBUSY'));
  t.equal((await listPools(s.ctx)).length, 1);
});

for (const backend of backends) t.test(`on ${backend} a pool whose volume is still read stays until it is not`, async (t) => {
  const s = await start(t, backend);
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  const [layer] = (await s.ctx.store.list({ prefix: keys.layers })).map(({ value }) => JSON.parse(value) as LayerRecord);
  const unpin = s.ctx.pin([layer?.volume ?? '']);
  const pool = await getPool(s.ctx, 1);
  await t.rejects(deletePool(s.ctx, pool), { ...refusal('EBUSY'), message: new RegExp(layer?.volume ?? '-') });
  unpin();
  for (const { intent } of s.ctx.unremoved.values()) await finishRemoval(s.ctx, intent);
  await deletePool(s.ctx, pool);
  t.strictSame(await listPools(s.ctx), []);
});

for (const backend of backends) t.test(`on ${backend} what cannot be removed is told once, not at every try`, async (t) => {
  const s = await start(t, backend);
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  const [layer] = (await s.ctx.store.list({ prefix: keys.layers })).map(({ value }) => JSON.parse(value) as LayerRecord);
  const { volume = '' } = layer ?? {};
  const unpin = s.ctx.pin([volume]);
  for (let i = 0; i < 5; i += 1) await finishRemoval(s.ctx, { pool: 1, volume, why: 'remove' });
  t.equal(s.log.filter((line) => line.includes(volume)).length, 1);
  unpin();
});

for (const backend of backends) t.test(`on ${backend} a volume whose pool is gone is named once, and forgotten`, async (t) => {
  const s = await start(t, backend);
  const intent = { pool: 99, volume: 'layer-0123456789abcdef', why: 'remove' } as const;
  await s.ctx.store.commit({ changes: [{ put: keys.intent(intent.volume), value: JSON.stringify(intent) }] });
  await finishRemoval(s.ctx, intent);
  t.equal(s.log.filter((line) => line.includes(intent.volume)).length, 1);
  t.strictSame(await s.ctx.store.list({ prefix: keys.intents }), []);
  t.equal(s.ctx.unremoved.size, 0);
});

t.test('a pool is made where the directory of the next number is somebody else\'s', async (t) => {
  const s = await start(t, 'local');
  await createPool(s.ctx, { name: 'mapped', backend: 'local', dir: 'pool-3' });
  const { dir } = await createPool(s.ctx, { name: 'next' });
  t.not(dir, 'pool-3');
});
