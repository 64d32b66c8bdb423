// A store whose answer to a commit is lost (an etcd that goes away at that moment): the commit may have been done. What was made for it
// is then in use, and stays; where it was not done, nothing of it is left.
import t, { type Test } from 'tap';
import { nativeLayerWorker } from '../../src/native/layer-worker.js';
import { releaseImage } from '../../src/service/admin/release.js';
import { checkRecords } from '../../src/service/admin/check.js';
import { cloneImage } from '../../src/service/clones.js';
import { flattenImage } from '../../src/service/flatten.js';
import { createImage, imageByName } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { closeImage, openImage } from '../../src/service/open.js';
import { takeOwnership } from '../../src/service/ownership.js';
import type { Session } from '../../src/service/sessions.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { startRemoving } from '../../src/service/volumes.js';
import { backends, type TestBackend } from '../lib/backends.js';
import { startFarService, type TestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };

async function open(s: TestService, session: Session, name: string): Promise<void> {
  const { accesses } = await openImage(s.ctx, session, { at, name, readOnly: false, handle: 1 });
  releaseAll(accesses);
}

async function withClone(s: TestService, session: Session): Promise<void> {
  await createImage(s.ctx, session, { at, name: 'parent', size: 1 << 20, options: {} });
  await createSnapshot(s.ctx, await imageByName(s.ctx, at, 'parent'), { name: 's' });
  await cloneImage(s.ctx, session, { at, image: 'parent', snap: 's', to: at, name: 'a', options: { cloneFormat: 2 } });
}

interface Operation {
  prepare(s: TestService, session: Session): Promise<void>;
  run(s: TestService, session: Session): Promise<unknown>;
  /** What an administrator does who was told that it failed. */
  again?(s: TestService): Promise<unknown>;
}

const operations: Readonly<Record<string, Operation>> = {
  create: { prepare: async () => undefined, run: (s, session) => createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} }) },
  'first write after a snapshot': {
    prepare: async (s, session) => {
      await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
      await open(s, session, 'a');
      await createSnapshot(s.ctx, session.open(1).image, { name: 's' });
    },
    run: (s, session) => takeOwnership(s.ctx, session.open(1), 'write'),
  },
  flatten: { prepare: withClone, run: async (s) => flattenImage(s.ctx, await imageByName(s.ctx, at, 'a'), {}) },
  release: {
    prepare: withClone, run: (s) => releaseImage(s.ctx, 'rbd/a'),
    again: (s) => releaseImage(s.ctx, 'rbd/a').catch((error: { errno?: string }) => { if (error.errno !== 'ENOENT') throw error; }),
  },
};

async function cut(t: Test, backend: TestBackend, name: string, kind: 'done' | 'not done'): Promise<void> {
  const operation = operations[name]!;
  // Each commit in turn is the one.
  for (let n = 1; ; n += 1) {
    const s = await startFarService({ layerWorker: nativeLayerWorker }, backend);
    const { session } = await s.session();
    await operation.prepare(s, session);
    const stop = startRemoving(s.ctx);
    let left = n;
    const isIt = (): boolean => (left -= 1) === 0;
    if (kind === 'done') s.far.loseAnswer = isIt;
    else s.far.refuse = isIt;
    const outcome = await operation.run(s, session).then(() => 'done', (error: { name: string }) => error.name);
    s.far.loseAnswer = s.far.refuse = () => false;
    if (session.handles.has(1)) await closeImage(s.ctx, session.open(1));
    if (outcome !== 'done') await operation.again?.(s);
    s.ctx.retryRemovals?.();
    await stop();
    const findings = await checkRecords(s.ctx, { repair: false });
    t.strictSame(findings.map(({ about, problem }) => `${about}: ${problem}`), [], `commit ${n} (${outcome}): records and volumes agree`);
    if (outcome === 'done') t.ok(s.there.names().length > 0);
    await s.close();
    if (left <= 0) continue;
    t.ok(n > 2, `${n - 1} commits`);
    return;
  }
}

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  for (const name of Object.keys(operations)) {
    for (const kind of ['done', 'not done'] as const) await t.test(`${name}: each commit in turn is ${kind}, and nobody hears of it`, (t) => cut(t, backend, name, kind));
  }
});
