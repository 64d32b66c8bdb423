// `cbd2rbd image move` between a real Ceph, CurveBS (the stand-in) and local files: what arrives is what was there, snapshot by
// snapshot, and a mover or a daemon that dies in the middle costs nothing but time.
import t, {type Test} from 'tap';

import {cephInstalled} from './cluster.js';
import {Moving} from './moving.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(280_000);

const moving = await Moving.start();
t.teardown(() => moving.end());
const {daemon} = moving;
const python = moving.python.bind(moving);
const digest = moving.digest.bind(moving);
const names = moving.names.bind(moving);
const make = moving.make.bind(moving);
const move = moving.move.bind(moving);
const cbd2rbd = moving.cbd2rbd.bind(moving);

/** Kills the whole group, the mover with its parent, once `mark` was shown. */
async function killedAt(t: Test, mark: RegExp, from: string, to: string): Promise<void> {
  const ended = await cbd2rbd(['image', 'move', from, to], (stderr, child) => {
    if (mark.test(stderr) && child.pid !== undefined && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
  });
  t.match(ended.stderr, mark, `it came to ${mark.source}`);
  t.equal(ended.code, null, 'and was killed there');
}

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
  const release = await moving.hold('far', 'busy');
  const busy = await move('far/busy', 'near/busy');
  await release();
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

t.test('whoever opens the image while it is copied keeps it: the move is refused, and goes on later', async (t) => {
  await make('near/opened', 160);
  let release: Promise<() => Promise<void>>|undefined;
  const refused = await cbd2rbd(['image', 'move', 'near/opened', 'cbs/opened'], (stderr) => {
    if (/Copying near\/opened: [1-9]\d?% complete/.test(stderr)) release ??= moving.hold('near', 'opened');
  });
  await (await release)?.();
  t.equal(refused.code, 1);
  t.match(refused.stderr, /near\/opened was opened at 127\.0\.0\.1\S* meanwhile: close it there and run this again\n$/);
  await python('write', 'near', 'opened', '5000', 'by the one who opened it');
  const before = await digest('near/opened');
  const ended = await move('near/opened', 'cbs/opened');
  t.equal(ended.code, 0, ended.stderr);
  t.strictSame(await digest('cbs/opened'), before);
});

t.test('a clone becomes a whole image with its parent\'s content, and a parent stays for its clones', async (t) => {
  for (const [pool, to] of [['far', 'near'], ['near', 'far']] as const) {
    await make(`${pool}/parent-${pool}`, 24);
    await python('clone', pool, `parent-${pool}`, 'two, three', `clone-${pool}`);
    await python('write', pool, `clone-${pool}`, '4096', 'the clone\'s own');
    const [clone, parent] = [await digest(`${pool}/clone-${pool}`), await digest(`${pool}/parent-${pool}`)];
    const removed = await move(`${pool}/parent-${pool}`, `${to}/parent-${pool}`, '--remove');
    t.equal(removed.code, 1);
    t.match(removed.stderr, 'has clones, so it cannot be removed after the move: leave --remove away, or flatten them');
    const moved = await move(`${pool}/clone-${pool}`, `${to}/clone-${pool}`, '--remove');
    t.equal(moved.code, 0, moved.stderr);
    t.strictSame(await digest(`${to}/clone-${pool}`), clone);
    t.equal((await python('parent', to, `clone-${pool}`)).trim(), 'null');
    await python('clone', pool, `parent-${pool}`, 'two, three', `second-${pool}`);
    const second = await digest(`${pool}/second-${pool}`);
    t.equal((await move(`${pool}/parent-${pool}`, `${to}/parent-${pool}`)).code, 0);
    t.strictSame(await digest(`${to}/parent-${pool}`), parent);
    t.strictSame(await digest(`${pool}/second-${pool}`), second, 'a clone that stayed reads its parent in the trash');
  }
});

t.test('a copy that was spoiled is found by reading both, and the source stays', async (t) => {
  const before = await make('far/spoiled', 24);
  await killedAt(t, /Comparing far\/spoiled: \d+% complete/, 'far/spoiled', 'near/spoiled');
  // Behind everybody's back: the second block that the oldest snapshot's volume holds.
  moving.spoil(await python('bytes', 'far', 'spoiled.cbd2rbd-moved', 'one', '4096', '4096'));
  const ended = await move('far/spoiled', 'near/spoiled');
  t.equal(ended.code, 1);
  t.match(ended.stderr, /the copy of far\/spoiled@one differs at \d+; the source has its name again, --abort removes the copy\n$/);
  t.strictSame(await digest('far/spoiled'), before);
  t.equal((await move('far/spoiled', 'near/spoiled', '--abort')).code, 0);
  t.strictSame(await digest('far/spoiled'), before);
});
