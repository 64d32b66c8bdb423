// The NEBD driver against a server that answers at once from memory (build/bin/bench_nebd): what CurveBS's clients pay for us.

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** What issue 2 asks for, by the name of the figure: a bound, and whether it is an upper or a lower one. */
const WANTED: Readonly<Record<string, { bound: number; is: 'at most' | 'at least' }>> = {
  'resident memory added': { bound: 8, is: 'at most' },
  '4 KiB read, depth 1: added, blocking': { bound: 5, is: 'at most' },
  '4 KiB write, depth 1: added, blocking': { bound: 5, is: 'at most' },
  '4 KiB read, depth 32: by one core of client': { bound: 150_000, is: 'at least' },
  '4 KiB write, depth 32: by one core of client': { bound: 150_000, is: 'at least' },
};

export async function benchCurvebs(): Promise<void> {
  const { status, stdout, stderr } = spawnSync(resolve('build/bin/bench_nebd'), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench_nebd: ${stderr}`);
  for (const line of stdout.trim().split('\n')) {
    const [name = '', value = '', unit = ''] = line.split('\t');
    const wanted = WANTED[name];
    const holds = wanted && (wanted.is === 'at most' ? Number(value) <= wanted.bound : Number(value) >= wanted.bound);
    const verdict = wanted ? `  (${wanted.is} ${wanted.bound}: ${holds ? 'yes' : 'NO'})` : '';
    console.log(`  ${name.padEnd(52)} ${Number(value).toFixed(Number(value) < 1000 ? 1 : 0).padStart(10)} ${unit}${verdict}`);
  }
}
