// Locks, watchers and what becomes of them when a session ends.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import type { RpcClient } from '../lib/rpc-client.js';

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const at = { pool: 1, namespace: '' };
  const d = await startTestDaemonOn(backend);
  t.teardown(() => d.stop());
  const a = await d.client();
  await a.call('image.create', { at, name: 'l', size: 1048576, options: {} });
  await a.call('image.open', { at, name: 'l', handle: 1 });

  const lock = (c: RpcClient, cookie: string, tag: string, exclusive: boolean) => c.code('image.lock.add', { handle: 1, cookie, tag, exclusive });

  async function another(): Promise<RpcClient> {
    const client = await d.client();
    await client.call('image.open', { at, name: 'l', handle: 1 });
    return client;
  }

  t.test('an exclusive lock has one holder; tag, kind and cookie decide between EEXIST and EBUSY', async (t) => {
    const b = await another();
    t.equal(await lock(a, 'ck', '', true), 0);
    t.equal(await lock(a, 'ck', '', true), -17);
    t.equal(await lock(a, 'ck2', '', true), -16);
    t.equal(await lock(a, 'ck', 't', false), -16);
    t.equal(await lock(a, 'ck', '', false), -17);
    t.equal(await lock(b, 'ck', '', true), -16);
    t.equal(await b.code('image.lock.remove', { handle: 1, cookie: 'ck' }), -2);
    t.equal(await a.code('image.lock.remove', { handle: 1, cookie: 'no' }), -2);
    t.equal(await a.code('image.lock.remove', { handle: 1, cookie: 'ck' }), 0);
    await b.close();
  });

  t.test('shared locks are shared under one tag', async (t) => {
    const b = await another();
    t.equal(await lock(a, 'x', 't1', false), 0);
    t.equal(await lock(b, 'x', 't1', false), 0);
    t.equal(await lock(b, 'y', 't2', false), -16);
    t.equal(await lock(b, 'x', 't1', true), -17);
    t.equal(await lock(b, 'z', 't1', true), -16);
    t.match(await a.call('image.lock.list', { handle: 1 }), {
      tag: 't1', exclusive: false, lockers: [{ client: `client.${a.sessionId}`, cookie: 'x', address: a.address }, { client: `client.${b.sessionId}` }],
    });
    t.equal(await a.code('image.lock.break', { handle: 1, client: 'nonsense', cookie: 'x' }), -22);
    t.equal(await a.code('image.lock.break', { handle: 1, client: 'client.1', cookie: 'x' }), -2);
    t.equal(await a.code('image.lock.break', { handle: 1, client: `client.${b.sessionId}`, cookie: 'x' }), 0);
    t.equal(await a.code('image.lock.remove', { handle: 1, cookie: 'x' }), 0);
    await b.close();
  });

  t.test('a process that dies loses its locks and watchers; one that ends in order leaves its locks', async (t) => {
    const b = await another();
    t.equal(await lock(b, 'dead', '', true), 0);
    t.equal(((await a.call('image.watchers', { handle: 1 }))['watchers'] as unknown[]).length, 2);
    await b.die();
    const c = await another();
    while (((await a.call('image.watchers', { handle: 1 }))['watchers'] as unknown[]).length > 2);
    t.equal(await lock(c, 'kept', '', true), 0);
    await c.close();
    t.match(await a.call('image.lock.list', { handle: 1 }), { lockers: [{ client: `client.${c.sessionId}`, cookie: 'kept' }] });
    t.strictSame((await a.call('image.watchers', { handle: 1 }))['watchers'], [{ address: a.address, id: a.sessionId, cookie: 1 }]);
    t.equal(await a.code('image.lock.break', { handle: 1, client: `client.${c.sessionId}`, cookie: 'kept' }), 0);
  });

  t.test('the managed lock: one holder, told to the others, freed with its holder', async (t) => {
    const b = await another();
    t.strictSame((await a.call('image.xlock.owners', { handle: 1 }))['owners'], []);
    t.equal(await a.code('image.xlock.release', { handle: 1 }), -22);
    t.equal(await a.code('image.xlock.acquire', { handle: 1 }), 0);
    t.equal(await a.code('image.xlock.acquire', { handle: 1 }), 0);
    t.equal(b.asked.at(-1)?.method, 'image.lockTaken');
    t.equal((await b.call('image.refresh', { handle: 1 }))['exclusiveLock'], 'other');
    t.equal((await a.call('image.refresh', { handle: 1 }))['exclusiveLock'], 'mine');
    t.strictSame((await b.call('image.xlock.owners', { handle: 1 }))['owners'], [{ address: a.address }]);
    t.equal(await b.code('image.xlock.acquire', { handle: 1 }), -30);
    t.equal(await lock(b, 'ck', '', true), -16);
    t.equal(await b.code('image.xlock.break', { handle: 1, owner: 'nobody' }), -16);
    t.equal(await b.code('image.xlock.break', { handle: 1, owner: a.address, blocklist: false }), 0);
    t.equal(await b.code('image.xlock.break', { handle: 1, owner: a.address }), -2);
    t.equal(await b.code('image.xlock.acquire', { handle: 1 }), 0);
    await b.die();
    await a.told((method) => method === 'image.lockFreed');
    t.equal(await a.code('image.xlock.acquire', { handle: 1 }), 0);
    t.equal(await a.code('image.xlock.release', { handle: 1 }), 0);
  });

  t.test('the automatic lock follows the writer, in name', async (t) => {
    const b = await another();
    const elsewhere = async (asks: typeof a): Promise<unknown> => (await asks.call('image.xlock.owners', { handle: 1 }))['elsewhere'];
    t.strictSame([await elsewhere(a), await elsewhere(b)], [false, false]);
    await a.call('image.wrote', { handle: 1 });
    t.strictSame((await b.call('image.xlock.owners', { handle: 1 }))['owners'], [{ address: a.address }]);
    t.strictSame([await elsewhere(a), await elsewhere(b)], [false, true]);
    await b.call('image.wrote', { handle: 1 });
    t.strictSame([await elsewhere(a), await elsewhere(b)], [true, false]);
    t.ok(a.asked.some(({ method }) => method === 'image.lockMoved'));
    t.strictSame((await a.call('image.xlock.owners', { handle: 1 }))['owners'], [{ address: b.address }]);
    await b.close();
    t.strictSame((await a.call('image.xlock.owners', { handle: 1 }))['owners'], []);
  });

  t.test('who asks right behind a write finds its lock', async (t) => {
    const b = await another();
    for (let round = 0; round < 20; round++) {
      const wrote = b.call('image.wrote', { handle: 1 });
      t.strictSame(await Promise.all([lock(b, 'ck', '', true), lock(a, 'ck', '', true)]), [-16, -16], `round ${round}`);
      await wrote;
      t.equal(await b.code('image.xlock.release', { handle: 1 }), 0);
    }
    await b.close();
  });

  t.test('who closes the image at once after a write, or while it asks for the lock, leaves no lock behind', async (t) => {
    const b = await another();
    for (let round = 0; round < 50; round++) {
      // Answers may come in any order; nothing waits for the notification in a client.
      const last = round % 2 === 0 ? b.call('image.wrote', { handle: 1 }) : b.code('image.xlock.acquire', { handle: 1 });
      await Promise.allSettled([last, b.call('image.close', { handle: 1 })]);
      t.strictSame((await a.call('image.lock.list', { handle: 1 }))['lockers'], [], `round ${round}`);
      await b.call('image.open', { at, name: 'l', handle: 1 });
    }
    await b.close();
  });

  t.test('after a restart of the daemon a session comes back with its handles, its locks and its id', async (t) => {
    t.equal(await lock(a, 'mine', '', true), 0);
    await d.restart();
    const again = await d.client({ resume: a.sessionId });
    t.equal(again.sessionId, a.sessionId);
    const other = await d.client();
    t.equal(await other.code('image.remove', { at, name: 'l' }), -16, 'the image counts as open before it is attached');
    const { id } = await other.call('image.stat', { at, name: 'l' });
    t.match(await again.call('image.attach', { at, id, handle: 1 }), { name: 'l', fds: backend === 'local' ? 1 : 0 });
    t.equal(await again.code('image.lock.remove', { handle: 1, cookie: 'mine' }), 0);
    t.equal(await again.code('image.open', { at, name: 'l', handle: 1 }), -17, 'a handle that is taken up is taken');
    await again.call('image.open', { at, name: 'l', handle: 2 });
    await d.restart();
    const third = await d.client({ resume: a.sessionId });
    t.match(await third.call('image.open', { at, name: 'l', handle: 2 }), { name: 'l' }, 'an open whose answer never came may be asked again');
    t.equal(((await third.call('image.watchers', { handle: 2 }))['watchers'] as unknown[]).length, 2);
    await third.die();
  });

  t.test('sessions that do not come back within the grace time are dead', async (t) => {
    const quick = await startTestDaemonOn(backend, { CBD2RBD_GRACE: '1s' });
    const gone = await quick.client();
    await gone.call('image.create', { at, name: 'g', size: 1048576, options: {} });
    await gone.call('image.open', { at, name: 'g', handle: 1 });
    await gone.call('image.lock.add', { handle: 1, cookie: 'c', tag: '', exclusive: true });
    await quick.restart();
    const b = await quick.client();
    await b.call('image.open', { at, name: 'g', handle: 1 });
    t.equal(((await b.call('image.watchers', { handle: 1 }))['watchers'] as unknown[]).length, 2);
    while (((await b.call('image.watchers', { handle: 1 }))['watchers'] as unknown[]).length > 1) {
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    t.match(await b.call('image.lock.list', { handle: 1 }), { lockers: [] });
    await quick.stop();
  });
});
