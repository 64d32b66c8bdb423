// The short form of the random test: the real library and ours through the same random steps.
import t from 'tap';
import { compareFresh } from './random.js';

const SEED = 20;

t.test('random sequences of calls are answered as by the real library', { timeout: 300_000 }, async (t) => {
  const { calls, difference } = await compareFresh({ calls: 1100, seed: SEED, snapshots: false, backends: ['local'] });
  t.equal(difference, '');
  t.ok(calls >= 1100, `${calls} calls were compared`);
});
