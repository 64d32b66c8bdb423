// An image's id is its own, also where the random numbers that ids are made of meet.
import t from 'tap';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { cloneImage } from '../../src/service/clones.js';
import { createImage, imageByName } from '../../src/service/images.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { backends } from '../lib/backends.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };

for (const backend of backends) t.test(`on ${backend} no image takes the id of another`, async (t) => {
  const s = await startTestService({}, backend);
  t.teardown(() => s.close());
  const { session } = await s.session();
  const { randomBytes } = crypto;
  // What an id is made of is each number three times.
  let asked = 0;
  const repeating = (size: number): Buffer => {
    if (size !== 4) return randomBytes(size);
    const bytes = Buffer.alloc(size);
    bytes.writeUInt32BE(Math.floor(asked++ / 3));
    return bytes;
  };
  Object.assign(crypto, { randomBytes: repeating });
  syncBuiltinESMExports();
  t.teardown(() => {
    Object.assign(crypto, { randomBytes });
    syncBuiltinESMExports();
  });
  const names = ['one', 'two', 'three'];
  for (const name of names) await createImage(s.ctx, session, { at, name, size: 1 << 20, options: {} });
  await createSnapshot(s.ctx, await imageByName(s.ctx, at, 'one'), { name: 's' });
  for (const name of ['four', 'five']) await cloneImage(s.ctx, session, { at, image: 'one', snap: 's', to: at, name, options: { cloneFormat: 2 } });
  const found = await Promise.all([...names, 'four', 'five'].map((name) => imageByName(s.ctx, at, name)));
  t.equal(new Set(found.map(({ id }) => id)).size, 5, 'five images have five ids');
  t.strictSame(found.map(({ name }) => name), [...names, 'four', 'five'], 'and each is still itself');
  t.ok(asked > 5, 'the numbers met on the way');
});
