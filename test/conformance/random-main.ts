// npm run conformance:random [CALLS [SEED]]: the long form of the random test, 100,000 calls by default.
import { compareFresh } from './random.js';

const [wanted = '100000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
let calls = 0;
let failed = false;
// Rounds, since every one begins with an empty pool.
for (let round = 0; calls < Number(wanted) && !failed; round++) {
  const outcome = await compareFresh({ count: Math.min(5000, Number(wanted) - calls), seed: Number(seed) + round, snapshots: round % 2 === 1 });
  calls += outcome.calls;
  failed = outcome.difference !== '';
  console.log(failed ? outcome.difference : `seed ${Number(seed) + round}: ${outcome.steps} steps, ${outcome.calls} calls, no difference; ${calls} in all`);
}
process.exitCode = failed ? 1 : 0;
