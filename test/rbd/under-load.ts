// One process writes and verifies without a pause while another changes what stands below its image: snapshots come and go, the clone is
// flattened, resized and rolled onto new layers. Used by the short test and by the soak.
import type { Served } from '../lib/served.js';
import { mustRun, python } from '../lib/stock-client.js';

const MiB = 1024 * 1024;

export interface UnderLoad {
  /** How many fio runs there were, and how many requests they made. */
  readonly runs: number;
  readonly requests: number;
  /** The longest that one request took, in milliseconds. */
  readonly longestStallMs: number;
  /** What the other process did, and what each took, in milliseconds. */
  readonly changes: readonly { readonly what: string; readonly ms: number }[];
  /** Snapshots that were whole at the end, and those that were not. */
  readonly same: number;
  readonly differing: readonly string[];
}

interface FioSide { total_ios: number; clat_ns: { max: number } }
interface FioReport { jobs: [{ error: number; read: FioSide; write: FioSide }] }

/** `bytes` of the clone are written; `snapshots` are taken, of which every second goes again. Throws where fio finds an error or a mismatch. */
export async function runUnderLoad(served: Served, options: { snapshots: number; bytes: number }): Promise<UnderLoad> {
  const { snapshots, bytes } = options;
  await python(served, `
R.create(io, 'base', ${2 * bytes})
with rbd.Image(io, 'base') as i:
    for at in range(0, ${bytes}, 1 << 20): i.write(bytes([at >> 20 & 255]) * (1 << 20), at)
    i.create_snap('s'); i.protect_snap('s')
R.clone(io, 'base', 's', io, 'busy')
`);
  let isOver = false;
  const work = changeMeanwhile(served, snapshots).finally(() => { isOver = true; });
  const loads: FioReport['jobs'][0][] = [];
  while (!isOver) loads.push(await load(served, bytes, loads.length));
  const { changes, same, differing } = await work;
  const sides = loads.flatMap(({ read, write }) => [read, write]);
  return {
    runs: loads.length, requests: sides.reduce((sum, side) => sum + side.total_ios, 0), changes, same, differing,
    longestStallMs: Math.max(...sides.map((side) => side.clat_ns.max)) / 1e6,
  };
}

/** fio writes all of the range in random order, checking what it wrote behind itself, and all of it at the end. */
async function load(served: Served, bytes: number, run: number): Promise<FioReport['jobs'][0]> {
  const output = await mustRun(served, 'fio', ['--name=busy', '--ioengine=rbd', '--clientname=admin', '--pool=rbd', '--rbdname=busy', '--rw=randwrite', '--bs=4k',
    '--iodepth=16', `--size=${bytes}`, `--randseed=${run + 1}`, `--direct=${run % 2}`, '--fsync=500', '--verify=crc32c', '--verify_backlog=512', '--verify_fatal=1', '--verify_state_save=0',
    '--output-format=json'], { timeoutMs: 600_000 });
  const [job] = (JSON.parse(output.slice(output.indexOf('{'))) as FioReport).jobs;
  if (job.error !== 0) throw new Error(`fio ended with error ${job.error}`);
  return job;
}

async function changeMeanwhile(served: Served, snapshots: number): Promise<{ changes: { what: string; ms: number }[]; same: number; differing: string[] }> {
  const [shown] = await python(served, `
import hashlib, time
changes, sums = [], {}
def timed(what, call, *args):
    start = time.monotonic()
    call(*args)
    changes.append({'what': what, 'ms': (time.monotonic() - start) * 1000})
def digest(name):
    with rbd.Image(io, 'busy', name, read_only=True) as at:
        sum = hashlib.blake2b()
        for offset in range(0, at.size(), 4 << 20): sum.update(at.read(offset, min(4 << 20, at.size() - offset)))
        return sum.hexdigest()
busy = rbd.Image(io, 'busy')
size = busy.size()
for k in range(${snapshots}):
    timed('snapshot', busy.create_snap, 's%d' % k)
    sums['s%d' % k] = digest('s%d' % k)
    if k % 2:
        gone = 's%d' % (k - 1)
        if digest(gone) != sums.pop(gone): raise Exception('snapshot %s changed' % gone)
        timed('removal', busy.remove_snap, gone)
    if k == ${Math.floor(snapshots / 2)}: timed('flatten', busy.flatten)
    if k % 10 == 3: timed('growth', busy.resize, size + (k << 20))
    if k % 10 == 7: timed('shrink', busy.resize, size)
differing = [name for name in sums if digest(name) != sums[name]]
show({'changes': changes, 'same': len(sums) - len(differing), 'differing': differing})
`, { timeoutMs: 1_800_000 });
  return shown as { changes: { what: string; ms: number }[]; same: number; differing: string[] };
}

/** A few lines for people. */
export function describe(outcome: UnderLoad): string[] {
  const kinds = [...new Set(outcome.changes.map(({ what }) => what))];
  return [
    `${outcome.requests} requests in ${outcome.runs} runs, no error, no mismatch; the longest took ${outcome.longestStallMs.toFixed(1)} ms`,
    ...kinds.map((kind) => {
      const took = outcome.changes.filter(({ what }) => what === kind).map(({ ms }) => ms);
      return `${took.length} times ${kind}: ${(took.reduce((a, b) => a + b, 0) / took.length).toFixed(1)} ms on average, ${Math.max(...took).toFixed(1)} ms at most`;
    }),
    `${outcome.same} snapshots whole at the end, ${outcome.differing.length} changed`,
  ];
}

export const short = { snapshots: 12, bytes: 8 * MiB } as const;
export const full = { snapshots: 50, bytes: 256 * MiB } as const;
