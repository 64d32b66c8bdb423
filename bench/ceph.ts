// What our way to a real Ceph costs: fio on one image of a pool there, through us and through Ceph's own librbd, by turns.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { copyCephLibraries } from '../src/install/ceph-libraries.js';
import { cephInstalled, startCeph } from '../test/ceph/cluster.js';
import { BenchDaemon } from './daemon.js';
import { runFio, WORKLOADS, type Figures, type Workload } from './fio.js';
import { formatTable, median } from './table.js';

const SIZE = 1 << 30;
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '3');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
/** The share of the real library's speed that is promised. */
const PROMISED = 0.97;

interface Side {
  readonly options: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

function fioOn(pool: string, environment: NodeJS.ProcessEnv): Side {
  return { options: ['--ioengine=rbd', `--pool=${pool}`, '--rbdname=bench', '--clientname=admin'], environment };
}

/** One round after the other, who begins changing each time: whatever slows the machine meets both. */
function measure(workload: Workload, sides: readonly [Side, Side]): [Figures[], Figures[]] {
  const runs: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    for (const index of round % 2 === 0 ? [0, 1] as const : [1, 0] as const) {
      runs[index].push(runFio(sides[index].options, workload, SIZE, SECONDS, sides[index].environment));
    }
  }
  return runs;
}

function row(workload: Workload, [direct, through]: readonly [readonly Figures[], readonly Figures[]]): string[] {
  const middle = (runs: readonly Figures[], of: (run: Figures) => number): number => median(runs.map(of));
  const rounds = direct.map((run, index) => (through[index]?.iops ?? 0) / run.iops);
  const ratio = middle(through, (run) => run.iops) / middle(direct, (run) => run.iops);
  return [
    workload.name, ...[direct, through].map((runs) => `${Math.round(middle(runs, (run) => run.iops))} (cpu ${middle(runs, (run) => run.cpuUs).toFixed(1)} us)`),
    ratio.toFixed(3), rounds.map((one) => one.toFixed(2)).join(' '), ratio >= PROMISED ? '' : `below ${PROMISED}`,
  ];
}

/** Prints IOPS and processor time of both and their ratio. `parent` is where the daemon's folder is made; Ceph keeps its data in memory. */
export async function benchCeph(parent: string): Promise<void> {
  if (!cephInstalled()) throw new Error('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
  const libraries = mkdtempSync(join(parent, 'cbd2rbd-bench-libraries-'));
  copyCephLibraries({ from: '/usr/lib/x86_64-linux-gnu', to: libraries });
  const [ceph, daemon] = await Promise.all([startCeph(), BenchDaemon.start(parent)]);
  try {
    ceph.run('rbd', 'create', 'bench', '--size', `${SIZE}B`);
    const mapped = spawnSync(process.execPath, [resolve('dist/src/cli/cbd2rbd.js'), '--dir', daemon.folder, 'pool', 'map', 'far', 'ceph:rbd', '--conf', ceph.conf], { encoding: 'utf8' });
    if (mapped.status !== 0) throw new Error(mapped.stderr);
    const direct = fioOn('rbd', ceph.env);
    const through = fioOn('far', { ...daemon.environment, CBD2RBD_CEPH_LIBS: libraries });
    runFio(direct.options, { name: 'fill', rw: 'write', blockSize: '1M', depth: 8 }, SIZE, 0, direct.environment);
    const rows = [['', 'Ceph\'s librbd', 'through cbd2rbd', 'ratio', 'round by round', '']];
    for (const workload of WORKLOADS) rows.push(row(workload, measure(workload, [direct, through])));
    console.log(formatTable(rows));
  } finally {
    await Promise.all([ceph.destroy(), daemon.stop()]);
    rmSync(libraries, { recursive: true, force: true });
  }
}
