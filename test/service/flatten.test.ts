// Flatten and merge, as far as records go: what links to what afterwards, what is freed, what sessions see. The worker here
// copies plain files; the native one has tests of its own.
import { readdirSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listChildren } from '../../src/service/children.js';
import { cloneImage } from '../../src/service/clones.js';
import { flattenImage } from '../../src/service/flatten.js';
import { createImage, imageByName } from '../../src/service/images.js';
import type { LayerWorker, WorkVolume } from '../../src/service/layer-worker.js';
import { layerTag, readChain, releaseAll } from '../../src/service/layers.js';
import { startMerging } from '../../src/service/merge.js';
import { openImage } from '../../src/service/open.js';
import { takeOwnership } from '../../src/service/ownership.js';
import { resizeImage } from '../../src/service/resize.js';
import type { OpenImage, Session } from '../../src/service/sessions.js';
import { createSnapshot, removeSnapshot } from '../../src/service/snapshots.js';
import { daemonStatus } from '../../src/service/status.js';
import { removeImage } from '../../src/service/remove.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const MiB = 1048576;
const merges: string[] = [];
const log: string[] = [];
/** What happens while a layer is merged. */
let whileMerging = async (): Promise<void> => undefined;
/** What happens while a clone is copied. */
let meanwhile = async (): Promise<void> => undefined;
let statusMeanwhile: Record<string, unknown> = {};

const fdOf = ({ access }: WorkVolume): number => {
  if (access.driver !== 'file') throw new Error('not a file');
  return access.fd;
};

const worker: LayerWorker = {
  async flatten({ layers, target, length, onProgress }) {
    const bottom = layers.at(-1);
    if (!bottom) return;
    const bytes = Buffer.alloc(Math.min(length, bottom.size));
    readSync(fdOf(bottom), bytes, 0, bytes.length, 0);
    writeSync(fdOf(target), bytes, 0, bytes.length, 0);
    await meanwhile();
    if (!onProgress(length, length)) throw Object.assign(new Error('cancelled'), { code: 'ECANCELED' });
  },
  async merge({ upper, lower, onProgress }) {
    merges.push(`${upper.kind} ${upper.size} onto ${lower.kind} ${lower.size}`);
    onProgress(upper.size / 2, upper.size);
    statusMeanwhile = await daemonStatus(s.ctx, { fsid: '', socket: '' });
    await whileMerging();
  },
  async giveBackZeroes() {
    throw new Error('nothing is made sparse here');
  },
};

const s = await startTestService({ layerWorker: worker, log: (line) => { log.push(line); } });
t.teardown(() => s.close());
const { session } = await s.session();
let handles = 0;

async function open(name: string, by: Session = session): Promise<OpenImage> {
  handles += 1;
  const { accesses } = await openImage(s.ctx, by, { at, name, readOnly: false, handle: handles });
  releaseAll(accesses);
  return by.open(handles);
}

/** The ids by which a client knows the layers. */
async function tagsOf(name: string): Promise<string[]> {
  const record = await imageByName(s.ctx, at, name);
  return (await readChain(s.ctx, record.top, record.size)).map(({ layer }) => layerTag(layer));
}

async function chainOf(name: string): Promise<{ kind: string; visible: number; frozen: boolean; refs: number }[]> {
  const { top, size } = await imageByName(s.ctx, at, name);
  return (await readChain(s.ctx, top, size)).map(({ layer, visible }) => ({ kind: layer.kind, visible, frozen: layer.frozen, refs: layer.refs }));
}

const clone = (name: string) => cloneImage(s.ctx, session, { at, image: 'base', snap: 's', to: at, name, options: { cloneFormat: 2 } });

t.before(async () => {
  await createImage(s.ctx, session, { at, name: 'base', size: 2 * MiB, options: {} });
  const [file = ''] = readdirSync(s.volumes);
  writeFileSync(join(s.volumes, file), 'base data', { flag: 'r+' });
  const base = await open('base');
  await createSnapshot(s.ctx, base.image, { name: 's' });
});

t.test('a clone that nobody wrote to becomes a plain image that anybody may write to', async (t) => {
  await clone('fresh');
  const { image } = await open('fresh');
  t.strictSame(await chainOf('fresh'), [{ kind: 'plain', visible: 2 * MiB, frozen: true, refs: 3 }]);
  await flattenImage(s.ctx, image, {});
  t.strictSame(await chainOf('fresh'), [{ kind: 'plain', visible: 2 * MiB, frozen: false, refs: 1 }]);
  t.match(await imageByName(s.ctx, at, 'fresh'), { parent: null, head: true, opFeatures: 0 });
  t.strictSame(await listChildren(s.ctx, await imageByName(s.ctx, at, 'base'), { descendants: false }), []);
  t.match(await imageByName(s.ctx, at, 'base'), { opFeatures: 0 });
  await t.rejects(flattenImage(s.ctx, image, {}), { name: 'ServiceError', errno: 'EINVAL' });
});

t.test('a clone with a head and snapshots of its own keeps them, above a base of its own', async (t) => {
  await clone('used');
  const used = await open('used');
  await createSnapshot(s.ctx, used.image, { name: 'early' });
  await takeOwnership(s.ctx, used, 'write');
  await createSnapshot(s.ctx, used.image, { name: 'later' });
  await takeOwnership(s.ctx, used, 'write');
  await flattenImage(s.ctx, used.image, {});
  t.strictSame((await chainOf('used')).map(({ kind, frozen }) => `${kind} ${frozen ? 'frozen' : 'head'}`), ['cow head', 'cow frozen', 'plain frozen']);
  const record = await imageByName(s.ctx, at, 'used');
  for (const snap of record.snaps) t.equal(snap.parent, null);
  const early = await readChain(s.ctx, record.snaps[0]?.top ?? { layer: '', overlap: 0 }, 2 * MiB);
  t.strictSame(early.map(({ layer }) => [layer.kind, layer.refs]), [['plain', 2]]);
  t.equal(used.holds, 'write', 'the owner of the head goes on');
});

t.test('a clone that was shrunk shows nothing of what was cut when it is flat', async (t) => {
  await clone('cut');
  const cut = await open('cut');
  await resizeImage(s.ctx, cut.image, { size: 4096, allowShrink: true });
  await resizeImage(s.ctx, cut.image, { size: 2 * MiB, allowShrink: true });
  await flattenImage(s.ctx, cut.image, {});
  t.match(await chainOf('cut'), [{ kind: 'plain', visible: 2 * MiB, frozen: false }]);
  const files = readdirSync(s.volumes).length;
  await s.ctx.sessions.closed(cut);
  await removeImage(s.ctx, { at, name: 'cut' });
  t.equal(readdirSync(s.volumes).length, files - 1);
});

t.test('a flatten that is cancelled leaves the clone as it was, and no volume', async (t) => {
  await clone('kept');
  const kept = await open('kept');
  const files = readdirSync(s.volumes);
  await t.rejects(flattenImage(s.ctx, kept.image, { onProgress: () => false }), { code: 'ECANCELED' });
  t.strictSame(readdirSync(s.volumes), files);
  t.match(await imageByName(s.ctx, at, 'kept'), { head: false, parent: { overlap: 2 * MiB } });
});

t.test('a frozen cow layer goes into the one below when nobody else sees that one', async (t) => {
  await createImage(s.ctx, session, { at, name: 'm', size: MiB, options: {} });
  const m = await open('m');
  await createSnapshot(s.ctx, m.image, { name: 'one' });
  await takeOwnership(s.ctx, m, 'write');
  await createSnapshot(s.ctx, m.image, { name: 'two' });
  await takeOwnership(s.ctx, m, 'write');
  t.equal((await chainOf('m')).length, 3);
  const stop = startMerging(s.ctx);
  const told = await tagsOf('m');
  await removeSnapshot(s.ctx, m.image, { name: 'one' });
  await stop();
  t.strictSame(merges, [`cow ${MiB} onto plain ${MiB}`]);
  t.match(statusMeanwhile, { merging: { image: 'm', done: MiB / 2, total: MiB } });
  t.match(await daemonStatus(s.ctx, { fsid: '', socket: '' }), { merging: null });
  t.strictSame((await chainOf('m')).map(({ kind, refs }) => `${kind} ${refs}`), ['cow 1', 'plain 2']);
  t.not((await tagsOf('m'))[1], told[2], 'the merged volume has a new id, so that its map is read anew');
  const record = await imageByName(s.ctx, at, 'm');
  t.match(await readChain(s.ctx, record.snaps[0]?.top ?? { layer: '', overlap: 0 }, MiB), [{ layer: { kind: 'plain', frozen: true } }]);
});

/** An image whose first layer nobody else sees once its snapshot "one" is gone. */
async function threeLayers(name: string, by: Session): Promise<OpenImage> {
  await createImage(s.ctx, session, { at, name, size: MiB, options: {} });
  const image = await open(name, by);
  for (const snap of ['one', 'two']) {
    await createSnapshot(s.ctx, image.image, { name: snap });
    await takeOwnership(s.ctx, image, 'write');
  }
  return image;
}

t.test('a merge is told to those who have one of its layers, and to nobody else', async (t) => {
  const near = await s.session();
  const clones = await s.session();
  const far = await s.session();
  const image = await threeLayers('near', near.session);
  await cloneImage(s.ctx, session, { at, image: 'near', snap: 'two', to: at, name: 'near clone', options: { cloneFormat: 2 } });
  await open('near clone', clones.session);
  await open('base', far.session);
  const stop = startMerging(s.ctx);
  await s.ctx.merger?.idle();
  await removeSnapshot(s.ctx, image.image, { name: 'one' });
  for (const side of [near, clones, far]) side.asked.length = 0;
  await s.ctx.merger?.idle();
  await stop();
  t.ok(near.asked.includes('image.changed'));
  t.strictSame([clones.asked, far.asked], [['image.changed'], []]);
});

t.test('layers that go while they are merged are no cause for alarm', async (t) => {
  const image = await threeLayers('leaving', session);
  const stop = startMerging(s.ctx);
  await s.ctx.merger?.idle();
  merges.length = log.length = 0;
  whileMerging = async () => {
    whileMerging = async () => undefined;
    await s.ctx.sessions.closed(image);
    await removeSnapshot(s.ctx, image.image, { name: 'two' });
    await removeImage(s.ctx, { at, name: 'leaving' });
  };
  await removeSnapshot(s.ctx, image.image, { name: 'one' });
  await s.ctx.merger?.idle();
  await stop();
  t.equal(merges.length, 1);
  t.strictSame(log.filter((line) => !line.endsWith('cannot be removed yet: it is still being read')), []);
});

t.test('whoever opens an image while its layers are merged gets the layers of before or of after', async (t) => {
  await createImage(s.ctx, session, { at, name: 'race', size: MiB, options: {} });
  const image = await open('race');
  for (const name of ['one', 'two']) {
    await createSnapshot(s.ctx, image.image, { name });
    await takeOwnership(s.ctx, image, 'write');
  }
  const stop = startMerging(s.ctx);
  const backend = s.ctx.backends.get('local')!;
  const openVolume = backend.openVolume.bind(backend);
  // The chain has been read; before the first of its volumes is opened all is merged, and the upper volume gone.
  let isFirst = true;
  backend.openVolume = async (...args) => {
    if (isFirst) {
      isFirst = false;
      await removeSnapshot(s.ctx, image.image, { name: 'one' });
      while ((s.ctx.merger?.backlog ?? 0) > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return openVolume(...args);
  };
  t.teardown(() => { backend.openVolume = openVolume; });
  const other = (await s.session()).session;
  const { state, accesses } = await openImage(s.ctx, other, { at, name: 'race', snap: 'two', readOnly: true, handle: 1 });
  releaseAll(accesses);
  t.match(state, { layers: [{ kind: 'plain', frozen: true }] });
  t.equal((state['layers'] as unknown[]).length, 1);
  await stop();
});

t.test('a volume that is lost is an input/output error, and no missing image', async (t) => {
  await createImage(s.ctx, session, { at, name: 'lost', size: MiB, options: {} });
  for (const volume of readdirSync(s.volumes)) if (volume === (await imageByName(s.ctx, at, 'lost')).top.layer) rmSync(join(s.volumes, volume));
  await t.rejects(open('lost'), { name: 'ServiceError', errno: 'EIO' });
});

t.test('a clone that is first written to, and snapshotted, while it is flattened is flat all the same', async (t) => {
  await createImage(s.ctx, session, { at, name: 'origin', size: MiB, options: {} });
  await createSnapshot(s.ctx, (await open('origin')).image, { name: 's' });
  await cloneImage(s.ctx, session, { at, image: 'origin', snap: 's', to: at, name: 'lodger', options: { cloneFormat: 2 } });
  const user = await open('lodger');
  meanwhile = async () => {
    await takeOwnership(s.ctx, user, 'write');
    await createSnapshot(s.ctx, user.image, { name: 'own' });
    await takeOwnership(s.ctx, user, 'write');
  };
  await flattenImage(s.ctx, user.image, {});
  meanwhile = async () => undefined;
  t.strictSame((await chainOf('lodger')).map(({ kind }) => kind), ['cow', 'cow', 'plain']);
  const record = await imageByName(s.ctx, at, 'lodger');
  t.equal(record.parent, null);
  for (const { layer } of await readChain(s.ctx, record.top, MiB)) t.equal(layer.image, record.id, 'every layer is its own');
  t.strictSame((await chainOf('origin')).map(({ refs }) => refs), [2], 'only its own image and snapshot refer to the parent');
});
