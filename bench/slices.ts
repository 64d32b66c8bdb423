// Two fios that run by turns, in slices far shorter than this machine's moods: one is stopped (SIGSTOP) while the other runs, in the
// order ABBA BAAB. What each got done in a slice is asked of whom both work for. Knows neither Ceph nor what is compared.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import type { Workload } from './fio.js';
import { median } from './table.js';

const SLICE_MS = 60;
/** Requests under way when a fio is stopped are answered in this time, and counted for it. */
const DRAIN_MS = 8;
/** Opening an image and filling the queue. */
const WARM_MS = 2_000;

export interface Job {
  readonly options: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

export interface Comparison {
  /** Requests a second, in the middle slice; the first job's and the second's. */
  readonly rates: readonly [number, number];
  /** Processor time of the whole process, in microseconds a request. */
  readonly cpuUs: readonly [number, number];
  /** The second's requests in ratio to the first's, in each quartet of slices. */
  readonly ratios: readonly number[];
}

class Runner {
  readonly rates: number[] = [];
  requests = 0;

  constructor(private readonly child: ChildProcess) {}

  static start({ options, environment }: Job, workload: Workload, sizeBytes: number): Runner {
    return new Runner(spawn('fio', [
      '--name=bench', '--thread=1', '--direct=1', `--rw=${workload.rw}`, `--bs=${workload.blockSize}`, `--iodepth=${workload.depth}`,
      `--size=${sizeBytes}`, '--norandommap=1', '--time_based=1', '--runtime=3600', ...options,
    ], { env: environment, stdio: 'ignore' }));
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.child.exitCode !== null || !this.child.kill(name)) throw new Error('fio ended early');
  }

  /** User and system time so far, of all threads, in microseconds. */
  cpuUs(): number {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  }

  async slice(count: () => Promise<number>): Promise<number> {
    const before = await count();
    const began = process.hrtime.bigint();
    this.signal('SIGCONT');
    await pause(SLICE_MS);
    this.signal('SIGSTOP');
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    await pause(DRAIN_MS);
    const done = await count() - before;
    this.requests += done;
    this.rates.push(done / seconds);
    return done / seconds;
  }

  /** Lets fio close its image in order: a killed one's lock would stay for 30 seconds. */
  async end(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGINT');
    this.child.kill('SIGCONT');
    await exit;
  }
}

/**
 * Runs both jobs side by side for `seconds`.
 * @param count how many requests have been done so far for either
 * @throws Error where a fio does not run
 */
export async function alternate(jobs: readonly [Job, Job], workload: Workload, sizeBytes: number, seconds: number,
                                count: () => Promise<number>): Promise<Comparison> {
  const runners = jobs.map((job) => Runner.start(job, workload, sizeBytes)) as [Runner, Runner];
  try {
    await pause(WARM_MS);
    for (const runner of runners) runner.signal('SIGSTOP');
    await pause(DRAIN_MS * 10);
    const cpu = runners.map((runner) => runner.cpuUs());
    const ratios: number[] = [];
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      const rates: [number, number] = [0, 0];
      for (const which of ratios.length % 2 === 0 ? [0, 1, 1, 0] as const : [1, 0, 0, 1] as const) rates[which] += await runners[which].slice(count);
      ratios.push(rates[1] / Math.max(rates[0], Number.MIN_VALUE));
    }
    const used = runners.map((runner, index) => (runner.cpuUs() - (cpu[index] ?? 0)) / Math.max(runner.requests, 1)) as [number, number];
    return { rates: [median(runners[0].rates), median(runners[1].rates)], cpuUs: used, ratios };
  } finally {
    await Promise.all(runners.map((runner) => runner.end()));
  }
}

/**
 * The middle of ratios and an interval that holds the true one in 95 of 100 measurements: the median of the means of all pairs of their
 * logarithms (Hodges and Lehmann), and the bounds that Wilcoxon's signed ranks give it. It takes for granted that either side is
 * disturbed alike, which the order of the slices sees to, and needs two thirds of what a median needs for the same width.
 */
export function middleWithBounds(ratios: readonly number[]): { middle: number; low: number; high: number } {
  const logs = ratios.map((ratio) => Math.log(Math.max(ratio, Number.MIN_VALUE)));
  const n = logs.length;
  const means = new Float64Array(n * (n + 1) / 2);
  let filled = 0;
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) means[filled++] = ((logs[i] ?? NaN) + (logs[j] ?? NaN)) / 2;
  means.sort();
  const reach = 1.96 * Math.sqrt(n * (n + 1) * (2 * n + 1) / 24);
  const at = (index: number): number => Math.exp(means[Math.min(Math.max(index, 0), means.length - 1)] ?? NaN);
  const centre = (means.length - 1) / 2;
  return { middle: at(Math.floor(centre)), low: at(Math.floor(centre - reach)), high: at(Math.ceil(centre + reach)) };
}
