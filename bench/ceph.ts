// What our way to a real Ceph costs: fio on a pool there, through us and through Ceph's own librbd, by turns. Ceph keeps its data in
// memory, so that no disk is measured.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';

import { copyCephLibraries } from '../src/install/ceph-libraries.js';
import { cephInstalled, startCeph, type Ceph } from '../test/ceph/cluster.js';
import { BenchDaemon } from './daemon.js';
import { runFio, WORKLOADS, type Workload } from './fio.js';
import { alternate, middleWithBounds, type Comparison, type Job } from './slices.js';
import { formatTable, median } from './table.js';

const SIZE = 256 << 20;
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '60');
/** Which of the workloads, by a part of their names; all by default. */
const ONLY = process.env['BENCH_ONLY'] ?? '';
/**
 * New processes on each other's images: how a process or an image happens to lie in memory is worth some percent by itself for as long as it
 * runs. So a pass is one figure, and the bounds are those of the passes.
 */
const PASSES = 12;
/** The share of the real library's speed that is promised. */
const PROMISED = 0.97;

function fioOn(pool: string, image: string, environment: NodeJS.ProcessEnv): Job {
  return { options: ['--ioengine=rbd', `--pool=${pool}`, `--rbdname=${image}`, '--clientname=admin'], environment };
}

/** Asks the osd itself how many requests it has carried out. */
function counter(ceph: Ceph): () => Promise<number> {
  const folder = join(ceph.dir, 'run');
  const socket = join(folder, readdirSync(folder).find((name) => /^osd\.0\..*asok$/.test(name)) ?? '');
  return () => new Promise((done, fail) => {
    const answer: Buffer[] = [];
    const connection = connect(socket, () => connection.write('{"prefix": "perf dump", "logger": "osd", "counter": "op", "format": "json"}\0'));
    connection.on('data', (data) => answer.push(data));
    connection.on('error', fail);
    // Four bytes of length come first.
    connection.on('end', () => done((JSON.parse(Buffer.concat(answer).subarray(4).toString()) as { osd: { op: number } }).osd.op));
  });
}

/** Nanoseconds that our layer adds to a request, measured on a stand-in for Ceph's librbd that ends requests at once. */
function addedNs(): number {
  const { status, stdout } = spawnSync(resolve('build/bin/bench_ceph_carry'), { encoding: 'utf8' });
  const [, direct, through] = /^direct (\d+)\nthrough (\d+)\n$/.exec(stdout) ?? [];
  if (status !== 0 || direct === undefined || through === undefined) throw new Error(`bench_ceph_carry ended in ${status}: ${stdout}`);
  return Number(through) - Number(direct);
}

/** All passes of a workload, a ratio each, on the images of the one before, exchanged. `jobs` are Ceph's librbd and ours, on an image. */
async function compare(jobs: readonly [(image: string) => Job, (image: string) => Job], workload: Workload, count: () => Promise<number>): Promise<Comparison> {
  const passes: Comparison[] = [];
  for (let pass = 0; pass < PASSES; pass++) {
    const [first, second] = pass % 2 === 0 ? ['a', 'b'] as const : ['b', 'a'] as const;
    passes.push(await alternate([jobs[0](first), jobs[1](second)], workload, SIZE, SECONDS / PASSES, count));
  }
  const middle = (of: (pass: Comparison) => number): number => median(passes.map(of));
  return {
    rates: [middle(({ rates }) => rates[0]), middle(({ rates }) => rates[1])], cpuUs: [middle(({ cpuUs }) => cpuUs[0]), middle(({ cpuUs }) => cpuUs[1])],
    ratios: passes.map(({ ratios }) => middleWithBounds(ratios).middle),
  };
}

const percent = (value: number): string => value.toFixed(3);

function verdict({ low, high }: { low: number; high: number }): string {
  if (low >= PROMISED) return 'within 3%';
  return high < PROMISED ? `below ${PROMISED}` : 'not decided';
}

/** Prints requests a second and processor time of both, and their ratio with its bounds. `parent` is where the daemon's folder is made. */
export async function benchCeph(parent: string): Promise<void> {
  if (!cephInstalled()) throw new Error('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
  const libraries = mkdtempSync(join(parent, 'cbd2rbd-bench-libraries-'));
  copyCephLibraries({ from: '/usr/lib/x86_64-linux-gnu', to: libraries });
  const [ceph, daemon] = await Promise.all([startCeph(), BenchDaemon.start(parent)]);
  try {
    const mapped = spawnSync(process.execPath, [resolve('dist/src/cli/cbd2rbd.js'), '--dir', daemon.folder, 'pool', 'map', 'far', 'ceph:rbd', '--conf', ceph.conf], { encoding: 'utf8' });
    if (mapped.status !== 0) throw new Error(mapped.stderr);
    for (const image of ['a', 'b']) {
      ceph.run('rbd', 'create', image, '--size', `${SIZE}B`);
      runFio(fioOn('rbd', image, ceph.env).options, { name: 'fill', rw: 'write', blockSize: '1M', depth: 8 }, SIZE, 0, ceph.env);
    }
    const jobs = [
      (image: string) => fioOn('rbd', image, ceph.env), (image: string) => fioOn('far', image, { ...daemon.environment, CBD2RBD_CEPH_LIBS: libraries }),
    ] as const;
    const rows = [['', 'Ceph\'s librbd', 'through cbd2rbd', 'ratio', '95% bounds', 'passes', '']];
    const all: number[] = [];
    const directCpuUs: number[] = [];
    for (const workload of WORKLOADS.filter(({ name }) => name.includes(ONLY))) {
      const { rates, cpuUs, ratios } = await compare(jobs, workload, counter(ceph));
      const bounds = middleWithBounds(ratios);
      all.push(...ratios);
      directCpuUs.push(cpuUs[0]);
      rows.push([workload.name, ...rates.map((rate, index) => `${Math.round(rate)}/s (cpu ${cpuUs[index]?.toFixed(1)} us)`),
                 percent(bounds.middle), `${percent(bounds.low)} to ${percent(bounds.high)}`, String(ratios.length), verdict(bounds)]);
    }
    const bounds = middleWithBounds(all);
    rows.push(['all of them', '', '', percent(bounds.middle), `${percent(bounds.low)} to ${percent(bounds.high)}`, String(all.length), verdict(bounds)]);
    console.log(formatTable(rows));
    const added = addedNs();
    const share = added / 10 / Math.min(...directCpuUs);
    console.log(`Our layer alone adds ${added} ns of processor time to a request: ${share.toFixed(2)}% of the least that a request takes directly.`);
  } finally {
    await Promise.all([ceph.destroy(), daemon.stop()]);
    rmSync(libraries, { recursive: true, force: true });
  }
}
