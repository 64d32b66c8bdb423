// What every store promises. Each implementation's test calls this with a way to open stores.
import type { Test } from 'tap';
import type { Store, WatchEvent } from '../../src/store/store.js';

export interface StoreMaker {
  /** A new, empty store. */
  fresh(): Promise<Store>;
  /** The same store again, after its close. */
  reopen(store: Store): Promise<Store>;
}

export function storeContract(t: Test, { fresh, reopen }: StoreMaker): void {
  t.test('a key that was never put is absent', async (t) => {
    const store = await fresh();
    t.equal(await store.get('a'), undefined);
    t.strictSame(await store.list({ prefix: '' }), []);
    await store.close();
  });

  t.test('a value is read back, with a revision that grows with each change', async (t) => {
    const store = await fresh();
    const first = await store.commit({ changes: [{ put: 'a', value: 'one' }] });
    const second = await store.commit({ changes: [{ put: 'a', value: 'two' }] });
    t.ok(first.done && second.done);
    t.ok(second.revision > first.revision);
    t.strictSame(await store.get('a'), { key: 'a', value: 'two', revision: second.revision });
    await store.close();
  });

  t.test('values and keys hold any text', async (t) => {
    const store = await fresh();
    const texts = ['', 'ü€𝄞', '"quotes\\" and \n lines', 'x'.repeat(100_000)];
    for (const [i, text] of texts.entries()) await store.commit({ changes: [{ put: `v/${i}`, value: text }] });
    t.strictSame((await store.list({ prefix: 'v/' })).map(({ value }) => value), texts);
    const names = ['k/ü', 'k/\u{ffff}', 'k/\u{10000}', 'k/a b\t\n', 'k/%', 'k//'];
    for (const name of names) await store.commit({ changes: [{ put: name, value: name }] });
    for (const name of names) t.equal((await store.get(name))?.value, name);
    await store.close();
  });

  t.test('many keys are read at once, in the order asked for, and those that are absent are undefined', async (t) => {
    const store = await fresh();
    const keys = Array.from({ length: 1201 }, (_, i) => `k/"${i % 7}"\\ü/${1200 - i}`);
    for (let at = 0; at < keys.length; at += 100) {
      await store.commit({ changes: keys.slice(at, at + 100).filter((key) => !key.endsWith('3')).map((key) => ({ put: key, value: `value of ${key}` })) });
    }
    const found = await store.getAll([...keys, keys[5] ?? '']);
    t.strictSame(found.map((entry) => entry?.value), [...keys, keys[5]].map((key) => (key?.endsWith('3') ? undefined : `value of ${key}`)));
    t.strictSame(found[0], await store.get(keys[0] ?? ''));
    t.strictSame(await store.getAll([]), []);
    await store.close();
  });

  t.test('a list holds the keys under a prefix and no others, sorted by their bytes', async (t) => {
    const store = await fresh();
    const keys = ['p/b', 'p/a', 'p/\u{10000}', 'p/\u{ffff}', 'p', 'p0', 'o/z', 'p/'];
    await store.commit({ changes: keys.map((key) => ({ put: key, value: '1' })) });
    t.strictSame((await store.list({ prefix: 'p/' })).map(({ key }) => key), ['p/', 'p/a', 'p/b', 'p/\u{ffff}', 'p/\u{10000}']);
    t.equal((await store.list({ prefix: '' })).length, keys.length);
    await store.close();
  });

  t.test('a list goes on behind a key, and stops at a limit', async (t) => {
    const store = await fresh();
    await store.commit({ changes: ['a', 'b', 'c', 'd'].map((key) => ({ put: `p/${key}`, value: key })) });
    const some = await store.list({ prefix: 'p/', after: 'p/a', limit: 2 });
    t.strictSame(some.map(({ value }) => value), ['b', 'c']);
    t.strictSame(await store.list({ prefix: 'p/', after: 'p/d' }), []);
    await store.close();
  });

  t.test('a transaction whose condition does not hold changes nothing', async (t) => {
    const store = await fresh();
    const { revision } = await store.commit({ changes: [{ put: 'a', value: '1' }] });
    const refused = await store.commit({
      when: [{ key: 'a', revision }, { key: 'b', revision: 7 }], changes: [{ put: 'a', value: '2' }, { put: 'c', value: '3' }],
    });
    t.notOk(refused.done);
    t.equal((await store.get('a'))?.value, '1');
    t.equal(await store.get('c'), undefined);
    await store.close();
  });

  t.test('compare and swap: only the first of two writers that read the same revision succeeds', async (t) => {
    const store = await fresh();
    const { revision } = await store.commit({ changes: [{ put: 'a', value: '0' }] });
    const swap = (value: string) => store.commit({ when: [{ key: 'a', revision }], changes: [{ put: 'a', value }] });
    const results = await Promise.all([swap('1'), swap('2'), swap('3')]);
    t.equal(results.filter(({ done }) => done).length, 1);
    await store.close();
  });

  t.test('revision 0 means that a key must not exist', async (t) => {
    const store = await fresh();
    const put = () => store.commit({ when: [{ key: 'a', revision: 0 }], changes: [{ put: 'a', value: '1' }] });
    t.ok((await put()).done);
    t.notOk((await put()).done);
    await store.commit({ changes: [{ remove: 'a' }] });
    t.ok((await put()).done);
    await store.close();
  });

  t.test('a condition on an empty prefix fails as soon as one key is there', async (t) => {
    const store = await fresh();
    const guarded = (key: string) => store.commit({ when: [{ emptyPrefix: 'p/' }], changes: [{ put: key, value: '1' }] });
    t.ok((await guarded('q')).done);
    t.ok((await guarded('p/x')).done);
    t.notOk((await guarded('r')).done);
    await store.close();
  });

  t.test('removing a key or a prefix takes exactly that; what is absent may be removed', async (t) => {
    const store = await fresh();
    await store.commit({ changes: ['p/a', 'p/b', 'p', 'p0', 'q'].map((key) => ({ put: key, value: '1' })) });
    t.ok((await store.commit({ changes: [{ removePrefix: 'p/' }, { remove: 'q' }, { remove: 'never' }] })).done);
    t.strictSame((await store.list({ prefix: '' })).map(({ key }) => key), ['p', 'p0']);
    await store.close();
  });

  t.test('an empty key, and NUL bytes, are refused', async (t) => {
    const store = await fresh();
    await t.rejects(store.commit({ changes: [{ put: '', value: '1' }] }), RangeError);
    await t.rejects(store.commit({ changes: [{ put: 'a\0b', value: '1' }] }), RangeError);
    await t.rejects(store.commit({ changes: [{ put: 'a', value: '1\0' }] }), RangeError);
    await store.close();
  });

  t.test('what was committed is there after a reopening, and revisions go on growing', async (t) => {
    const store = await fresh();
    const { revision } = await store.commit({ changes: [{ put: 'a', value: '1' }, { put: 'b', value: '2' }] });
    await store.commit({ changes: [{ put: 'c', value: '3' }], survives: 'process-death' });
    await store.close();
    const again = await reopen(store);
    t.strictSame((await again.list({ prefix: '' })).map(({ value }) => value), ['1', '2', '3']);
    t.equal((await again.get('a'))?.revision, revision);
    const next = await again.commit({ changes: [{ put: 'a', value: '4' }] });
    t.ok(next.revision > revision);
    await again.close();
  });

  t.test('a watch hears of every change under its prefix, in order, and of no other', async (t) => {
    const store = await fresh();
    const heard: WatchEvent[] = [];
    let enough: () => void;
    const all = new Promise<void>((resolve) => { enough = resolve; });
    const watch = store.watch('p/', (events) => {
      heard.push(...events);
      if (heard.length === 3) enough();
    });
    await watch.ready;
    await store.commit({ changes: [{ put: 'p/a', value: '1' }, { put: 'q', value: '0' }] });
    await store.commit({ changes: [{ put: 'p/b', value: '2' }] });
    await store.commit({ changes: [{ remove: 'p/a' }, { remove: 'p/never' }] });
    await all;
    t.strictSame(heard.map(({ type, key }) => `${type} ${key}`), ['put p/a', 'put p/b', 'remove p/a']);
    t.strictSame([...heard].sort((a, b) => a.revision - b.revision), heard);
    watch.close();
    await store.close();
  });

  t.test('keys under a lease go when it is revoked, and only they', async (t) => {
    const store = await fresh();
    const lease = await store.grantLease(60);
    await store.commit({ changes: [{ put: 'leased', value: '1', lease }, { put: 'kept', value: '1' }] });
    t.equal(await store.keepLeaseAlive(lease), true);
    await store.revokeLease(lease);
    t.equal(await store.get('leased'), undefined);
    t.ok(await store.get('kept'));
    t.equal(await store.keepLeaseAlive(lease), false);
    await store.close();
  });

  t.test('a lease that nobody keeps alive runs out', async (t) => {
    const store = await fresh();
    const gone = new Promise<void>((resolve) => {
      store.watch('leased', (events) => { if (events.some(({ type }) => type === 'remove')) resolve(); });
    });
    const lease = await store.grantLease(1);
    await store.commit({ changes: [{ put: 'leased', value: '1', lease }] });
    await gone;
    t.equal(await store.get('leased'), undefined);
    await store.close();
  });
}
