// A restore that is cut short between any two of its commits: no daemon starts on what is there, and another restore makes it whole.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { backupPage, parseBackup, requireWhole, restoreInto } from '../../src/service/admin/backup.js';
import { createImage } from '../../src/service/images.js';
import { daemonLockKey } from '../../src/store/daemon-lock.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { StoreError, type Store } from '../../src/store/store.js';
import { FarStore } from '../lib/far-store.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const dir = mkdtempSync(join(tmpdir(), 'cbd-b-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
let stores = 0;
const open = (): FarStore => new FarStore(openSqliteStore(join(dir, `${stores += 1}.db`)));

/** A backup of a service with some images. */
async function backup(): Promise<[string, string][]> {
  const s = await startTestService();
  const { session } = await s.session();
  for (let i = 0; i < 60; i += 1) await createImage(s.ctx, session, { at, name: `i${i}`, size: 4096, options: {} });
  const lines: string[] = [];
  for (let page = await backupPage(s.ctx, undefined); ; page = await backupPage(s.ctx, page.token)) {
    lines.push(...page.lines);
    if (page.isLast) break;
  }
  await s.close();
  return parseBackup(lines.join('\n')).records;
}

const contents = async (store: Store): Promise<[string, string][]> => (await store.list({ prefix: '' })).map(({ key, value }) => [key, value]);
const sorted = (records: readonly [string, string][]): [string, string][] => [...records].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

t.test('each commit in turn fails', async (t) => {
  const records = await backup();
  for (let n = 1; ; n += 1) {
    const store = open();
    if (n % 2 === 0) await store.commit({ changes: [{ put: 'image/old', value: '{}' }] });
    let left = n;
    store.refuse = () => (left -= 1) === 0;
    const outcome = await restoreInto(store, records, { replace: true }).then(() => 'done', (error: { name: string }) => error.name);
    store.refuse = () => false;
    if (n > 1 && outcome !== 'done') await t.rejects(requireWhole(store), StoreError, `commit ${n}`);
    if (outcome !== 'done') await restoreInto(store, records, { replace: n === 1 });
    await requireWhole(store);
    t.strictSame(await contents(store), sorted(records), `commit ${n}: ${outcome}`);
    await store.close();
    if (outcome !== 'done') continue;
    t.ok(n > 4, `${n - 1} commits`);
    return;
  }
});

t.test('who holds the daemon\'s place to restore keeps it, and the store counts as empty', async (t) => {
  const records = await backup();
  const store = open();
  await store.commit({ changes: [{ put: daemonLockKey, value: 'me' }] });
  await restoreInto(store, records, { replace: false });
  t.equal((await store.get(daemonLockKey))?.value, 'me');
  await t.rejects(restoreInto(store, records, { replace: false }), { name: 'ServiceError', errno: 'ENOTEMPTY' });
  await store.close();
});
