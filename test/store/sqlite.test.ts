// The embedded store: the contract, and what is its own (one daemon a file, files that are no store).
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { StoreError, type Store } from '../../src/store/store.js';
import { storeContract } from './contract.js';

const dir = mkdtempSync(join(tmpdir(), 'cbd-sqlite-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

let made = 0;
const paths = new Map<Store, string>();

function open(path: string): Store {
  const store = openSqliteStore(path);
  paths.set(store, path);
  return store;
}

const freshPath = (): string => join(dir, `store-${made++}.db`);

t.test('the contract of stores', async (t) => {
  storeContract(t, { fresh: async () => open(freshPath()), reopen: async (store) => open(paths.get(store) ?? '') });
});

t.test('a file that another has open is refused, and the error names the file', async (t) => {
  const path = freshPath();
  const store = open(path);
  t.throws(() => openSqliteStore(path), { name: 'StoreError', message: new RegExp(`${path}.*in use`) });
  await store.close();
  const again = open(path);
  await again.close();
});

t.test('a file that is no store is refused by name and stays as it is', async (t) => {
  const path = freshPath();
  writeFileSync(path, 'my shopping list\n'.repeat(100));
  t.throws(() => openSqliteStore(path), { name: 'StoreError', message: new RegExp(path) });
  t.equal(readFileSync(path, 'utf8'), 'my shopping list\n'.repeat(100));
});

t.test('a folder that does not exist is named', async (t) => {
  const path = join(dir, 'nowhere', 'store.db');
  t.throws(() => openSqliteStore(path), { name: 'StoreError', message: new RegExp(path) });
});

t.test('a store that is closed refuses work', async (t) => {
  const store = open(freshPath());
  await store.close();
  await t.rejects(store.get('a'), StoreError);
  await t.rejects(store.commit({ changes: [] }), StoreError);
});

t.test('ten thousand keys are listed as one', async (t) => {
  const store = open(freshPath());
  const changes = Array.from({ length: 10_000 }, (_, i) => ({ put: `k/${String(i).padStart(5, '0')}`, value: `${i}` }));
  await store.commit({ changes });
  const found = await store.list({ prefix: 'k/' });
  t.equal(found.length, 10_000);
  t.equal(found[9_999]?.value, '9999');
  await store.close();
});
