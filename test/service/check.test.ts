// `cbd2rbd check --repair` and `layer gc` beside clients that go on: what is only under way is no finding, and nothing of it is repaired away.
import t, { type Test } from 'tap';
import { checkRecords } from '../../src/service/admin/check.js';
import { collectGarbage } from '../../src/service/admin/layers.js';
import { cloneImage } from '../../src/service/clones.js';
import { createImage, imageById, listImages, renameImage } from '../../src/service/images.js';
import { keys, type LayerRecord } from '../../src/service/records.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { readRecord } from '../../src/service/transact.js';
import { moveToTrash } from '../../src/service/trash.js';
import { backends, type TestBackend } from '../lib/backends.js';
import { startFarService, type FarService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };

async function start(t: Test, backend: TestBackend): Promise<FarService> {
  const s = await startFarService({}, backend);
  t.teardown(() => s.close());
  return s;
}

/** Runs `action` whenever the check is about to read what is under the prefix. */
function whenListed(far: FarService['far'], prefix: string, action: () => Promise<unknown>): void {
  let isBusy = false;
  far.before = async (call, key) => {
    if (call !== 'list' || key !== prefix || isBusy) return;
    isBusy = true;
    await action();
    isBusy = false;
  };
}

for (const backend of backends) t.test(`on ${backend} snapshots that are made while it looks keep their layers`, async (t) => {
  const s = await start(t, backend);
  const { session } = await s.session();
  const image = { ...at, ...await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} }) };
  let made = 0;
  whenListed(s.far, keys.layers, async () => createSnapshot(s.ctx, image, { name: `s${made += 1}` }));
  t.strictSame(await checkRecords(s.ctx, { repair: true }), []);
  const { top } = await imageById(s.ctx, image);
  t.ok(made > 0);
  t.equal((await readRecord<LayerRecord>(s.ctx.store, keys.layer(top.layer)))?.refs, 1 + made);
});

for (const backend of backends) t.test(`on ${backend} images that are made, cloned, renamed or put into the trash while it looks keep their names, and children their parents`, async (t) => {
  for (const prefix of ['image/', 'trash/', 'pool/', 'layer/', 'image-name/', 'child/', 'metadata/', 'lock/', 'intent/']) {
    const s = await start(t, backend);
    const { session } = await s.session();
    const parent = { ...at, ...await createImage(s.ctx, session, { at, name: 'parent', size: 4096, options: {} }) };
    await createSnapshot(s.ctx, parent, { name: 's' });
    for (const name of ['b0', 'c0', 'b1', 'c1', 'b2', 'c2']) await createImage(s.ctx, session, { at, name, size: 4096, options: {} });
    let made = 0;
    whenListed(s.far, prefix, async () => {
      if (made > 2) return;
      await createImage(s.ctx, session, { at, name: `a${made}`, size: 4096, options: {} });
      await cloneImage(s.ctx, session, { at, image: 'parent', snap: 's', to: at, name: `clone ${made}`, options: { cloneFormat: 2 } });
      await renameImage(s.ctx, { at, name: `b${made}`, to: `new b${made}` });
      await moveToTrash(s.ctx, { at, name: `c${made}`, delay: 0 });
      made += 1;
    });
    t.strictSame(await checkRecords(s.ctx, { repair: true }), [], prefix);
    s.far.before = () => undefined;
    t.ok(made > 0, prefix);
    const names = (await listImages(s.ctx, at)).map(({ name }) => name);
    for (let i = 0; i < made; i += 1) t.ok([`a${i}`, `clone ${i}`, `new b${i}`].every((name) => names.includes(name)) && !names.includes(`b${i}`) && !names.includes(`c${i}`), names.join());
    t.strictSame(await checkRecords(s.ctx, { repair: false }), [], 'all is well afterwards');
  }
});

for (const backend of backends) t.test(`on ${backend} a volume that becomes an image while garbage is looked for is none`, async (t) => {
  const s = await start(t, backend);
  const { session } = await s.session();
  for (const [first, second] of [[keys.layers, keys.intents], [keys.intents, keys.layers]] as const) {
    let goOn: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => { goOn = resolve; });
    let isMade: () => void = () => undefined;
    const made = new Promise<void>((resolve) => { isMade = resolve; });
    const name = `image of ${first}`;
    let creating: Promise<unknown> | undefined;
    const seen: string[] = [];
    s.far.before = async (call, key) => {
      if (call === 'commit' && key.startsWith('layer/')) {
        isMade();
        await gate;
      }
      if (call !== 'list' || (key !== first && key !== second) || seen.includes(key)) return;
      seen.push(key);
      // Between the two readings.
      if (seen.length < 2) return;
      goOn();
      await creating;
    };
    creating = createImage(s.ctx, session, { at, name, size: 4096, options: {} });
    await made;
    const { removed } = await collectGarbage(s.ctx, { dryRun: false });
    t.strictSame(removed, []);
    s.far.before = () => undefined;
    await creating;
  }
  t.equal(s.there.names().length, 2);
});
