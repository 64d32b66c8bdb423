// The data path over local files: fio through our librbd beside fio's io_uring on a plain file, nbdkit, and a real Ceph.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { BenchDaemon } from './daemon.js';
import { runFio, WORKLOADS, type Figures } from './fio.js';
import { formatTable, median } from './table.js';

const SIZE = 1 << 30;
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '3');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '3');

interface Engine {
  name: string;
  options: string[];
  environment: NodeJS.ProcessEnv;
}

/** nbdkit's file plugin on a unix socket, over a file of the same size; undefined where nbdkit is not installed. */
function startNbdkit(folder: string): { child: ChildProcess; engine: Engine } | undefined {
  if (spawnSync('nbdkit', ['--version']).error) return undefined;
  const file = join(folder, 'nbd.img');
  writeFileSync(file, '');
  truncateSync(file, SIZE);
  const socket = join(folder, 'nbd.sock');
  const child = spawn('nbdkit', ['-f', '-U', socket, 'file', `file=${file}`], { stdio: 'inherit' });
  return { child, engine: { name: 'nbdkit file', options: ['--ioengine=nbd', `--uri=nbd+unix:///?socket=${socket}`], environment: process.env } };
}

/** A real Ceph with one osd on the same disk; undefined where its programs are not installed. */
function startCeph(folder: string): Engine | undefined {
  const script = resolve('dist/test/ceph/cluster.js');
  if (!existsSync('/usr/bin/ceph-osd') || !existsSync(script)) return undefined;
  const cluster = join(folder, 'ceph');
  const up = spawnSync(process.execPath, [script, cluster, 'up'], { encoding: 'utf8', env: { ...process.env, STORE: 'bluestore' } });
  if (up.status !== 0) throw new Error(`the real Ceph did not start: ${up.stderr}`);
  const environment = { ...process.env, CEPH_CONF: join(cluster, 'ceph.conf') };
  spawnSync('rbd', ['create', 'bench', '--size', '1G'], { env: environment });
  return { name: 'Ceph, bluestore', options: ['--ioengine=rbd', '--pool=rbd', '--rbdname=bench', '--clientname=admin'], environment };
}

function cell(figures: Figures | undefined): string {
  if (!figures) return '-';
  return `${Math.round(figures.iops)} (${figures.latencyUs.toFixed(1)} us, cpu ${figures.cpuUs.toFixed(1)} us)`;
}

/** Prints the table of IOPS, latency and processor time, and the ratios to the plain file. `parent` lies on the disk to measure. */
export async function benchLocal(parent: string): Promise<void> {
  const daemon = await BenchDaemon.start(parent);
  const folder = mkdtempSync(join(parent, 'cbd2rbd-bench-peers-'));
  const nbdkit = startNbdkit(folder);
  try {
    daemon.python(`rbd.RBD().create(pool, 'bench', ${SIZE})`);
    const plain: Engine = { name: 'plain file', options: ['--ioengine=io_uring', `--filename=${join(folder, 'plain.img')}`], environment: process.env };
    const ours: Engine = { name: 'cbd2rbd', options: ['--ioengine=rbd', '--pool=rbd', '--rbdname=bench', '--clientname=admin'], environment: daemon.environment };
    const ceph = startCeph(folder);
    const engines = [plain, ours, ...(nbdkit ? [nbdkit.engine] : []), ...(ceph ? [ceph] : [])];

    const fill = { name: 'fill', rw: 'write', blockSize: '1M', depth: 8 } as const;
    for (const engine of engines) runFio(engine.options, fill, SIZE, 0, engine.environment);

    const rows = [['', ...engines.map((engine) => engine.name), 'ours / plain', 'ours - plain']];
    for (const workload of WORKLOADS) {
      const measured = engines.map((): Figures[] => []);
      for (let round = 0; round < ROUNDS; round++) {
        engines.forEach((engine, index) => measured[index]?.push(runFio(engine.options, workload, SIZE, SECONDS, engine.environment)));
      }
      const middle = measured.map((runs): Figures => ({
        iops: median(runs.map((run) => run.iops)),
        bandwidth: median(runs.map((run) => run.bandwidth)),
        latencyUs: median(runs.map((run) => run.latencyUs)),
        cpuUs: median(runs.map((run) => run.cpuUs)),
      }));
      const [file, us] = middle;
      const ratio = file && us ? (us.iops / file.iops).toFixed(2) : '-';
      const added = file && us ? `${(us.latencyUs - file.latencyUs).toFixed(1)} us` : '-';
      rows.push([workload.name, ...middle.map(cell), ratio, workload.depth === 1 ? added : '']);
    }
    console.log(formatTable(rows));
  } finally {
    nbdkit?.child.kill();
    const script = resolve('dist/test/ceph/cluster.js');
    if (existsSync(join(folder, 'ceph'))) spawnSync(process.execPath, [script, join(folder, 'ceph'), 'destroy']);
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
