// The NEBD driver against a server that answers at once from memory (build/bin/bench_nebd; what it adds to single requests and to 1 MiB writes
// on one core with it, so that no core has to wake another, all else on cores of their own), and a whole client with an image open on CurveBS beside one on local files:
// what CurveBS's clients pay for us.

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

import { backends, type TestBackend } from '../test/lib/backends.js';
import { serve } from '../test/lib/served.js';
import { python } from '../test/lib/stock-client.js';
import { formatTable } from './table.js';

/** What is asked of it, by the name of the figure: a bound, and whether it is an upper or a lower one. */
const WANTED: Readonly<Record<string, { bound: number; is: 'at most' | 'at least' }>> = {
  'resident memory added': { bound: 8, is: 'at most' },
  '4 KiB read, depth 1: added, blocking': { bound: 5, is: 'at most' },
  '4 KiB write, depth 1: added, blocking': { bound: 5, is: 'at most' },
  '4 KiB read, depth 32: by one core of client': { bound: 150_000, is: 'at least' },
  '4 KiB write, depth 32: by one core of client': { bound: 150_000, is: 'at least' },
};

/** What a python3-rbd process uses with one image open; most of the processor time is Python's own, on either backend. */
async function wholeClient(backend: TestBackend): Promise<{ writeCpuUs: number; readCpuUs: number; addedMiB: number }> {
  const served = await serve({}, backend);
  try {
    const [figures] = await python(served, `
import time
def resident():
    with open('/proc/self/statm') as f: return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
R.create(io, 'one', 64 << 20)
data = bytes(4096)
before = resident()
image = rbd.Image(io, 'one')
def cpu(call):
    for k in range(200): call(k)
    start = time.process_time()
    for k in range(2000): call(k)
    return (time.process_time() - start) / 2000 * 1e6
write = cpu(lambda k: image.write(data, k % 4096 * 4096))
read = cpu(lambda k: image.read(k % 4096 * 4096, 4096))
show({'writeCpuUs': write, 'readCpuUs': read, 'addedMiB': (resident() - before) / 2**20})
image.close()
`);
    return figures as { writeCpuUs: number; readCpuUs: number; addedMiB: number };
  } finally {
    await served.destroy();
  }
}

/**
 * Whether the data of a write is copied once, by the kernel, into the socket. What that copy costs depends on the machine and the moment, and is
 * no memcpy between warm pages; so the driver is held against a bare loop of sendmsg and read that does the same writes at the same server by
 * turns with it, and against that loop with one copy more: it must be nearer to the first than to the second.
 */
function copiedOnce(figures: ReadonlyMap<string, number>): string {
  const cpu = (name: string): number => figures.get(`${name}: processor time`) ?? NaN;
  const [ours, bare, twice] = [cpu('1 MiB writes'), cpu('1 MiB writes by a bare loop'), cpu('1 MiB writes by one that copies once more')];
  const copies = (ours - bare) / (twice - bare);
  const holds = twice > bare && copies < 0.5;
  return `a 1 MiB write costs ${ours.toFixed(0)} us of processor time, a bare loop ${bare.toFixed(0)}, one that copies once more ${twice.toFixed(0)}:`
    + ` ${copies.toFixed(2)} copies beside the kernel's  (below 0.5: ${holds ? 'yes' : 'NO'})`;
}

export async function benchCurvebs(): Promise<void> {
  const { status, stdout, stderr } = spawnSync(resolve('build/bin/bench_nebd'), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench_nebd: ${stderr}`);
  const figures = new Map<string, number>();
  for (const line of stdout.trim().split('\n')) {
    const [name = '', value = '', unit = ''] = line.split('\t');
    figures.set(name, Number(value));
    const wanted = WANTED[name];
    const holds = wanted && (wanted.is === 'at most' ? Number(value) <= wanted.bound : Number(value) >= wanted.bound);
    const verdict = wanted ? `  (${wanted.is} ${wanted.bound}: ${holds ? 'yes' : 'NO'})` : '';
    console.log(`  ${name.padEnd(60)} ${Number(value).toFixed(Number(value) < 1000 ? 1 : 0).padStart(10)} ${unit}${verdict}`);
  }
  console.log(`  ${copiedOnce(figures)}`);

  const rows = [['a client with one image open (python3-rbd)', ...backends]];
  const clients = [];
  for (const backend of backends) clients.push(await wholeClient(backend));
  rows.push(['4 KiB write: processor time, us a request', ...clients.map(({ writeCpuUs }) => writeCpuUs.toFixed(1))]);
  rows.push(['4 KiB read: processor time, us a request', ...clients.map(({ readCpuUs }) => readCpuUs.toFixed(1))]);
  rows.push(['resident memory added by opening and using it, MiB (at most 8)', ...clients.map(({ addedMiB }) => addedMiB.toFixed(1))]);
  console.log(`\n${formatTable(rows)}`);
}
