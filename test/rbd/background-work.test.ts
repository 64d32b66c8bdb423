// Layers are merged behind everybody's back: the daemon that does it is killed at each step, and clients see nothing of it.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MdsClient } from '../../src/backend/curvebs/mds.js';
import { backends } from '../lib/backends.js';
import { root } from '../lib/root.js';
import { serve, type Served } from '../lib/served.js';
import { mustRun, python } from '../lib/stock-client.js';

interface Status { merging: { image: string; layer: string; done: number; total: number } | null; imagesToMerge: number; volumesToRemove: number }

const cli = root('dist/src/cli/cbd2rbd.js');
const status = async (served: Served): Promise<Status> => JSON.parse(await mustRun(served, process.execPath, [cli, '--dir', served.dir, 'status', '--json'])) as Status;

/** Three snapshots, each with other data; what each reads as is kept in `sums`. */
const PREPARE = `
import hashlib, random
def digest(name, snap=None):
    with rbd.Image(io, name, snap, read_only=True) as i:
        sum = hashlib.blake2b()
        for at in range(0, i.size(), 4 << 20): sum.update(i.read(at, min(4 << 20, i.size() - at)))
        return sum.hexdigest()
def make(name, seed):
    r = random.Random(seed)
    R.create(io, name, (40 << 20) + 512)
    with rbd.Image(io, name) as i:
        for snap in ('s1', 's2', 's3', None):
            for k in range(30): i.write(r.randbytes(r.choice([512, 4096, 300000])), r.randrange(39 << 20))
            i.discard(r.randrange(32 << 20), 4 << 20)
            if snap: i.create_snap(snap)
`;

async function volumesOf(served: Served): Promise<number> {
  if (!served.curvebs) return readdirSync(join(served.dir, 'volumes', 'pool-1')).length;
  const mds = new MdsClient({ addresses: [served.curvebs.mds], timeoutMs: 10_000 });
  const found = await mds.listDir('/rbd', 'cinder');
  mds.close();
  return found.length;
}

for (const backend of backends) t.test(`on ${backend}: a merge that is cut short at any step is done again, and nobody reads anything else`, { timeout: 280_000 }, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  let cuts = 0;
  for (let n = 1; n <= 16; n++) {
    const name = `i${n}`;
    const [before] = await python(served, `${PREPARE}
make('${name}', ${n})
show([digest('${name}', 's1'), digest('${name}', 's3'), digest('${name}')])
`) as [string[]];
    await served.end();
    await served.start({ CBD2RBD_FAULT: `merge:${n}` });
    // A client that has the image open, reads and writes all the while, and takes the one step that makes layers superfluous.
    const client = python(served, `${PREPARE}
i = rbd.Image(io, '${name}')
old = i.read(0, 1 << 20)
i.remove_snap('s2')
print('"removed"', flush=True)
for k in range(50): assert i.read(0, 1 << 20) == old
i.create_snap('s4')
show([digest('${name}', 's1'), digest('${name}', 's3'), digest('${name}')])
`);
    const ended = client.then(() => true);
    while (!served.hasEnded && !await Promise.race([ended, new Promise<false>((resolve) => setTimeout(resolve, 5, false))]));
    const wasCut = served.hasEnded;
    if (wasCut) await served.start();
    const [, after] = await client as [string, string[]];
    t.strictSame(after, before, `cut ${n}: what was there is there`);
    let now = await status(served);
    while (now.imagesToMerge > 0 || now.volumesToRemove > 0) now = await status(served);
    const [sums] = await python(served, `${PREPARE}
show([digest('${name}', 's1'), digest('${name}', 's3'), digest('${name}')])
`) as [string[]];
    t.strictSame(sums, before, `cut ${n}: also when all is merged`);
    // The layers of s1 (plain), s3, s4, and none of what was merged; s4 froze the head.
    t.equal(await volumesOf(served), 3, `cut ${n}: no volume is left over`);
    if (!wasCut) break;
    cuts += 1;
    await python(served, `
with rbd.Image(io, '${name}') as i:
    for s in ('s1', 's3', 's4'): i.remove_snap(s)
R.remove(io, '${name}')
`);
  }
  // Before the volume below is extended, while the blocks are copied, before the records change and after, when all are told, when the volume is gone.
  t.ok(cuts >= 7 && cuts < 16, `${cuts} cuts`);
  t.match(await mustRun(served, process.execPath, [cli, '--dir', served.dir, 'status']), /merging: nothing\n/);
});
