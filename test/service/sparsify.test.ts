// Who makes the holes of a sparsify, and that everybody who may write holds still while it is done.
import t from 'tap';
import { createImage, imageByName } from '../../src/service/images.js';
import type { LayerWorker } from '../../src/service/layer-worker.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { sparsifyImage } from '../../src/service/sparsify.js';
import type { ByteRange } from '../../src/backend/backend.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const MiB = 1048576;
const events: string[] = [];
let given: { ranges: readonly ByteRange[]; grain: number; kind: string } | undefined;

const worker: LayerWorker = {
  async flatten() { throw new Error('nothing is copied here'); },
  async merge() { throw new Error('nothing is merged here'); },
  async giveBackZeroes({ volume, ranges, grain }) {
    events.push('holes');
    given = { ranges, grain, kind: volume.kind };
  },
};

const s = await startTestService({ layerWorker: worker, drainMs: 50 });
t.teardown(() => s.close());
const refusal = (errno: string) => ({ name: 'ServiceError', errno });
let isMute = false;

const client = (name: string) => s.session(async (method) => {
  if (isMute && name === 'two') await new Promise(() => undefined);
  if (method === 'image.quiesce' || method === 'image.resume') events.push(`${method} ${name}`);
  return {};
});
const [one, two] = [await client('one'), await client('two')];

t.before(async () => {
  await createImage(s.ctx, one.session, { at, name: 'i', size: MiB, options: {} });
  for (const { session } of [one, two]) releaseAll((await openImage(s.ctx, session, { at, name: 'i', readOnly: false, handle: 1 })).accesses);
});

const sparsify = async (ranges: ByteRange[], grain = 4096) => sparsifyImage(s.ctx, await imageByName(s.ctx, at, 'i'), { ranges, grain });

t.test('holes in a plain head are made while every client that may write holds still', async (t) => {
  t.equal(await sparsify([{ offset: 4096, length: 8192 }]), 'daemon');
  t.strictSame(events.slice(0, 2).sort(), ['image.quiesce one', 'image.quiesce two']);
  t.equal(events[2], 'holes');
  t.strictSame(events.slice(3).sort(), ['image.resume one', 'image.resume two']);
  t.strictSame(given, { ranges: [{ offset: 4096, length: 8192 }], grain: 4096, kind: 'plain' });
});

t.test('what lies behind the end of an image that became smaller is left out', async (t) => {
  t.equal(await sparsify([{ offset: MiB - 4096, length: 8192 }, { offset: 2 * MiB, length: 4096 }]), 'daemon');
  t.strictSame(given?.ranges, [{ offset: MiB - 4096, length: 4096 }]);
});

t.test('to ask who would do it disturbs nobody', async (t) => {
  events.length = 0;
  t.equal(await sparsify([]), 'daemon');
  t.strictSame(events, []);
});

t.test('a client that may write and does not hold still keeps the holes from being made', async (t) => {
  events.length = 0;
  isMute = true;
  await t.rejects(sparsify([{ offset: 0, length: 4096 }]), refusal('ETIMEDOUT'));
  t.notOk(events.includes('holes'));
  isMute = false;
});

t.test('bad ranges and grains are refused', async (t) => {
  events.length = 0;
  await t.rejects(sparsify([{ offset: -1, length: 4096 }]), refusal('EINVAL'));
  await t.rejects(sparsify([{ offset: Number.MAX_SAFE_INTEGER, length: 4096 }]), refusal('EINVAL'));
  await t.rejects(sparsify([{ offset: 0, length: 2 ** 40 }]), refusal('EINVAL'));
  await t.rejects(sparsify(Array.from({ length: 5000 }, (_, i) => ({ offset: i * 8192, length: 4096 }))), refusal('EINVAL'));
  for (const grain of [0, 512, 4097, 6000]) await t.rejects(sparsify([], grain), refusal('EINVAL'));
  t.strictSame(events, []);
});

t.test('where the backend gives back no part of a plain volume it is refused', async (t) => {
  const { rules } = s.ctx.backends.get('local')!;
  Object.assign(rules, { givesBackBlocks: false });
  for (const ranges of [[], [{ offset: 0, length: 4096 }]]) await t.rejects(sparsify(ranges), refusal('EOPNOTSUPP'));
  Object.assign(rules, { givesBackBlocks: true });
  t.strictSame(events, []);
});

t.test('where a snapshot stands below, it is left to the owner of the head', async (t) => {
  await createSnapshot(s.ctx, await imageByName(s.ctx, at, 'i'), { name: 's' });
  events.length = 0;
  t.equal(await sparsify([{ offset: 0, length: 4096 }]), 'owner');
  t.strictSame(events, []);
});
