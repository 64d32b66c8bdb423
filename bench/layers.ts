// Snapshots and clones: how long they take, and what layers cost the data path beside a plain image. Knows no file format.

import { backends, type TestBackend } from '../test/lib/backends.js';
import { BenchDaemon } from './daemon.js';
import { runFio, type Figures, type Workload } from './fio.js';
import { formatTable, median } from './table.js';

const GiB = 1 << 30;
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? '3');
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '5');
const TIMES = 31;

const WRITE: Workload = { name: 'random 4k write, depth 32', rw: 'randwrite', blockSize: '4k', depth: 32 };
const READ: Workload = { name: 'sequential 1M read, depth 8', rw: 'read', blockSize: '1M', depth: 8 };

/** Each step is timed by itself; between two snapshots something is written, so that each freezes a head with a map. */
const TIMED = `
def timed(call, times=${TIMES}):
    took = []
    for i in range(times):
        start = time.perf_counter()
        call(i)
        took.append((time.perf_counter() - start) * 1000)
    return '%.2f %.2f' % (sorted(took)[times // 2], max(took))
`;

/** The medians and the longest, in milliseconds, of an image of `size` bytes that holds 1 GiB. */
function timeSnapshots(daemon: BenchDaemon, size: number): string[][] {
  const name = `image${size / GiB}`;
  const output = daemon.python(`${TIMED}
r = rbd.RBD()
r.create(pool, '${name}', ${size})
image = rbd.Image(pool, '${name}')
data = bytes(range(256)) * (1 << 14)
for i in range(256): image.write(data, i * (${size} // 256))
image.flush()
print('idle', timed(lambda i: image.create_snap('idle%d' % i)))
took = []
for i in range(${TIMES}):
    image.write(data[:65536], (i * 977 % 256) * (${size} // 256))
    start = time.perf_counter()
    image.create_snap('busy%d' % i)
    took.append((time.perf_counter() - start) * 1000)
print('busy', '%.2f %.2f' % (sorted(took)[len(took) // 2], max(took)))
image.protect_snap('busy0')
print('clone', timed(lambda i: r.clone(pool, '${name}', 'busy0', pool, '${name}-%d' % i)))
print('rollback', timed(lambda i: image.rollback_to_snap('busy1'), 5))
image.close()
`);
  const labels: Record<string, string> = { idle: 'snapshot', busy: 'snapshot after a write', clone: 'clone', rollback: 'rollback' };
  const title = size >= 1024 * GiB ? '1 TiB' : `${size / GiB} GiB`;
  return output.trim().split('\n').map((line) => {
    const [kind = '', middle = '', longest = ''] = line.split(' ');
    return [`${labels[kind] ?? kind} of ${title} that holds 1 GiB`, middle, longest];
  });
}

class Bench {
  private clones = 0;
  private images = 0;

  constructor(private readonly daemon: BenchDaemon) {}

  /** An image of 1 GiB, all of it written. */
  fill(name: string): void {
    this.daemon.python(`rbd.RBD().create(pool, '${name}', ${GiB})`);
    this.overwrite(name);
  }

  /** One to which nothing was written: like a fresh clone's, its first writes wait for the file system to find them room. */
  empty(): string {
    const name = `empty${this.images++}`;
    this.daemon.python(`rbd.RBD().create(pool, '${name}', ${GiB})`);
    return name;
  }

  overwrite(name: string): void {
    this.daemon.python(`
with rbd.Image(pool, '${name}') as image:
    data = bytes(range(256)) * (1 << 14)
    for i in range(256): image.write(data, i << 22)
`);
  }

  snapshot(name: string): void {
    this.daemon.python(`with rbd.Image(pool, '${name}') as image:\n    image.create_snap('s'); image.protect_snap('s')\n`);
  }

  clone(of: string): string {
    const name = `clone${this.clones++}`;
    this.daemon.python(`rbd.RBD().clone(pool, '${of}', 's', pool, '${name}')`);
    return name;
  }

  /** A chain of eight layers, each of which owns the eighth part of the image, in pieces of `piece` bytes. */
  chain(name: string, piece: number): void {
    this.fill(name);
    this.daemon.python(`
import random
with rbd.Image(pool, '${name}') as image:
    pieces = list(range(${GiB / piece}))
    random.Random(1).shuffle(pieces)
    data = bytes(range(256)) * ${piece / 256}
    part = len(pieces) // 8
    for layer in range(1, 8):
        image.create_snap('s%d' % layer)
        for p in pieces[layer * part:(layer + 1) * part]: image.write(data, p * ${piece})
        image.flush()
`);
  }

  run(name: string, workload: Workload): Figures {
    const options = ['--ioengine=rbd', '--pool=rbd', `--rbdname=${name}`, '--clientname=admin'];
    return runFio(options, workload, GiB, SECONDS, this.daemon.environment);
  }
}

interface Row {
  readonly label: string;
  readonly target: number;
  readonly workload: Workload;
  /** The image to measure in a round, and the one to compare it with. */
  image(): string;
  plain(): string;
}

/** Prints, for each backend, the times of snapshots and clones, and the ratios to a plain image. `parent` lies on the disk to measure. */
export async function benchLayers(parent: string): Promise<void> {
  for (const backend of backends) await benchOn(backend, parent);
}

async function benchOn(backend: TestBackend, parent: string): Promise<void> {
  console.log(`\n${backend === 'local' ? 'on local files' : 'on a CurveBS stand-in, which answers all from one process'}`);
  const daemon = await BenchDaemon.start(parent, backend);
  try {
    const times = [100 * GiB, 1024 * GiB].flatMap((size) => timeSnapshots(daemon, size));
    console.log(formatTable([['', 'ms', 'longest'], ...times]));
    const bench = new Bench(daemon);
    bench.fill('plain');
    bench.fill('base');
    bench.snapshot('base');
    const owned = bench.clone('base');
    bench.overwrite(owned);
    bench.chain('chain1m', 1 << 20);
    bench.chain('chain64k', 1 << 16);
    const plain = (): string => 'plain';
    const rows: Row[] = [
      { label: 'a fresh clone, beside a full image', target: 0.7, workload: WRITE, image: () => bench.clone('base'), plain },
      { label: 'a fresh clone, beside a fresh image', target: 0.7, workload: WRITE, image: () => bench.clone('base'), plain: () => bench.empty() },
      { label: 'a clone that owns its blocks', target: 0.95, workload: WRITE, image: () => owned, plain },
      { label: 'eight layers, pieces of 1 MiB', target: 0.8, workload: READ, image: () => 'chain1m', plain },
      { label: 'eight layers, pieces of 64 KiB', target: 0.8, workload: READ, image: () => 'chain64k', plain },
    ];
    console.log(`\n${formatTable([['', 'plain image', 'layers', 'ratio', 'target'], ...rows.map((row) => measure(bench, row))])}`);
  } finally {
    await daemon.stop();
  }
}

/** The two by turns, so that a slow moment of the disk hits both. */
function measure(bench: Bench, row: Row): string[] {
  const plain: Figures[] = [];
  const layered: Figures[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    plain.push(bench.run(row.plain(), row.workload));
    layered.push(bench.run(row.image(), row.workload));
  }
  const ratio = median(layered.map((f, i) => f.iops / (plain[i]?.iops ?? 1)));
  const cell = (runs: readonly Figures[]): string => `${Math.round(median(runs.map((f) => f.iops)))} (cpu ${median(runs.map((f) => f.cpuUs)).toFixed(1)} us)`;
  return [`${row.workload.name}, ${row.label}`, cell(plain), cell(layered), ratio.toFixed(2), row.target.toString()];
}
