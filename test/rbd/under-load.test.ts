// The short form of the soak: fio writes and verifies while its image's layers change under it.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { describe, runUnderLoad, short } from './under-load.js';

for (const backend of backends) t.test(`on ${backend} fio finds no error and no mismatch while snapshots come and go, its clone is flattened and resized`, { timeout: 240_000 }, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const outcome = await runUnderLoad(served, short);
  for (const line of describe(outcome)) t.comment(line);
  t.ok(outcome.requests > 0);
  t.strictSame(outcome.differing, []);
  t.equal(outcome.same, short.snapshots / 2);
  t.equal(outcome.changes.filter(({ what }) => what === 'flatten').length, 1);
});
