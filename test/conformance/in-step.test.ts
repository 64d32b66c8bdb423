// How the random test judges what it is answered. The libraries are stand-ins of the test's own.
import t from 'tap';
import type { Answer } from './lead.js';
import { compareRandomly, type Outcome, type Taker } from './random.js';

const CALL = 'rbd_list2(io) = 0';

/** Answers every step with one call, but for the fifth. */
function taker(name: string, fifth: Answer): Taker {
  let steps = 0;
  return { name, take: async () => (++steps === 5 ? fifth : { lines: [CALL, '  images=[]'] }) };
}

function compare(real: Answer, ours: Answer): Promise<Outcome> {
  return compareRandomly(taker('real', real), [taker('ours', ours)], { calls: 10, seed: 1, snapshots: false, backends: ['local'] });
}

const equal: Answer = { lines: [CALL] };

t.test('calls that are answered alike are counted', async (t) => {
  t.same(await compare(equal, equal), { steps: 10, calls: 10, difference: '', ended: '' });
});

t.test('the first other answer is a difference, and is not counted', async (t) => {
  const { calls, difference, ended } = await compare(equal, { lines: ['rbd_list2(io) = -2 ENOENT'] });
  t.equal(calls, 4);
  t.match(difference, /- rbd_list2\(io\) = 0\n {2}\+ rbd_list2\(io\) = -2 ENOENT$/);
  t.equal(ended, '');
});

t.test('where the real library ends by itself the calls up to there are counted, and no difference is told', async (t) => {
  const { calls, difference, ended } = await compare({ ended: 'real hangs' }, equal);
  t.equal(calls, 4);
  t.equal(difference, '');
  t.match(ended, /^step 4, \w+: real hangs$/);
});

t.test('where ours ends or hangs it is a difference', async (t) => {
  for (const end of ['ours hangs', 'ours ends the process: SIGSEGV']) {
    const { calls, difference, ended } = await compare(equal, { ended: end });
    t.equal(calls, 4);
    t.match(difference, end);
    t.equal(ended, '');
  }
});

t.test('where both end it is a difference, too', async (t) => {
  const { difference, ended } = await compare({ ended: 'real hangs' }, { ended: 'ours hangs' });
  t.match(difference, /- real hangs\n {2}\+ ours hangs$/);
  t.equal(ended, '');
});
