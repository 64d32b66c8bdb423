// Opening and removing at the same moment: one of the two is refused.
import t from 'tap';
import { cloneImage } from '../../src/service/clones.js';
import { createImage, imageById } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { keys } from '../../src/service/records.js';
import { removeImage } from '../../src/service/remove.js';
import { createSnapshot, removeSnapshot } from '../../src/service/snapshots.js';
import { backends } from '../lib/backends.js';
import { startFarService, startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const s = await startTestService({}, backend);
  t.teardown(() => s.close());
  const { session } = await s.session();

  /** Lets so many turns of the queue of promises pass. */
  async function turns(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await Promise.resolve();
  }

  t.test('whatever comes first by how much, never do both succeed', async (t) => {
    const outcomes = new Set<string>();
    for (let lead = -40; lead <= 40; lead += 1) {
      const name = `i${lead}`;
      const handle = 100 + lead;
      await createImage(s.ctx, session, { at, name, size: 4096, options: {} });
      const open = async (): Promise<string> => {
        await turns(Math.max(0, lead));
        const { accesses } = await openImage(s.ctx, session, { at, name, readOnly: false, handle });
        releaseAll(accesses);
        return 'opened';
      };
      const remove = async (): Promise<string> => {
        await turns(Math.max(0, -lead));
        await removeImage(s.ctx, { at, name });
        return 'removed';
      };
      const errno = (error: { errno?: string }): string => error.errno ?? String(error);
      const [opened, removed] = await Promise.all([open().catch(errno), remove().catch(errno)]);
      outcomes.add(`${opened} ${removed}`);
    }
    t.strictSame([...outcomes].sort(), ['ENOENT removed', 'opened EBUSY']);
  });

  t.test('a snapshot that goes to the trash while its last clone goes is gone, too', async (t) => {
    const s = await startFarService({}, backend);
    t.teardown(() => s.close());
    const { session } = await s.session();
    const parent = { ...at, ...await createImage(s.ctx, session, { at, name: 'parent', size: 4096, options: {} }) };
    for (const snap of ['s', 'other']) {
      await createSnapshot(s.ctx, parent, { name: snap });
      await cloneImage(s.ctx, session, { at, image: 'parent', snap, to: at, name: `clone of ${snap}`, options: { cloneFormat: 2 } });
    }
    let isNow = true;
    s.far.before = async (call, key) => {
      if (!isNow || call !== 'commit' || key !== keys.image(parent)) return;
      isNow = false;
      await removeImage(s.ctx, { at, name: 'clone of s' });
    };
    await removeSnapshot(s.ctx, parent, { name: 's' });
    t.notOk(isNow, 'the clone went in between');
    t.strictSame((await imageById(s.ctx, parent)).snaps.map(({ name }) => name), ['other']);
  });
});
