// A part of `npm run soak`: the full form of under-load.test.ts.
import { serve } from '../lib/served.js';
import { describe, full, runUnderLoad } from './under-load.js';

const served = await serve();
try {
  const outcome = await runUnderLoad(served, full);
  for (const line of describe(outcome)) console.log(line);
  if (outcome.differing.length > 0) process.exitCode = 1;
} finally {
  await served.destroy();
}
