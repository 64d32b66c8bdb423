// Random sequences of calls: the real library and ours are led through the same steps and asked the same, and every answer is
// compared at once. `npm run conformance:random` is the long form (random-main.ts).
import { startCeph } from '../ceph/cluster.js';
import type { TestBackend } from '../lib/backends.js';
import { libraryDir, serve, type Served } from '../lib/served.js';
import { MiB, OTHER_POOL, POOL } from './context.js';
import { Lead, type Answer } from './lead.js';
import { BROKEN, type Step } from './world.js';

/** A small generator with a seed (mulberry32), so that a sequence can be had again. */
export class Random {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

const NAMES = ['a', 'b', 'c', 'd/e'];
const SNAPS = ['s1', 's2', 's3'];
const SIZES = [0, 1, 5000, MiB, 4 * MiB, 4 * MiB + 513, 9 * MiB];
const LENGTHS = [0, 1, 100, 512, 4096, 5000, 65536, 70000, MiB];
const WEIGHTS: [string, number][] = [
  ['create', 8], ['open', 14], ['look', 5], ['close', 7], ['remove', 4], ['rename', 2], ['list', 1], ['write', 22], ['read', 16], ['discard', 4], ['zeroes', 4],
  ['writesame', 3], ['compare', 4], ['flush', 1], ['resize', 5], ['ask', 3], ['features', 2], ['setKey', 3], ['removeKey', 2], ['keys', 2],
  ['lock', 2], ['lockShared', 1], ['unlock', 3], ['lockers', 1], ['toTrash', 1], ['fromTrash', 1], ['trashList', 1], ['removeTrash', 1], ['key', 2], ['copy', 1],
  ['laterWrite', 3], ['laterRead', 3], ['laterDiscard', 1], ['laterZeroes', 1], ['laterFlush', 1], ['laterCompare', 1], ['several', 2], ['openLater', 2], ['closeLater', 1],
];
const SNAPSHOT_WEIGHTS: [string, number][] = [
  ['snapCreate', 4], ['snapRemove', 3], ['snapProtect', 2], ['snapUnprotect', 2], ['snapRollback', 2], ['snapRename', 1], ['snaps', 2], ['clone', 3], ['flatten', 1], ['snapLimit', 1], ['snapExists', 1], ['children', 1], ['parent', 2],
  ['cloneAsTold', 2], ['snapRemoveAsTold', 1], ['snapSet', 2], ['snapNames', 1], ['changed', 3], ['deepCopy', 1], ['allChildren', 1],
];
const SPACE_WEIGHTS: [string, number][] = [
  ['spaceCreate', 2], ['spaceRemove', 1], ['spaceExists', 1], ['spaces', 1], ['spaceUse', 3], ['poolSetKey', 2], ['poolRemoveKey', 1], ['poolKey', 1], ['poolKeys', 1],
  ['trashPurge', 1], ['trashGet', 1], ['acquire', 2], ['release', 2], ['isOwner', 1], ['watchers', 1],
];
const OBJECT_WEIGHTS: [string, number][] = [
  ['objectWriteFull', 2], ['objectWrite', 3], ['objectAppend', 2], ['objectTruncate', 1], ['objectRemove', 2], ['objectRead', 3], ['objectStat', 2], ['objectCompare', 1],
  ['objectSetAttribute', 2], ['objectAttribute', 2], ['objectRemoveAttribute', 1], ['objectSetKeys', 2], ['objectRemoveKeys', 1], ['objectCompound', 2], ['objectKeys', 2],
  ['objects', 1], ['objectLock', 1], ['objectUnlock', 1],
];

function pick(random: Random, weights: [string, number][]): string {
  let at = random.below(weights.reduce((sum, [, w]) => sum + w, 0));
  for (const [op, weight] of weights) {
    at -= weight;
    if (at < 0) return op;
  }
  throw new Error('weights do not add up');
}

/** The next step. It may well make no sense: refusals are compared too. */
export function step(random: Random, options: Pick<RandomOptions, 'snapshots' | 'backends'>): Step {
  const op = pick(random, [...WEIGHTS, ...SPACE_WEIGHTS, ...OBJECT_WEIGHTS, ...(options.snapshots ? SNAPSHOT_WEIGHTS : [])]);
  const offset = random.of([0, 1, 511, 512, 4000, 4096, 65536, MiB - 100, 4 * MiB - 300, 4 * MiB, 8 * MiB]);
  const length = random.of(LENGTHS);
  const value = 1 + random.below(250);
  // Compare-and-write stays inside one sector, beyond which the real 16.2 refuses it.
  const sector = 512 * random.below(20);
  const inSector = random.below(512);
  const unit = random.of([1, 100, 512]);
  return {
    op, slot: random.below(4), name: random.of(NAMES), to: op === 'snapRename' ? random.of(SNAPS) : random.of(NAMES),
    snap: op === 'look' && random.below(2) > 0 ? '' : options.snapshots || op !== 'look' ? random.of(SNAPS) : 'nosnap',
    readOnly: random.below(5) === 0, size: random.of(SIZES), order: random.of([0, 0, 0, 12, 16, 22, 25, 11]), features: featuresFor(op, random), on: random.below(2) === 0,
    offset: op === 'compare' ? sector + inSector : offset,
    length: op === 'compare' ? 1 + random.below(512 - inSector) : op === 'writesame' ? unit * random.below(200) : length,
    unit, value, was: random.of([0, value]), thick: random.below(4) === 0, key: random.of(['k', 'kk', 'x/y']), cookie: random.of(['c1', 'c2']),
    // There a discard on a plain image gives space back and promises no zeroes, and nobody knows what was written (docs/curvebs.md).
    onCurvebs: options.backends.includes('curvebs'),
  };
}

function featuresFor(op: string, random: Random): number {
  if (op === 'features') return random.of([4, 8, 16, 24, 28, 32, 0, 2]);
  return random.of([61, 61, 1, 5, 13, 0]);
}

export interface Outcome {
  steps: number;
  /** Calls that were answered by all, alike; up to the first difference. */
  calls: number;
  /** What differed, with the steps before it; empty where nothing did. That ours ends or hangs is a difference whatever the real one does. */
  difference: string;
  /** Where and how the real library alone came to its end, with which there is nothing more to compare with; empty where it did not. */
  ended: string;
}

/** One that takes steps. */
export interface Taker {
  name: string;
  take(step: Step): Promise<Answer>;
}

export interface RandomOptions {
  /** How many calls to compare; a step makes none, one or a few. */
  calls: number;
  seed: number;
  snapshots: boolean;
  /** What our library stands on, each led through the same steps. */
  backends: readonly TestBackend[];
}

const TRAIL = 60;

// Where ours answered otherwise, and how.
function differenceBetween(expected: string[], got: string[]): string[] {
  const at = expected.findIndex((line, i) => line !== got[i]);
  if (at < 0 && expected.length === got.length) return [];
  const first = at < 0 ? expected.length : at;
  return [`  - ${expected[first] ?? '(nothing more)'}`, `  + ${got[first] ?? '(nothing more)'}`];
}

// How a library came to an end, or what it did otherwise than it said itself.
function brokenIn(answer: Answer): string | undefined {
  return 'ended' in answer ? answer.ended : answer.lines.find((line) => line.startsWith(BROKEN));
}

// What of our answer is not the real one's.
function differing(expected: Answer, got: Answer): string[] {
  const ours = brokenIn(got);
  if (ours !== undefined) return [`  - ${brokenIn(expected) ?? ('lines' in expected ? expected.lines.join('; ') : '')}`, `  + ${ours}`];
  return brokenIn(expected) !== undefined || 'ended' in expected || 'ended' in got ? [] : differenceBetween(expected.lines, got.lines);
}

/** Leads all of them through steps from `seed`. */
export async function compareRandomly(real: Taker, ours: readonly Taker[], options: RandomOptions): Promise<Outcome> {
  const random = new Random(options.seed);
  const trail: string[] = [];
  let [calls, n] = [0, 0];
  for (; calls < options.calls; n++) {
    const next = step(random, options);
    const [expected, ...got] = await Promise.all([real.take(next), ...ours.map((each) => each.take(next))]);
    if ('lines' in expected) trail.push(...expected.lines.map((line) => `    ${line}`));
    if (trail.length > TRAIL) trail.splice(0, trail.length - TRAIL);
    for (const [i, answer] of got.entries()) {
      const difference = differing(expected, answer);
      if (difference.length === 0) continue;
      const where = `seed ${options.seed}, step ${n}: ${next.op} on ${ours[i]!.name}`;
      return { steps: n + 1, calls, difference: [...trail, where, ...difference].join('\n'), ended: '' };
    }
    const broken = brokenIn(expected);
    if (broken !== undefined || 'ended' in expected) return { steps: n + 1, calls, difference: '', ended: `step ${n}, ${next.op}: ${broken}` };
    calls += expected.lines.filter((line) => !line.startsWith('  ')).length;
  }
  return { steps: n, calls, difference: '', ended: '' };
}

// Our libraries over a backend, with the two pools on it.
async function served(backend: TestBackend): Promise<Served> {
  const made = await serve({}, backend);
  if (backend === 'curvebs') for (const pool of [POOL, OTHER_POOL]) await made.command('pool', 'map', pool, `curvebs:/${pool}`, '--owner', 'cinder');
  return made;
}

/** Starts the real one and ours and compares; for the command and for the test. */
export async function compareFresh(options: RandomOptions): Promise<Outcome> {
  const [ceph, daemons] = await Promise.all([startCeph({ pools: [POOL, OTHER_POOL] }), Promise.all(options.backends.map(served))]);
  const real = new Lead({ name: 'real', conf: ceph.conf });
  const ours = daemons.map((daemon, i) => new Lead({ name: options.backends[i]!, conf: daemon.conf, libraryDir }));
  try {
    const outcome = await compareRandomly(real, ours, options);
    const [, ...ends] = await Promise.all([real.end(), ...ours.map((lead) => lead.end())]);
    const broken = [...ends, ...daemons.map((daemon) => (daemon.hasEnded ? `the daemon ended: ${daemon.lastLog}` : ''))].filter(Boolean);
    if (outcome.difference !== '' || broken.length === 0) return outcome;
    return { ...outcome, difference: `seed ${options.seed}, after ${outcome.steps} steps: ${broken.join('; ')}` };
  } finally {
    await Promise.all([ceph, ...daemons].map((each) => each.destroy()));
  }
}
