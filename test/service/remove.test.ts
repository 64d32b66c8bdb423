// Opening and removing at the same moment: one of the two is refused.
import t from 'tap';
import { createImage } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { removeImage } from '../../src/service/remove.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const s = await startTestService();
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
