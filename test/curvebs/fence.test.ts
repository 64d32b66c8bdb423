// One process writes a clone at a time. A writer that is gone, or does not answer, is fenced before another writes: what it had
// under way never arrives afterwards, however it comes back.

import t, { type Test } from 'tap';
import { Interactive } from '../lib/interactive.js';
import { startAll } from './stack.js';

const ESHUTDOWN = -108;

t.setTimeout(180_000);
const { cluster, stack, stop } = await startAll({ settings: { CBD2RBD_GRACE: '1s' } });
t.teardown(stop);

const WRITER = `
i = rbd.Image(io, os.environ['IMAGE'])
say('ready')
for line in sys.stdin:
    what, text = line.split()
    if what == 'write':
        rc = code(i.write, text.encode() * 4096, 0)
        if rc == 0: rc = code(i.flush)
        say(rc)
    else:
        say(i.read(0, 4096).decode()[:2])
code(i.close)
`;

const start = (image: string): Promise<Interactive> => Interactive.start({ ...stack.environment, IMAGE: image }, WRITER);

async function makeClone(name: string): Promise<void> {
  const maker = await Interactive.start(stack.environment, `
R.create(io, '${name}-parent', 16 << 20)
with rbd.Image(io, '${name}-parent') as i:
    i.write(b'p' * 8192, 0); i.create_snap('s'); i.protect_snap('s')
R.clone(io, '${name}-parent', 's', io, '${name}')
say('ready')
`);
  await maker.end();
}

/** The epochs of all volumes in the pool, by name. */
function epochs(): Map<string, number> {
  return new Map(cluster.files.list(cluster.files.child(0, 'rbd')!.id).map((inode) => [inode.fileName, inode.epoch ?? 0]));
}

/** Keeps the next write of 4096 bytes into a layer's data from being carried out until the returned function is called. */
function holdNextWrite(): { arrived: Promise<void>; letGo(): void } {
  let arrive: () => void;
  let letGo: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  cluster.faults.holdUntil = (seen) => {
    if (seen.method !== 'Write' || seen.size !== 4096 || seen.offset < 1024 ** 3) return undefined;
    delete cluster.faults.holdUntil;
    arrive();
    return new Promise<void>((resolve) => (letGo = resolve));
  };
  return { arrived, letGo: () => letGo() };
}

async function checkFenced(test: Test, before: ReadonlyMap<string, number>): Promise<void> {
  const raised = [...epochs()].filter(([name, epoch]) => epoch > (before.get(name) ?? epoch));
  test.equal(raised.length, 1, 'the epoch of one volume, the head\'s, was raised');
  const id = cluster.mds.find(`/rbd/${raised[0]?.[0]}`, 'cinder')!.id;
  test.ok([0, 1, 2].every((segment) => cluster.chunkservers.epochOf(segment, id) === raised[0]?.[1]), 'and every chunkserver knows it');
}

interface HeldUp {
  readonly first: Interactive;
  /** The epochs before anybody was fenced. */
  readonly before: ReadonlyMap<string, number>;
  readonly letGo: () => void;
}

/** A writer of a new clone, with a write of "A" that is on its way to the volume. */
async function writerHeldUp(test: Test, image: string): Promise<HeldUp> {
  await makeClone(image);
  const first = await start(image);
  test.teardown(() => first.kill());
  test.equal(await first.ask('write a'), '0');
  const before = epochs();
  test.ok([...before.values()].every((epoch) => epoch >= 1), 'volumes are made with an epoch, so that whoever opens them can be fenced');
  const held = holdNextWrite();
  first.tell('write A');
  await held.arrived;
  return { first, before, letGo: held.letGo };
}

/** The next writer, once it has written "b". */
async function nextWriter(test: Test, image: string): Promise<Interactive> {
  const second = await start(image);
  test.teardown(() => second.kill());
  test.equal(await second.ask('write b'), '0');
  return second;
}

for (const [name, image, end] of [
  ['a writer that was killed with a write under way: the write does not arrive after the next writer\'s', 'killed', (first: Interactive) => first.kill()],
  ['so is one that was killed while the daemon was away: what it owned is on record', 'away', async (first: Interactive) => {
    await stack.daemon.daemon.close();
    await first.kill();
    await stack.daemon.restart();
  }],
] as const) {
  t.test(name, async (test) => {
    const { first, before, letGo } = await writerHeldUp(test, image);
    await end(first);
    const second = await nextWriter(test, image);
    letGo();
    test.equal(await second.ask('read -'), 'bb');
    test.equal(await second.end(), 0);
    await checkFenced(test, before);
  });
}

t.test('a writer that was stopped with a write under way is fenced; when it goes on, its write ends in ESHUTDOWN', async (test) => {
  const { first, before, letGo } = await writerHeldUp(test, 'stopped');
  first.signal('SIGSTOP');
  const second = await nextWriter(test, 'stopped');
  await checkFenced(test, before);
  letGo();
  first.signal('SIGCONT');
  test.equal(await first.answer(), String(ESHUTDOWN));
  test.equal(await first.ask('write A'), String(ESHUTDOWN), 'and so does every later one');
  test.equal(await second.ask('read -'), 'bb');
  test.equal(await second.ask('write c'), '0', 'the new writer is not disturbed');
  test.equal(await first.end(), 0, 'the fenced one can close');
  test.equal(await second.ask('read -'), 'cc');
  test.equal(await second.end(), 0);
});

t.test('nor does nebd-server\'s restart bring a fenced writer back: it opens the volume anew, and asks before it writes', async (test) => {
  await makeClone('restarted');
  const first = await start('restarted');
  test.teardown(() => first.kill());
  test.equal(await first.ask('write a'), '0');
  first.signal('SIGSTOP');
  first.tell('write A');
  const second = await nextWriter(test, 'restarted');
  await cluster.restartNebd();
  test.equal(await second.ask('write c'), '0', 'who owns it writes on through the restart');
  first.signal('SIGCONT');
  test.equal(await first.answer(), String(ESHUTDOWN));
  test.equal(await second.ask('read -'), 'cc');
  test.equal(await second.end(), 0);
  await first.end();
});

t.test('nothing unaligned, empty or past the end ever arrived', (test) => {
  test.equal(cluster.nebdServer.crash, undefined);
  test.end();
});
