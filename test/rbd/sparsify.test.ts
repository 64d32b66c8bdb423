// rbd sparsify beside other clients: it works whoever has the image open, as the real one does, and no write is lost to it.
import t, { type Test } from 'tap';
import { backends } from '../lib/backends.js';
import { Interactive } from '../lib/interactive.js';
import { root } from '../lib/root.js';
import { serve, type Served } from '../lib/served.js';
import { python, runClient, type Ended } from '../lib/stock-client.js';

t.setTimeout(240_000);

const BLOCKS = 4096;

/** Zeroes and other bytes by turns onto blocks at random, which it keeps in mind; takes snapshots and locks. */
const CLIENT = (image: string): string => `
import random, threading
i = rbd.Image(io, '${image}')
blocks, order = {}, random.Random(7)
say('ready')
for line in sys.stdin:
    what, *args = line.split()
    try:
        if what == 'run':
            for k in range(int(args[0])):
                block, value = order.randrange(${BLOCKS}), order.choice([0] * 15 + [k % 255 + 1])
                i.write(bytes([value]) * 4096, block * 4096)
                blocks[block] = value
                if k % 500 == 499: i.flush()
        if what == 'check':
            say(str(sum(i.read(block * 4096, 4096) != bytes([value]) * 4096 for block, value in blocks.items())))
            continue
        if what == 'snap':
            i.create_snap('s')
            i.remove_snap('s')
        if what == 'lock': i.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        if what == 'owner':
            say(str(i.is_exclusive_lock_owner()))
            continue
        if what == 'advisory': i.lock_exclusive('cookie')
        if what == 'free': i.unlock('cookie')
        if what == 'sparsify': i.sparsify(4096)
        say('ok')
    except rbd.Error as e: say(str(-e.errno))
i.close()
`;

const make = (image: string, kind: 'plain' | 'layered'): string => `
R.create(io, '${image}', ${BLOCKS} * 4096)
with rbd.Image(io, '${image}') as i:
    if ${kind === 'layered' ? 'True' : 'False'}: i.create_snap('below')
    i.write(bytes(${BLOCKS} * 4096), 0)
    i.write(b'x' * 4096, 0)`;

/** How many bytes of the image are data. */
const held = async (served: Served, image: string): Promise<number> => {
  const [bytes] = await python(served, `
found = []
with rbd.Image(io, '${image}', read_only=True) as i: i.diff_iterate(0, i.size(), None, lambda o, n, exists: found.append(n if exists else 0), whole_object=False)
show(sum(found))`);
  return bytes as number;
};

async function command(served: Served, ...args: string[]): Promise<Ended> {
  return runClient(served, root('build/bin/hooks/rbd'), args);
}

async function runBeside(t: Test, served: Served, { image, writes }: { image: string; writes: number }): Promise<void> {
  const writer = await Interactive.start(served.clientEnv, CLIENT(image));
  const sparsifier = await Interactive.start(served.clientEnv, CLIENT(image));
  const snapper = await Interactive.start(served.clientEnv, CLIENT(image));
  const over = writer.ask(`run ${writes}`);
  let isOver = false;
  void over.finally(() => { isOver = true; });
  const failed: string[] = [];
  for (let round = 0; round < 3 || !isOver; round += 1) {
    const answer = await sparsifier.ask('sparsify');
    if (answer !== 'ok') failed.push(answer);
    if (round % 4 === 3 && await snapper.ask('snap') !== 'ok') failed.push('snap');
  }
  t.strictSame([await over, failed], ['ok', []]);
  t.equal(await writer.ask('check'), '0', 'blocks that are not as they were written');
  t.strictSame([await writer.end(), await sparsifier.end(), await snapper.end()], [0, 0, 0]);
}

for (const backend of backends) {
  t.test(`on ${backend}`, async (t) => {
    const served = await serve({}, backend);
    t.teardown(() => served.destroy());

    for (const kind of ['plain', 'layered'] as const) {
      // Of a plain volume CurveBS can give back whole GiB alone, and some time later.
      if (backend === 'curvebs' && kind === 'plain') {
        await t.test('a plain image is refused by name, and stays as it is', async (t) => {
          await python(served, make('plain', kind));
          const before = await held(served, 'plain');
          t.match(await command(served, 'sparsify', 'plain', '--no-progress'), { code: 95, stderr: /sparsify error: \(95\) Operation not supported/ });
          t.equal(await held(served, 'plain'), before);
        });
        continue;
      }

      await t.test(`the zeroes of a ${kind} image go while another has it open, whatever he did with it`, async (t) => {
        for (const [what, owner] of [['nothing', 'False'], ['write', 'True'], ['lock', 'True']] as const) {
          const image = `${kind}-${what}`;
          await python(served, make(image, kind));
          const other = await Interactive.start(served.clientEnv, CLIENT(image));
          if (what === 'write') await other.ask('run 1');
          if (what === 'lock') await other.ask('lock');
          t.strictSame(await command(served, 'sparsify', image, '--no-progress'), { code: 0, stderr: '', stdout: '' }, `he did ${what}`);
          t.equal(await held(served, image), 4096);
          t.equal(await other.ask('owner'), owner, 'the lock stays whose it was');
          t.equal(await other.ask('check'), '0');
          t.equal(await other.end(), 0);
        }
      });

      await t.test(`an advisory lock keeps a ${kind} image as it is`, async (t) => {
        await python(served, make(`${kind}-locked`, kind));
        const other = await Interactive.start(served.clientEnv, CLIENT(`${kind}-locked`));
        t.equal(await other.ask('advisory'), 'ok');
        const before = await held(served, `${kind}-locked`);
        const { code, stderr } = await command(served, 'sparsify', `${kind}-locked`, '--no-progress');
        t.match({ code, stderr }, { code: 30, stderr: /sparsify error: \(30\) Read-only file system/ });
        t.equal(await held(served, `${kind}-locked`), before);
        t.equal(await other.ask('free'), 'ok');
        t.equal(await other.ask('sparsify'), 'ok');
        t.equal(await other.end(), 0);
      });

      await t.test(`no write to a ${kind} image is lost that comes while it is made sparse, and snapshotted`, async (t) => {
        await python(served, make(`${kind}-busy`, kind));
        await runBeside(t, served, { image: `${kind}-busy`, writes: backend === 'local' ? 4000 : 1000 });
      });
    }
  });
}

t.test('beside a writer that is stopped a plain image is left as it is, and the command says so', async (t) => {
  const served = await serve();
  t.teardown(() => served.destroy());
  await python(served, make('i', 'plain'));
  const other = await Interactive.start(served.clientEnv, CLIENT('i'));
  other.signal('SIGSTOP');
  const before = await held(served, 'i');
  const { code, stderr } = await command(served, 'sparsify', 'i', '--no-progress');
  t.match({ code, stderr }, { code: 110, stderr: /sparsify error: \(110\) Connection timed out/ });
  t.equal(await held(served, 'i'), before);
  other.signal('SIGCONT');
  t.equal(await other.ask('run 1'), 'ok');
  t.match(await command(served, 'sparsify', 'i', '--no-progress'), { code: 0 });
  t.equal(await held(served, 'i'), 4096, 'once he goes on it works');
  t.equal(await other.end(), 0);
});
