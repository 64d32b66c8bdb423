// kill -9 of the daemon between any two writes of an operation: after a restart the image is whole or absent, no volume
// is left that no image has, and none is missing.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startTestDaemonIn, type TestDaemon } from '../lib/daemon.js';
import type { Json } from '../lib/rpc-client.js';
import { larger, operations, smaller, written } from './crash-operations.js';

const child = join(dirname(fileURLToPath(import.meta.url)), 'crash-child.js');
const at = { pool: 1, namespace: '' };
const maxPoints = 40;

interface Survey {
  /** Images and image@snapshots, name and size. */
  readonly images: [string, number][];
  /** Volumes that do not hold what counts of their layer. */
  readonly short: string[];
  /** Volumes that no image has. */
  readonly strays: string[];
}

async function survey(d: TestDaemon): Promise<Survey> {
  const client = await d.client();
  const folder = join(d.config.localRoot, 'pool-1');
  const strays = new Set(readdirSync(folder));
  const images: [string, number][] = [];
  const short: string[] = [];
  let handle = 1000;
  const look = async (name: string, snap?: string): Promise<Json> => {
    const state = await client.call('image.open', { at, name, ...(snap ? { snap } : {}), handle: handle += 1, readOnly: true });
    images.push([snap ? `${name}@${snap}` : name, Number(state['size'])]);
    for (const { id, kind, size } of state['layers'] as { id: string; kind: string; size: number }[]) {
      const volume = id.split('.')[0] ?? '';
      if (statSync(join(folder, volume)).size < size + (kind === 'cow' ? 1024 ** 3 : 0)) short.push(id);
      strays.delete(volume);
    }
    return state;
  };
  for (const { name } of (await client.call('image.list', { at }))['images'] as { name: string }[]) {
    const state = await look(name);
    for (const snap of state['snaps'] as { name: string }[]) await look(name, snap.name);
  }
  await client.close();
  return { images, short, strays: [...strays] };
}

/** The survey when the restarted daemon has ended what it had begun: a merged layer's volume goes in the background. A true stray stays. */
async function settled(d: TestDaemon): Promise<Survey> {
  const deadline = Date.now() + 20_000;
  let seen = await survey(d);
  while (seen.strays.length > 0 && Date.now() < deadline) seen = await survey(d);
  return seen;
}

/** What a shrink cut off reads as zeroes when the image grows again; what it kept is whole. */
async function checkCutIsZero(t: Test, d: TestDaemon): Promise<void> {
  const client = await d.client();
  const { layers } = await client.call('image.open', { at, name: 'a', handle: 1 }) as { layers: { id: string }[] };
  await client.call('image.resize', { handle: 1, size: smaller, allowShrink: true });
  await client.call('image.resize', { handle: 1, size: larger, allowShrink: true });
  const bytes = readFileSync(join(d.config.localRoot, 'pool-1', layers[0]?.id ?? ''));
  t.equal(bytes.subarray(0, smaller).findIndex((byte) => byte !== written), -1, 'what was kept is whole');
  t.equal(bytes.subarray(smaller).findIndex((byte) => byte !== 0), -1, 'what was cut is zero');
  await client.close();
}

t.setTimeout(300_000);

for (const [name, operation] of Object.entries(operations)) {
  t.test(`${name}, cut short at each of its steps, is done or not done`, async (t) => {
    let cuts = 0;
    for (let n = 1; n <= maxPoints; n += 1) {
      const dir = mkdtempSync(join(tmpdir(), 'cbd-c-'));
      const run = spawnSync(process.execPath, [child, dir, name, String(n)], { encoding: 'utf8' });
      const finished = run.stdout.includes('done');
      if (!finished && run.signal !== 'SIGKILL') throw new Error(run.stderr);
      const d = await startTestDaemonIn(dir);
      const { images, short, strays } = await settled(d);
      t.ok(operation.outcomes.some((outcome) => JSON.stringify(outcome) === JSON.stringify(images)), `cut ${n}: ${JSON.stringify(images)}`);
      t.strictSame(strays, [], `cut ${n}: no stray volume`);
      if (name === 'shrink') await checkCutIsZero(t, d);
      t.strictSame(short, [], `cut ${n}: each volume holds its layer`);
      await d.stop();
      if (finished) break;
      cuts += 1;
    }
    t.ok(cuts >= 2 && cuts < maxPoints, `${cuts} cuts`);
  });
}
