// npm run conformance:random [CALLS [SEED [BACKEND,...]]]: the long form of the random test, 100,000 calls on each backend by default.
import type { TestBackend } from '../lib/backends.js';
import { compareFresh } from './random.js';

/** Rounds, since every one begins with an empty pool. */
const ROUND = 5000;

const [wanted = '100000', firstSeed = String(Date.now() % 2 ** 31), backends = 'local,curvebs'] = process.argv.slice(2);
let calls = 0;
let failed = false;
for (let seed = Number(firstSeed); calls < Number(wanted) && !failed; seed++) {
  const outcome = await compareFresh({
    calls: Math.min(ROUND, Number(wanted) - calls), seed, snapshots: seed % 2 === 1, backends: backends.split(',') as TestBackend[],
  });
  calls += outcome.calls;
  failed = outcome.difference !== '';
  console.log(failed ? outcome.difference : `seed ${seed}: ${outcome.steps} steps, ${outcome.calls} calls, no difference; ${calls} in all`);
}
process.exitCode = failed ? 1 : 0;
