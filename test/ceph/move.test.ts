// `cbd2rbd image move` between a real Ceph, CurveBS (the stand-in) and local files: what arrives is what was there, snapshot by
// snapshot, and a mover or a daemon that dies in the middle costs nothing but time.
import t, {type Test} from 'tap';
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {ClusterProcess} from '../curvebs/cluster-process.js';
import {root} from '../lib/root.js';
import {serve} from '../lib/served.js';
import {mustRun, PYTHON} from '../lib/stock-client.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(280_000);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const folder = mkdtempSync(join(tmpdir(), 'cbd-move-'));
const [ceph, curvebs] = await Promise.all([startCeph({pools: ['behind']}), ClusterProcess.start(folder)]);
// A killed client's watch stays this long (30 s by default; a living one renews it every 5 s).
ceph.run('ceph', 'config', 'set', 'osd', 'osd_client_watch_timeout', '12');
const daemon = await serve({CBD2RBD_DEFAULT_POOLS: 'near', CBD2RBD_CURVEBS_MDS: curvebs.mds, CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket});
t.teardown(async () => {
  await Promise.all([ceph.destroy(), daemon.destroy(), curvebs.kill()]);
  rmSync(folder, {recursive: true, force: true});
});

const env = {CBD2RBD_CEPH_LIBS: copies};
const script = root('test/ceph/move.py');
const python = async (...words: string[]): Promise<string> => mustRun(daemon, PYTHON, [script, ...words], {env});
const digest = async (image: string): Promise<unknown> => JSON.parse(await python('digest', ...image.split('/')));
const names = async (pool: string): Promise<unknown> => JSON.parse(await python('names', pool));
const make = async (image: string, mib: number): Promise<unknown> => (await python('make', ...image.split('/'), String(mib)), digest(image));

interface Ended {
  readonly code: number|null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `cbd2rbd` in a process group of its own; `seen` is called with all of standard error whenever it grows. */
async function cbd2rbd(words: readonly string[], seen: (stderr: string, child: ChildProcess) => void = () => undefined): Promise<Ended> {
  const child = spawn(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', daemon.dir, ...words],
                      {env: {...daemon.clientEnv, ...env}, detached: true, stdio: ['ignore', 'pipe', 'pipe']});
  const output = {stdout: '', stderr: ''};
  child.stdout.on('data', (text: Buffer) => output.stdout += text.toString());
  child.stderr.on('data', (text: Buffer) => {
    output.stderr += text.toString();
    seen(output.stderr, child);
  });
  const [code] = await once(child, 'close') as [number|null];
  return {code, ...output};
}

const move = (from: string, to: string, ...options: string[]): Promise<Ended> => cbd2rbd(['image', 'move', from, to, ...options]);

/** Kills the whole group, the mover with its parent, once `mark` was shown. */
async function killedAt(t: Test, mark: RegExp, from: string, to: string): Promise<void> {
  const ended = await cbd2rbd(['image', 'move', from, to], (stderr, child) => {
    if (mark.test(stderr) && child.pid !== undefined && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
  });
  t.match(ended.stderr, mark, `it came to ${mark.source}`);
  t.equal(ended.code, null, 'and was killed there');
}

t.before(async () => {
  for (const [pool, place] of [['far', 'ceph:behind'], ['cbs', 'curvebs:/rbd']] as const) {
    const options = pool === 'far' ? ['--conf', ceph.conf] : ['--owner', 'cinder'];
    const mapped = await cbd2rbd(['pool', 'map', pool, place, ...options]);
    if (mapped.code !== 0) throw new Error(mapped.stderr);
  }
});

t.test('an image goes from each backend to each other, whole, with its snapshots', async (t) => {
  const before = await make('near/vm', 24);
  let at = 'near/vm';
  for (const pool of ['far', 'cbs', 'near', 'cbs', 'far', 'near']) {
    const moved = await move(at, `${pool}/vm`, '--no-progress', ...(pool === 'near' ? ['--remove'] : []));
    t.equal(moved.code, 0, `${at} to ${pool}: ${moved.stderr}`);
    t.match(moved.stdout, `${at} is ${pool}/vm now: 24 MiB, 2 snapshots; `);
    t.match(moved.stdout, pool === 'near' ? 'the source is removed' : 'in its pool\'s trash as');
    t.strictSame(await digest(`${pool}/vm`), before, `${at} to ${pool}`);
    at = `${pool}/vm`;
  }
  t.strictSame(await names('near'), {images: ['vm'], trash: ['vm.cbd2rbd-moved', 'vm.cbd2rbd-moved']});
  t.strictSame(await names('far'), {images: [], trash: ['vm.cbd2rbd-moved']});
});

t.test('a mover that is killed goes on where it was, and ends with the same image', async (t) => {
  const before = await make('far/killed', 160);
  await killedAt(t, /Copying far\/killed: [2-9]\d% complete/, 'far/killed', 'near/killed');
  t.match(await names('near'), {images: ['killed.cbd2rbd-move', 'vm']}, 'nobody finds a half copy under the image\'s name');
  t.match(await names('far'), {images: ['killed']}, 'and the source is where it was');
  await killedAt(t, /going on behind \d of 2 snapshots, at \d+ MiB[^]*Copying far\/killed: [6-9]\d% complete/, 'far/killed', 'near/killed');
  await killedAt(t, /Comparing far\/killed: [3-9]\d% complete/, 'far/killed', 'near/killed');
  t.match(await names('far'), {images: ['killed.cbd2rbd-moved']}, 'now clients cannot reach the source');
  const ended = await move('far/killed', 'near/killed', '--json');
  t.equal(ended.code, 0, ended.stderr);
  t.match(JSON.parse(ended.stdout), {from: 'far/killed', to: 'near/killed', size: (160 << 20) - 777, snapshots: 2, trashId: /^\w+$/});
  t.strictSame(await digest('near/killed'), before);
});

t.test('a mover towards Ceph that was killed waits until Ceph takes it for dead', async (t) => {
  const before = await digest('near/killed');
  await killedAt(t, /Copying near\/killed: [3-9]\d% complete/, 'near/killed', 'far/again');
  const ended = await move('near/killed', 'far/again');
  t.equal(ended.code, 0, ended.stderr);
  t.match(ended.stderr, /going on behind/);
  t.strictSame(await digest('far/again'), before);
});

t.test('a daemon that is killed and comes back costs a pause', async (t) => {
  const before = await digest('far/again');
  let revived: Promise<void>|undefined;
  const ended = await cbd2rbd(['image', 'move', 'far/again', 'cbs/third'], (stderr) => {
    if (/Copying far\/again: [2-9]\d% complete/.test(stderr)) revived ??= daemon.kill().then(() => daemon.start());
  });
  await revived;
  t.not(revived, undefined, 'the daemon was killed');
  t.equal(ended.code, 0, ended.stderr);
  t.strictSame(await digest('cbs/third'), before);
});

t.test('what cannot be moved is refused plainly, and nothing is changed', async (t) => {
  await make('far/busy', 24);
  const holder = spawn(PYTHON, [script, 'hold', 'far', 'busy'], {env: {...daemon.clientEnv, ...env}, stdio: ['pipe', 'pipe', 'inherit']});
  await once(holder.stdout, 'data');
  const busy = await move('far/busy', 'near/busy');
  holder.stdin.end();
  await once(holder, 'close');
  t.equal(busy.code, 1);
  t.match(busy.stderr, /^cbd2rbd: far\/busy is open at 127\.0\.0\.1\S*: close it there first\n$/);
  for (const [from, to, why] of [
    ['far/none', 'near/none', /^cbd2rbd: error opening image none: \(2\) No such file or directory\n$/],
    ['nowhere/x', 'near/x', /error opening pool 'nowhere': \(2\)/],
    ['far/busy', 'far/other', /are in one pool: `rbd rename` does that/],
    ['far/busy', 'near/vm', /near\/vm is there already\n$/],
    ['far/busy@one', 'near/x', /far\/busy@one is no image/],
    ['far/busy', 'near/', /./],
  ] as const) {
    const refused = await move(from, to);
    t.equal(refused.code, 1, `${from} ${to}`);
    t.match(refused.stderr, why);
  }
  t.match((await move('far/busy', 'near/busy', '--abort')).stderr, 'no move of far/busy to near/busy is under way');
  t.match(await names('far'), {images: ['busy']});
  t.match(await names('near'), {images: ['vm']});
});

t.test('a move can be taken back, before and after the source was taken out', async (t) => {
  const before = await digest('far/busy');
  for (const mark of [/Copying far\/busy: \d+% complete/, /Comparing far\/busy: \d+% complete/]) {
    await killedAt(t, mark, 'far/busy', 'near/busy');
    const taken = await move('far/busy', 'near/busy', '--abort');
    t.strictSame([taken.code, taken.stdout], [0, 'far/busy is as it was\n'], taken.stderr);
    t.match(await names('near'), {images: ['vm']});
    t.strictSame(await digest('far/busy'), before);
  }
});

t.test('what was written to the source between two runs is not lost', async (t) => {
  await killedAt(t, /Copying near\/vm: [6-9]\d% complete/, 'near/vm', 'cbs/late');
  await python('write', 'near', 'vm', '1000', 'written late');
  const before = await digest('near/vm');
  const ended = await move('near/vm', 'cbs/late');
  t.equal(ended.code, 0, ended.stderr);
  t.strictSame(await digest('cbs/late'), before);
});
