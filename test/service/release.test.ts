// kill -9 of the daemon between any two steps of handing an image back: after a restart it is an image of ours, whole, or a volume of its
// name with all its bytes and no record; never both, never neither.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { checkRecords } from '../../src/service/admin/check.js';
import { backends } from '../lib/backends.js';
import { groundFor, startOn } from './crash-ground.js';
import { before } from './crash-operations.js';

t.setTimeout(240_000);
const child = join(dirname(fileURLToPath(import.meta.url)), 'release-child.js');
const maxPoints = 40;

for (const backend of backends) t.test(`on ${backend}: an image that is being handed back is never lost`, async (t) => {
  let released = 0;
  // A start on CurveBS takes longer: not every point is cut there.
  for (let n = 1; n <= maxPoints; n += backend === 'local' ? 1 : 3) {
    const dir = mkdtempSync(join(tmpdir(), 'cbd-c-'));
    const ground = await groundFor(backend, dir);
    const process_ = spawn(process.execPath, [child, dir, String(n), JSON.stringify(ground.settings)], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    process_.stdout.on('data', (text: Buffer) => { stdout += text.toString(); });
    process_.stderr.on('data', (text: Buffer) => { stderr += text.toString(); });
    const [, signal] = await once(process_, 'close') as [number | null, NodeJS.Signals | null];
    const isDone = stdout.includes('done');
    if (!isDone && signal !== 'SIGKILL') throw new Error(stderr);
    ground.forget();
    const d = await startOn(dir, ground.settings);
    const { ctx } = d.daemon;
    const client = await d.client();
    const { images } = await client.call('image.list', { at: { pool: 1, namespace: '' } }) as { images: { name: string }[] };
    const isVolume = ground.volumes().has('a');
    // On CurveBS a volume in a pool's directory is an image, too: once handed back it is listed as one.
    const isImage = images.length === 1 && !(isVolume && backend === 'curvebs');
    t.not(isImage, isVolume, `cut ${n}: an image or a volume (${images.length} images, volume: ${String(isVolume)})`);
    if (isVolume) {
      released += 1;
      t.ok((await ground.read('a', before)).equals(Buffer.alloc(before, 0x5a)), `cut ${n}: the volume has all bytes`);
    } else {
      const { size } = await client.call('image.open', { at: { pool: 1, namespace: '' }, name: 'a', handle: 1, readOnly: true });
      t.equal(size, before, `cut ${n}: the image is whole`);
      await client.call('image.close', { handle: 1 });
    }
    await client.close();
    t.strictSame((await checkRecords(ctx, { repair: false })).filter(({ about }) => !about.includes('volume layer-')), [], `cut ${n}: the records are in order`);
    await d.stop();
    await ground.close();
    rmSync(dir, { recursive: true, force: true });
    if (isDone) {
      t.ok(n > 3, `${n - 1} points were cut`);
      t.ok(released > 0);
      return;
    }
  }
  t.fail('there are more fault points than were looked at');
});
