// kill -9 of the daemon between any two writes of an operation: after a restart the image is whole or absent, no volume
// is left that no image has, and none is missing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { backends, type TestBackend } from '../lib/backends.js';
import type { TestDaemon } from '../lib/daemon.js';
import type { Json } from '../lib/rpc-client.js';
import { groundFor, startOn, type Ground } from './crash-ground.js';
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

async function survey(d: TestDaemon, ground: Ground): Promise<Survey> {
  const client = await d.client();
  const volumes = ground.volumes();
  const strays = new Set(volumes.keys());
  const images: [string, number][] = [];
  const short: string[] = [];
  let handle = 1000;
  const look = async (name: string, snap?: string): Promise<Json> => {
    const state = await client.call('image.open', { at, name, ...(snap ? { snap } : {}), handle: handle += 1, readOnly: true });
    images.push([snap ? `${name}@${snap}` : name, Number(state['size'])]);
    for (const { id, kind, size } of state['layers'] as { id: string; kind: string; size: number }[]) {
      const volume = id.split('.')[0] ?? '';
      if ((volumes.get(volume) ?? 0) < size + (kind === 'cow' ? 1024 ** 3 : 0)) short.push(id);
      strays.delete(volume);
    }
    return state;
  };
  for (const { name } of (await client.call('image.list', { at }))['images'] as { name: string }[]) {
    const state = await look(name);
    for (const snap of state['snaps'] as { name: string; size: number; namespace: { type: string } }[]) {
      if (snap.namespace.type === 'user') await look(name, snap.name);
      else images.push([`${name}@(trash)`, snap.size]);
    }
  }
  await client.close();
  return { images, short, strays: [...strays] };
}

/** The survey when the restarted daemon has ended what it had begun: a merged layer's volume goes in the background. A true stray stays. */
async function settled(d: TestDaemon, ground: Ground): Promise<Survey> {
  const deadline = Date.now() + 20_000;
  let seen = await survey(d, ground);
  while (seen.strays.length > 0 && Date.now() < deadline) seen = await survey(d, ground);
  return seen;
}

/** What a shrink cut off reads as zeroes when the image grows again; what it kept is whole. */
async function checkCutIsZero(t: Test, d: TestDaemon, ground: Ground): Promise<void> {
  const client = await d.client();
  const { layers } = await client.call('image.open', { at, name: 'a', handle: 1 }) as { layers: { id: string }[] };
  await client.call('image.resize', { handle: 1, size: smaller, allowShrink: true });
  await client.call('image.resize', { handle: 1, size: larger, allowShrink: true });
  const bytes = await ground.read(layers[0]?.id ?? '', larger);
  t.ok(bytes.subarray(0, smaller).equals(Buffer.alloc(smaller, written)), 'what was kept is whole');
  t.ok(bytes.subarray(smaller).equals(Buffer.alloc(bytes.length - smaller)), 'what was cut is zero');
  await client.close();
}

t.setTimeout(600_000);

/** Runs the operation in a process that ends at its n-th fault point; true where it has fewer. */
async function cutShort(dir: string, name: string, n: number, ground: Ground): Promise<boolean> {
  const process_ = spawn(process.execPath, [child, dir, name, String(n), JSON.stringify(ground.settings)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  process_.stdout.on('data', (text: Buffer) => { stdout += text.toString(); });
  process_.stderr.on('data', (text: Buffer) => { stderr += text.toString(); });
  const [, signal] = await once(process_, 'close') as [number | null, NodeJS.Signals | null];
  const finished = stdout.includes('done');
  if (!finished && signal !== 'SIGKILL') throw new Error(stderr);
  ground.forget();
  return finished;
}

/** On CurveBS: the operations whose steps are its own there. */
const onCurvebs = ['create', 'remove', 'head', 'flatten', 'snapshot and merge', 'shrink'];

async function cutEverywhere(t: Test, name: string, backend: TestBackend): Promise<void> {
  const operation = operations[name]!;
  let cuts = 0;
  for (let n = 1; n <= maxPoints; n += 1) {
    const dir = mkdtempSync(join(tmpdir(), 'cbd-c-'));
    const ground = await groundFor(backend, dir);
    const finished = await cutShort(dir, name, n, ground);
    const d = await startOn(dir, ground.settings);
    const { images, short, strays } = await settled(d, ground);
    t.ok(operation.outcomes.some((outcome) => JSON.stringify(outcome) === JSON.stringify(images)), `cut ${n}: ${JSON.stringify(images)}`);
    t.strictSame(strays, [], `cut ${n}: no stray volume`);
    if (name === 'shrink') await checkCutIsZero(t, d, ground);
    t.strictSame(short, [], `cut ${n}: each volume holds its layer`);
    await d.stop();
    await ground.close();
    rmSync(dir, { recursive: true, force: true });
    if (finished) break;
    cuts += 1;
  }
  t.ok(cuts >= 2 && cuts < maxPoints, `${cuts} cuts`);
}

for (const backend of backends) {
  for (const name of backend === 'local' ? Object.keys(operations) : onCurvebs) {
    t.test(`${name} on ${backend}, cut short at each of its steps, is done or not done`, (t) => cutEverywhere(t, name, backend));
  }
}
