// The long form of the random test: npm run conformance:random [CALLS [SEED [BACKEND,...]]], by default 100,000 calls from seed 1 on local.
// It goes through all of them whatever it finds, and ends with 0 where nothing differed.
import type { TestBackend } from '../lib/backends.js';
import { compareFresh } from './random.js';

/** Rounds, since every one begins with an empty pool. */
const ROUND = 5000;

const [wanted = '100000', first = '1', backends = 'local'] = process.argv.slice(2);
// Where the real library ends by itself so often there is too little to hold ours against.
const mayEnd = Math.ceil(Number(wanted) / ROUND / 5);

let [calls, differences, ends] = [0, 0, 0];
let seed = Number(first);
for (; calls < Number(wanted) && ends <= mayEnd; seed++) {
  const outcome = await compareFresh({
    calls: Math.min(ROUND, Number(wanted) - calls), seed, snapshots: seed % 2 === 1, backends: backends.split(',') as TestBackend[],
  });
  calls += outcome.calls;
  const compared = `${outcome.steps} steps, ${outcome.calls} calls compared`;
  if (outcome.difference !== '') {
    differences++;
    console.log(`${outcome.difference}\nseed ${seed}: ${compared}, then a DIFFERENCE; ${calls} in all`);
  } else if (outcome.ended !== '') {
    ends++;
    console.log(`seed ${seed}: the real library came to its end by itself (${outcome.ended}); ${compared} up to there, no difference; ${calls} in all`);
  } else {
    console.log(`seed ${seed}: ${compared}, no difference; ${calls} in all`);
  }
}
console.log(`total on ${backends}, seeds ${first} to ${seed - 1}: ${calls} calls compared, ${differences} differences; `
  + `the real library came to its end by itself in ${ends} of ${seed - Number(first)} rounds${ends > mayEnd ? ', which is too often' : ''}`);
process.exitCode = differences > 0 || ends > mayEnd ? 1 : 0;
