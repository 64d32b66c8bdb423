// Whole commands, ours beside the real ones of a real Ceph on this machine: from fork to exit. Small questions, and imports and exports
// of 1 GiB of random bytes and 10 GiB of holes, from files and pipes.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startCeph, cephInstalled } from '../test/ceph/cluster.js';
import { BenchDaemon } from './daemon.js';
import { formatTable, median } from './table.js';

const HOOKS = resolve('build/bin/hooks');
const GIB = 1024 ** 3;
const TIMES = 31;

interface Side {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Milliseconds that a command line took as a whole process. Throws where it fails. */
function timed(side: Side, line: readonly string[], shell: boolean): number {
  const [program = '', ...args] = line;
  const path = join(side.folder, program);
  const start = process.hrtime.bigint();
  const result = shell ? spawnSync('/bin/sh', ['-c', line.join(' ')], { env: side.env, encoding: 'utf8' }) : spawnSync(path, args, { env: side.env, encoding: 'utf8' });
  const took = Number(process.hrtime.bigint() - start) / 1e6;
  if (result.status !== 0) throw new Error(`${line.join(' ')}: ${result.stderr}`);
  return took;
}

function medianOf(side: Side, line: readonly string[], times = TIMES): string {
  return median(Array.from({ length: times }, () => timed(side, line, false))).toFixed(1);
}

const QUESTIONS: readonly (readonly string[])[] = [
  ['ceph', 'df'], ['ceph', 'df', '--format', 'json'], ['ceph', 'mon', 'dump', '--format', 'json'], ['ceph', '-s'], ['rbd', 'ls'], ['rbd', 'ls', '-l'],
  ['rbd', 'info', 'image-1'], ['rbd', 'status', 'image-1', '--format', 'json'], ['rbd', 'du', 'image-1'],
];

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

/** What moves data, in seconds. Each is run `times` times; the image is removed in between, outside the measurement. */
function transfers(side: Side, files: { random: string; sparse: string }, out: string, times: number): string[] {
  const run = (line: string): number => timed(side, [line], true);
  const best = (line: string, undo: string): string => {
    const took = Array.from({ length: times }, () => {
      const ms = run(line);
      run(undo);
      return ms;
    });
    return (median(took) / 1000).toFixed(2);
  };
  const rbd = join(side.folder, 'rbd');
  const remove = `${rbd} rm --no-progress big`;
  const numbers = [
    best(`${rbd} import --no-progress ${files.random} big`, remove), best(`cat ${files.random} | ${rbd} import --no-progress - big`, remove),
    best(`${rbd} import --no-progress ${files.sparse} big`, remove), best(`cat ${files.sparse} | ${rbd} import --no-progress - big`, remove),
  ];
  run(`${rbd} import --no-progress ${files.random} big`);
  numbers.push(best(`${rbd} export --no-progress big ${out}`, `rm ${out}`), best(`${rbd} export --no-progress big - | cat > /dev/null`, 'true'));
  run(remove);
  return numbers;
}

const TRANSFERS = [
  'import 1 GiB of random bytes from a file', '... from a pipe', 'import 10 GiB of holes from a file', '... from a pipe', 'export 1 GiB into a file', '... into a pipe',
];

/** Prints both tables. `parent` lies on the disk to measure; the real Ceph keeps its data in memory, which flatters it. */
export async function benchCommands(parent: string): Promise<void> {
  if (!cephInstalled()) throw new Error('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
  const folder = mkdtempSync(join(parent, 'cbd2rbd-bench-'));
  const daemon = await BenchDaemon.start(parent);
  const ceph = await startCeph({ pools: ['rbd'] });
  try {
    const ours: Side = { folder: HOOKS, env: { PATH: process.env['PATH'], CEPH_CONF: join(daemon.folder, 'ceph.conf') } };
    const real: Side = { folder: '/usr/bin', env: ceph.env };
    for (const side of [ours, real]) for (let at = 0; at < 20; at++) timed(side, ['rbd', 'create', '-s', '1G', `image-${at}`], false);
    const rows = QUESTIONS.map((line) => [line.join(' '), medianOf(ours, line), medianOf(real, line)]);
    console.log(formatTable([['ms, whole process', 'ours', 'real'], ...rows]));
    const files = writeFiles(folder);
    // What is still to be written would be counted for whoever comes first.
    spawnSync('sync');
    const times = Number(process.env['BENCH_TIMES'] ?? 3);
    const [mine, theirs] = [transfers(ours, files, join(folder, 'out'), times), transfers(real, files, join(folder, 'out'), times)];
    console.log(`\n${formatTable([['s', 'ours', 'real'], ...TRANSFERS.map((name, at) => [name, mine[at] ?? '', theirs[at] ?? ''])])}`);
  } finally {
    await Promise.all([daemon.stop(), ceph.destroy()]);
    rmSync(folder, { recursive: true, force: true });
  }
}
