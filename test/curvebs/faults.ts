// For tests: fio writes and verifies an image on CurveBS while things go wrong. The short form is faults.test.ts, the long one
// soak.ts (`npm run soak:curvebs`).

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { Cluster } from './cluster.js';
import { ClusterProcess } from './cluster-process.js';
import { DaemonProcess, launch, run, startAll, startStack, type Stack } from './stack.js';

const FIO = ['--name=verify', '--ioengine=rbd', '--pool=rbd', '--rbdname=fio', '--clientname=admin', '--bs=16k', '--size=16M', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--randseed=11'];

/** What fio ends with that was told to end (SIGINT), and had seen no error until then. */
const FIO_INTERRUPTED = 128;

/** Whose head: a plain volume, which anybody may write, or a cow layer, which its writer may be fenced from; there, perhaps, under another process's snapshots. */
export type Kind = 'plain' | 'clone' | 'clone with snapshots';

async function makeImage(test: Test, stack: Pick<Stack, 'environment'>, kind: Kind): Promise<void> {
  const clone = `
import rados, rbd
cluster = rados.Rados(conffile='')
cluster.connect()
io = cluster.open_ioctx('rbd')
rbd.RBD().create(io, 'parent', 32 << 20)
with rbd.Image(io, 'parent') as i:
    i.write(b'parent' * 100000, 4321); i.create_snap('s'); i.protect_snap('s')
rbd.RBD().clone(io, 'parent', 's', io, 'fio')
`;
  const made = kind === 'plain'
    ? await run(stack.environment, 'qemu-img', 'create', '-q', '-f', 'raw', 'rbd:rbd/fio', '32M')
    : await run(stack.environment, '/usr/bin/python3', '-c', clone);
  test.equal(made.code, 0, `the image is made ${made.stderr}`);
}

/**
 * Takes snapshots of the image and removes them until its input ends; each must read the same when it goes as when it came (a part of each,
 * since the server under it lives too short for all). Says a line for each step that it has made.
 */
const SNAPSHOTS = `
import hashlib, rados, rbd, select, sys
cluster = rados.Rados(conffile='')
cluster.connect()
io = cluster.open_ioctx('rbd')
PART = 8 << 20
def done(what): print(what, flush=True)
def digest(snap):
    with rbd.Image(io, 'fio', snap, read_only=True) as i:
        return hashlib.blake2b(i.read(int(snap[1:]) % (i.size() // PART) * PART, PART)).hexdigest()
count = 0
kept = {}
with rbd.Image(io, 'fio') as image:
    while not select.select([sys.stdin], [], [], 0)[0]:
        count += 1
        name = 's%d' % count
        image.create_snap(name)
        done('taken')
        kept[name] = digest(name)
        done('read')
        if len(kept) > 2:
            oldest = next(iter(kept))
            assert digest(oldest) == kept.pop(oldest), oldest
            done('read again')
            image.remove_snap(oldest)
            done('removed')
    for name, was in kept.items():
        assert digest(name) == was, name
        image.remove_snap(name)
        done('removed')
`;

/** A process that takes snapshots. */
interface Snapshots {
  /** Resolves at the next step that it makes; after two seconds without one, or when it has ended, all the same. */
  step(): Promise<void>;
  end(): Promise<void>;
}

/** The same, for a test: begins now. */
function takeSnapshots(test: Test, { environment }: Pick<Stack, 'environment'>): Snapshots {
  const child = spawn('/usr/bin/python3', ['-c', SNAPSHOTS], { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
  const counts = { taken: 0, removed: 0 };
  let wake: () => void = () => undefined;
  createInterface({ input: child.stdout }).on('line', (step) => {
    if (step === 'taken' || step === 'removed') counts[step]++;
    wake();
  });
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', done));
  return {
    step: () => Promise.race([new Promise<void>((resolve) => (wake = resolve)), ended.then(() => undefined), pause(2000)]),
    async end() {
      child.stdin.end();
      test.equal(await ended, 0, `snapshots taken meanwhile read the same until they go ${stderr}`);
      test.ok(counts.taken > 0 && counts.removed === counts.taken, `${counts.taken} were taken, ${counts.removed} removed`);
    },
  };
}

/** Writes and verifies for as long as `trouble` goes on; the whole range is verified again when it is over. */
async function fioDuring(test: Test, stack: Pick<Stack, 'environment'>, kind: Kind, trouble: (isOver: () => boolean) => Promise<void>): Promise<void> {
  await makeImage(test, stack, kind);
  const snapshots = kind === 'clone with snapshots' ? takeSnapshots(test, stack) : undefined;
  let isOver = false;
  const troubled = trouble(() => isOver);
  for (let round = 0; !isOver; round++) {
    const fio = run(stack.environment, 'fio', ...FIO, '--rw=randwrite', '--iodepth=16', '--do_verify=1', '--verify_backlog=64');
    const { code, stdout, stderr } = await fio;
    test.equal(code, 0, `round ${round} of writing and verifying: no error and no mismatch ${code === 0 ? '' : stdout + stderr}`);
    const ended = await Promise.race([troubled.then(() => true), pause(1, false)]);
    if (ended || code !== 0) isOver = true;
  }
  await troubled;
  await snapshots?.end();
  const { code, stdout, stderr } = await run(stack.environment, 'fio', ...FIO, '--rw=randwrite', '--iodepth=16', '--verify_only=1');
  test.equal(code, 0, `all of it is as written when the trouble is over ${code === 0 ? '' : stdout + stderr}`);
}

/** kill -9 of the storage server (MDS and nebd-server) so many times. */
export async function killStorage(test: Test, times: number, kind: Kind = 'plain'): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const cluster = await ClusterProcess.start(folder);
  const stack = await startStack({ mdsAddresses: [cluster.mds], nebdSocket: cluster.nebdSocket });
  try {
    await fioDuring(test, stack, kind, async (isOver) => {
      for (let i = 0; i < times && !isOver(); i++) {
        await pause(150 + Math.random() * 400);
        test.ok(cluster.isAlive, `before kill ${i} the server lives: nothing unaligned arrived`);
        await cluster.kill();
        await pause(Math.random() * 300);
        await cluster.begin();
      }
    });
    test.ok(cluster.isAlive, 'it lives at the end');
  } finally {
    await stack.stop();
    await cluster.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** kill -9 of the daemon, so many times, while one process has the image open all along. */
export async function killDaemon(test: Test, times: number, kind: Kind = 'plain'): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const cluster = new Cluster({ folder });
  await cluster.start();
  const daemon = await DaemonProcess.start(cluster);
  try {
    await makeImage(test, daemon, kind);
    const snapshots = kind === 'clone with snapshots' ? takeSnapshots(test, daemon) : undefined;
    const writes = (): number => cluster.nebdServer.counts.get('Write') ?? 0;
    const begun = writes();
    // It goes on until it is told to end, however long the daemon takes to start.
    const fio = launch(daemon.environment, 'fio', ...FIO, '--rw=randwrite', '--iodepth=16', '--verify_backlog=64', '--time_based', '--runtime=1d');
    let isOver = false;
    void fio.ended.then(() => (isOver = true));
    while (writes() === begun && !isOver) await pause(5);
    let killed = 0;
    for (; killed < times && !isOver; killed++) {
      const before = writes();
      await daemon.kill();
      // Right after a snapshot the next write needs a new head, and waits for the daemon that makes it.
      const mustGoOn = kind !== 'clone with snapshots';
      for (let waited = 0; writes() === before && !isOver && (mustGoOn || waited < 40); waited++) await pause(5);
      await daemon.begin();
      // A client looks for its daemon once a second in the end: one that lived shorter than that would serve nobody.
      if (snapshots) await snapshots.step();
      await pause(Math.random() * 300);
    }
    fio.signal('SIGINT');
    const { code, stdout, stderr } = await fio.ended;
    await snapshots?.end();
    test.equal(code, FIO_INTERRUPTED, `no error and no mismatch ${code === FIO_INTERRUPTED ? '' : stdout + stderr}`);
    test.equal(killed, times, `the daemon was killed ${killed} times${kind === 'clone with snapshots' ? '' : ', and each time writing went on without it'}`);
    test.equal(cluster.nebdServer.crash, undefined, 'nothing unaligned ever arrived');
  } finally {
    await daemon.stop();
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Connections cut at random bytes, requests and replies delayed, and so put in another order; replies withheld until the connection ends. */
export async function cutAndDelay(test: Test, seconds: number, kind: Kind = 'plain'): Promise<void> {
  const { cluster, stack, stop } = await startAll();
  let withheld = 0;
  try {
    await fioDuring(test, stack, kind, async () => {
      cluster.faults.withhold = () => {
        const isWithheld = Math.random() < 0.005;
        if (isWithheld) withheld += 1;
        return isWithheld;
      };
      cluster.faults.delayMs = () => (Math.random() < 0.3 ? Math.random() * 20 : 0);
      cluster.faults.replyDelayMs = () => (Math.random() < 0.3 ? Math.random() * 20 : 0);
      cluster.faults.cutAfter = () => ({ received: 20_000 + Math.random() * 3_000_000, sent: 500 + Math.random() * 200_000 });
      for (let rest = seconds * 1000; rest > 0; rest -= 250) {
        cluster.nebdServer.disconnect();
        await pause(250);
      }
      delete cluster.faults.withhold;
      cluster.nebdServer.disconnect();
      delete cluster.faults.delayMs;
      delete cluster.faults.replyDelayMs;
      delete cluster.faults.cutAfter;
    });
    test.ok(withheld > 0, `${withheld} replies were withheld`);
    test.ok(cluster.nebdServer.connections > 5, `connections were cut: there were ${cluster.nebdServer.connections}`);
    test.equal(cluster.nebdServer.crash, undefined, 'nothing unaligned ever arrived');
  } finally {
    await stop();
  }
}
