// Two clients that resize one image at the same moment: it has one of the sizes that were asked for, and all of it takes writes.
import t from 'tap';
import { createImage, imageById } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { takeOwnership } from '../../src/service/ownership.js';
import { keys, type ImageRef, type LayerRecord } from '../../src/service/records.js';
import { resizeImage } from '../../src/service/resize.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { readRecord } from '../../src/service/transact.js';
import { backends } from '../lib/backends.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const MiB = 1048576;
for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const s = await startTestService({}, backend);
  t.teardown(() => s.close());
  const { session } = await s.session();

  async function made(name: string): Promise<ImageRef> {
    const { id } = await createImage(s.ctx, session, { at, name, size: 10 * MiB, options: {} });
    return { ...at, id };
  }

  const resize = (image: ImageRef, size: number) => resizeImage(s.ctx, image, { size, allowShrink: true });

  for (const [first, second] of [[2, 5], [5, 2], [2, 20], [20, 2], [20, 15], [15, 20]] as const) {
    t.test(`to ${first} and to ${second} MiB at once`, async (t) => {
      const image = await made(`plain ${first} ${second}`);
      await Promise.all([resize(image, first * MiB), resize(image, second * MiB)]);
      const { size, top } = await imageById(s.ctx, image);
      t.equal(size, second * MiB, 'the later one counts');
      t.equal(top.overlap, size, 'and what is below it is seen to its end');
      const layer = await readRecord<LayerRecord>(s.ctx.store, keys.layer(top.layer));
      t.equal(layer?.size, size);
      t.ok((layer?.volumeSize ?? 0) >= size && s.there.size(layer?.volume ?? '') >= size, 'the volume holds it');
    });
  }

  t.test('a shrink and a snapshot at once both happen, whichever is first', async (t) => {
    for (const [name, order] of [['shrink first', [0, 1]], ['snapshot first', [1, 0]]] as const) {
      const image = await made(name);
      const steps = [() => resize(image, 3 * MiB), () => createSnapshot(s.ctx, image, { name: 's' })];
      await Promise.all(order.map((at) => steps[at]!()));
      const { size, snaps } = await imageById(s.ctx, image);
      t.equal(size, 3 * MiB, name);
      t.equal(snaps.length, 1, name);
    }
  });

  t.test('two shrinks of an image whose head is a layer', async (t) => {
    const image = await made('cow');
    const { accesses } = await openImage(s.ctx, session, { at, name: 'cow', readOnly: false, handle: 1 });
    releaseAll(accesses);
    await createSnapshot(s.ctx, image, { name: 's' });
    await takeOwnership(s.ctx, session.open(1), 'write');
    await Promise.all([resize(image, 2 * MiB), resize(image, 5 * MiB)]);
    t.equal((await imageById(s.ctx, image)).size, 5 * MiB);
  });
});
