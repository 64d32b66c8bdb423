// Whole commands, ours beside the real ones of a real Ceph on this machine: from fork to exit. Small questions, and imports and exports
// of 1 GiB of random bytes and 10 GiB of holes, from files and pipes. BENCH_ROWS: a regular expression; only rows that match are measured.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startCeph, cephInstalled, type Ceph } from '../test/ceph/cluster.js';
import { BenchDaemon } from './daemon.js';
import { formatTable, median } from './table.js';

const HOOKS = resolve('build/bin/hooks');
const GIB = 1024 ** 3;
const TIMES = { question: 31, transfer: Number(process.env['BENCH_TIMES'] ?? 3) };

interface Side {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

/** A shell line where `rbd` and `ceph` are the side's; what undoes it is not measured. */
interface Row {
  readonly name: string;
  readonly line: string;
  readonly undo?: string;
  /** What ours must be: below so many milliseconds, or faster than the real one. */
  readonly wanted?: { readonly belowMs: number } | 'below the real one';
}

/** The last cell of a row. */
function verdict({ wanted }: Row, [ours, real]: readonly [number, number]): string {
  if (wanted === undefined) return '';
  const [text, holds] = wanted === 'below the real one' ? [wanted, ours < real] : [`below ${wanted.belowMs} ms`, ours < wanted.belowMs];
  return `${text}: ${holds ? 'yes' : 'NO'}`;
}

/** Milliseconds that a command line took. Throws where it fails. */
function timed(side: Side, line: string): number {
  const [program = '', ...args] = line.split(' ');
  const isPlain = !/[|<>$]/.test(line);
  const options = { env: { ...side.env, PATH: `${side.folder}:/usr/bin:/bin` }, encoding: 'utf8' } as const;
  const start = process.hrtime.bigint();
  const result = isPlain ? spawnSync(join(side.folder, program), args, options) : spawnSync('/bin/sh', ['-c', line], options);
  const took = Number(process.hrtime.bigint() - start) / 1e6;
  if (result.status !== 0) throw new Error(`${line}: ${result.stderr}`);
  return took;
}

/** Medians of both sides in milliseconds. They take turns, and turns at being the first, so that neither has the machine in a better hour. */
function compare(sides: readonly [Side, Side], row: Row, times: number): readonly [number, number] {
  const took: readonly [number[], number[]] = [[], []];
  for (let time = 0; time < times; time++) {
    for (const at of time % 2 === 0 ? [0, 1] as const : [1, 0] as const) {
      // What one left to be written would be counted for the next.
      if (row.undo !== undefined) spawnSync('sync');
      took[at].push(timed(sides[at], row.line));
      if (row.undo !== undefined) timed(sides[at], row.undo);
    }
  }
  return [median(took[0]), median(took[1])];
}

/** The rows as a table, each with what was wanted of it and whether that holds. */
function measure(sides: readonly [Side, Side], rows: readonly Row[], { unit, times, shown }: { unit: string; times: number; shown: (ms: number) => string }): string {
  const cells = rows.map((row) => {
    const took = compare(sides, row, times);
    return [row.name, ...took.map(shown), verdict(row, took)];
  });
  return formatTable([[unit, 'ours', 'real', 'wanted of ours'], ...cells]);
}

const QUESTIONS: readonly Row[] = [
  'ceph df', 'rbd info image-1', 'rbd ls', 'ceph df --format json', 'ceph mon dump --format json', 'ceph -s', 'rbd ls -l', 'rbd status image-1 --format json', 'rbd du image-1', 'rbd help',
].map((line, at) => ({ name: line, line, ...(at < 3 ? { wanted: { belowMs: 15 } } : {}) }));

function writeFiles(folder: string): { random: string; sparse: string } {
  const random = join(folder, 'random');
  const sparse = join(folder, 'sparse');
  const fd = openSync(random, 'w');
  const piece = randomBytes(16 << 20);
  for (let at = 0; at < GIB; at += piece.length) {
    // Other bytes in each piece, so that nothing below can take them for the same.
    piece.writeBigUInt64LE(BigInt(at), 0);
    writeSync(fd, piece, 0, piece.length, at);
  }
  closeSync(fd);
  const hole = openSync(sparse, 'w');
  ftruncateSync(hole, 10 * GIB);
  closeSync(hole);
  return { random, sparse };
}

function transfers(folder: string): readonly Row[] {
  const { random, sparse } = writeFiles(folder);
  const out = join(folder, 'out');
  const undo = 'rbd rm --no-progress big';
  const wanted = 'below the real one';
  return [
    { name: 'import 1 GiB of random bytes from a file', line: `rbd import --no-progress ${random} big`, undo, wanted },
    { name: 'import 1 GiB of random bytes from a pipe', line: `cat ${random} | rbd import --no-progress - big`, undo, wanted },
    { name: 'import 10 GiB of holes from a file', line: `rbd import --no-progress ${sparse} big`, undo, wanted },
    // Of a file with holes the first reader would pay for the pages of zeroes that the kernel keeps then.
    { name: 'import 10 GiB of zeroes from a pipe', line: 'dd if=/dev/zero bs=1M count=10240 status=none | rbd import --no-progress - big', undo, wanted },
    { name: 'export 1 GiB into a file', line: `rbd export --no-progress kept ${out}`, undo: `rm ${out} > /dev/null` },
    { name: 'export 1 GiB into a pipe', line: 'rbd export --no-progress kept - | cat > /dev/null' },
  ];
}

const TMPFS = 0x01021994;

/** A real Ceph whose data lie where ours do: in memory where `parent` is that, else by BlueStore on the same disk. */
async function startBeside(parent: string): Promise<Ceph> {
  const pools = ['rbd'];
  if (statfsSync(parent).type === TMPFS) return startCeph({ pools, store: 'memstore' });
  // Its sockets want a short path, which /tmp has.
  const dir = statSync('/tmp').dev === statSync(parent).dev ? {} : { dir: mkdtempSync(join(parent, 'ceph-')) };
  return startCeph({ pools, store: 'bluestore', ...dir });
}

/** Prints both tables. `parent` lies on what is to be measured, a disk or memory (BENCH_DIR=/dev/shm). */
export async function benchCommands(parent: string): Promise<void> {
  if (!cephInstalled()) throw new Error('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
  const wanted = new RegExp(process.env['BENCH_ROWS'] ?? '');
  const folder = mkdtempSync(join(parent, 'cbd2rbd-bench-'));
  const daemon = await BenchDaemon.start(parent);
  const ceph = await startBeside(parent);
  try {
    const sides: readonly [Side, Side] = [
      { folder: HOOKS, env: { CEPH_CONF: join(daemon.folder, 'ceph.conf') } },
      { folder: '/usr/bin', env: ceph.env },
    ];
    const questions = QUESTIONS.filter(({ name }) => wanted.test(name));
    if (questions.length > 0) {
      for (const side of sides) for (let at = 0; at < 20; at++) timed(side, `rbd create -s 1G image-${at}`);
      console.log(measure(sides, questions, { unit: 'ms, whole process', times: TIMES.question, shown: (ms) => ms.toFixed(1) }));
    }
    const moving = transfers(folder).filter(({ name }) => wanted.test(name));
    if (moving.length === 0) return;
    if (moving.some(({ line }) => line.includes('kept'))) for (const side of sides) timed(side, `rbd import --no-progress ${join(folder, 'random')} kept`);
    console.log(`\n${measure(sides, moving, { unit: 's', times: TIMES.transfer, shown: (ms) => (ms / 1000).toFixed(2) })}`);
  } finally {
    await Promise.all([daemon.stop(), ceph.destroy()]);
    rmSync(folder, { recursive: true, force: true });
  }
}
