// `cbd2rbd image move`, killed after each of its steps in turn: nothing is lost at any of them, and the next run ends the move.
import t from 'tap';

import {root} from '../lib/root.js';
import {cephInstalled} from './cluster.js';
import {Moving} from './moving.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(400_000);

const moving = await Moving.start();
t.teardown(() => moving.end());

/** The short form skips every second step of the first test; CBD_EVERY_STEP=1 takes them all. */
const stride = process.env['CBD_EVERY_STEP'] === '1' ? 1 : 2;

/** Moves; the mover dies right after its `step`-th change. False where it had no so many. */
async function dies(step: number, from: string, to: string, ...options: string[]): Promise<boolean> {
  const preload = {LD_PRELOAD: root('build/die-after/die_after.so'), CBD_DIE_AFTER: String(step)};
  const ended = await moving.cbd2rbd(['image', 'move', from, to, '--no-progress', ...options], undefined, preload);
  if (ended.code === 0) return false;
  if (!/the mover was ended by SIGKILL: the same command goes on with it/.test(ended.stderr)) throw new Error(ended.stderr);
  return true;
}

/** Ends a move that was killed. False where that was after its very last change. */
async function goesOn(from: string, to: string, ...options: string[]): Promise<boolean> {
  const ended = await moving.move(from, to, '--no-progress', ...options);
  if (ended.code === 0) return true;
  if (!ended.stderr.endsWith(`${to} is there already, and ${from} is not: a move from one to the other has ended\n`)) throw new Error(ended.stderr);
  return false;
}

async function mustMove(from: string, to: string, ...options: string[]): Promise<void> {
  const ended = await moving.move(from, to, '--no-progress', ...options);
  if (ended.code !== 0) throw new Error(`${from} to ${to}: ${ended.stderr}`);
}

t.test('from Ceph to CurveBS: after each change that a move makes', async (t) => {
  const before = await moving.make('far/vm', 24);
  let step = 1;
  for (; await dies(step, 'far/vm', 'cbs/vm'); step += stride) {
    const hasMore = await goesOn('far/vm', 'cbs/vm');
    t.strictSame(await moving.digest('cbs/vm'), before, `killed after step ${step}`);
    if (!hasMore) return t.ok(step > 16, `${step} steps`);
    await mustMove('cbs/vm', 'far/vm', '--remove');
  }
  t.strictSame(await moving.digest('cbs/vm'), before, 'and when nobody kills it');
  t.ok(step > 16, `${step - 1} steps`);
});

t.test('from CurveBS to Ceph: the same, once Ceph takes the dead mover for dead', async (t) => {
  const before = await moving.digest('cbs/vm');
  let step = 1;
  for (; await dies(step, 'cbs/vm', 'far/vm'); step += 2 * stride) {
    for (const name of ['vm.cbd2rbd-move', 'vm']) moving.shutOutOf(name);
    const hasMore = await goesOn('cbs/vm', 'far/vm');
    t.strictSame(await moving.digest('far/vm'), before, `killed after step ${step}`);
    await mustMove('far/vm', 'cbs/vm', '--remove');
    if (!hasMore) break;
  }
  t.ok(step > 12, `${step} steps`);
  t.strictSame(await moving.digest('cbs/vm'), before);
});

t.test('between CurveBS and local files, while the source is removed too', async (t) => {
  const before = await moving.digest('cbs/vm');
  let [from, to] = ['cbs/vm', 'near/vm'];
  // The first steps are those above.
  let step = 16;
  for (let isLast = false; !isLast; step++) {
    t.ok(await dies(step, from, to, '--remove'));
    isLast = !await goesOn(from, to, '--remove');
    [from, to] = [to, from];
    t.strictSame(await moving.digest(from), before, `killed after step ${step}`);
  }
  t.ok(step > 20, `${step - 1} steps`);
});
