// What a snapshot with 10,000 clones costs: asked of the store are as many records as for one clone, save where clones are listed.
// Counted, not timed. test/rbd/many-clones.test.ts has the same through the C functions.
import t from 'tap';
import { anyChild, listChildren } from '../../src/service/children.js';
import { cloneImage } from '../../src/service/clones.js';
import { createImage, imageByName } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { removeImage } from '../../src/service/remove.js';
import { keys } from '../../src/service/records.js';
import { createSnapshot, protectSnapshot, removeSnapshot, renameSnapshot, unprotectSnapshot } from '../../src/service/snapshots.js';
import type { Store } from '../../src/store/store.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const many = 10_000;

/** How often a store was called, and how many records it gave or changed. */
class Counted {
  calls = 0;
  records = 0;

  constructor(readonly store: Store) {
    const { get, getAll, list, commit } = store;
    store.get = async (key) => this.note(await get.call(store, key), 1);
    store.getAll = async (names) => this.note(await getAll.call(store, names), names.length, Math.ceil(names.length / 100));
    store.list = async (options) => {
      const found = await list.call(store, options);
      return this.note(found, found.length);
    };
    // What is asked for here must not survive a power loss: it would take a minute.
    store.commit = async (transaction) => this.note(await commit.call(store, { ...transaction, survives: 'process-death' }), transaction.changes.length);
  }

  /** What `work` costs. */
  async of(work: () => Promise<unknown>): Promise<{ calls: number; records: number }> {
    [this.calls, this.records] = [0, 0];
    await work();
    return { calls: this.calls, records: this.records };
  }

  private note<T>(result: T, records: number, calls = 1): T {
    this.calls += calls;
    this.records += records;
    return result;
  }
}

t.test('a snapshot with 10,000 clones costs what one with a single clone does', async (t) => {
  const s = await startTestService();
  t.teardown(() => s.close());
  const counted = new Counted(s.ctx.store);
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'base', size: 1 << 20, options: {} });
  const base = await imageByName(s.ctx, at, 'base');
  for (const name of ['origin', 'protected']) await createSnapshot(s.ctx, base, { name });
  await protectSnapshot(s.ctx, base, 'protected');
  let handles = 0;
  const open = async (name: string, snap?: string): Promise<void> => {
    handles += 1;
    const { accesses } = await openImage(s.ctx, session, { at, name, readOnly: true, handle: handles, ...(snap === undefined ? {} : { snap }) });
    releaseAll(accesses);
    await s.ctx.sessions.closed(session.open(handles));
  };
  const clone = (name: string, format: number, snap = 'origin') => cloneImage(s.ctx, session, { at, image: 'base', snap, to: at, name, options: { cloneFormat: format } });
  /** Each a change that can be made again and again. */
  const steps = async (): Promise<Record<string, object>> => ({
    open: await counted.of(() => open('base')),
    'open at the snapshot': await counted.of(() => open('base', 'origin')),
    'open a clone': await counted.of(() => open('clone 0')),
    clone: await counted.of(() => clone('one more', 2)),
    'clone of format 1': await counted.of(() => clone('and one', 1, 'protected')),
    'remove a clone': await counted.of(() => removeImage(s.ctx, { at, name: 'one more' })),
    'remove a clone of format 1': await counted.of(() => removeImage(s.ctx, { at, name: 'and one' })),
    'make a snapshot': await counted.of(() => createSnapshot(s.ctx, base, { name: 'other' })),
    'rename a snapshot': await counted.of(() => renameSnapshot(s.ctx, base, { name: 'origin', to: 'renamed' })),
    'rename it back': await counted.of(() => renameSnapshot(s.ctx, base, { name: 'renamed', to: 'origin' })),
    'remove another snapshot': await counted.of(() => removeSnapshot(s.ctx, base, { name: 'other' })),
    'ask for any child': await counted.of(() => anyChild(s.ctx, base)),
  });
  await clone('clone 0', 2);
  await steps();
  const withOne = await steps();
  for (let i = 1; i < many; i += 1) await clone(`clone ${i}`, 2);
  t.strictSame(await steps(), withOne);
  t.strictSame(await s.ctx.store.list({ prefix: keys.lefts }), [], 'no clone that left is remembered');

  let children: { name: string }[] = [];
  const listing = await counted.of(async () => { children = await listChildren(s.ctx, base, { descendants: true }); });
  t.strictSame(children.map(({ name }) => name), Array.from({ length: many }, (_, i) => `clone ${i}`).sort());
  t.ok(listing.calls <= 2 * many / 100 + 10, `${many} clones are listed by ${listing.calls} calls of the store`);

  const removal = await counted.of(() => removeSnapshot(s.ctx, base, { name: 'origin' }));
  t.ok(removal.records < 20, `a snapshot with clones goes to the trash by ${removal.records} records`);
  t.match((await imageByName(s.ctx, at, 'base')).snaps, [{ namespace: { type: 'trash', originalName: 'origin' } }, { name: 'protected' }]);
});

t.test('a snapshot is not unprotected beside a clone of format 1 that is just being made', async (t) => {
  const s = await startTestService();
  t.teardown(() => s.close());
  const { session } = await s.session();
  await createImage(s.ctx, session, { at, name: 'base', size: 1 << 20, options: {} });
  const base = await imageByName(s.ctx, at, 'base');
  await createSnapshot(s.ctx, base, { name: 's' });
  await protectSnapshot(s.ctx, base, 's');
  // The clone is committed when nobody has been seen to be there, and before the protection goes.
  const { store } = s.ctx;
  const { commit } = store;
  let isFirst = true;
  store.commit = async (transaction) => {
    if (isFirst) {
      isFirst = false;
      await cloneImage(s.ctx, session, { at, image: 'base', snap: 's', to: at, name: 'clone', options: { cloneFormat: 1 } });
    }
    return commit.call(store, transaction);
  };
  await t.rejects(unprotectSnapshot(s.ctx, base, 's'), { name: 'ServiceError', errno: 'EBUSY' });
  t.match((await imageByName(s.ctx, at, 'base')).snaps, [{ isProtected: true }]);
});
