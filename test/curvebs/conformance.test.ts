// Every conformance case on CurveBS: what the real librbd answered, less the differences that are meant.

import { resolve } from 'node:path';
import t from 'tap';
import { areas } from '../conformance/cases/index.js';
import { compare, differencesOf } from '../conformance/compare.js';
import { OTHER_POOL, POOL } from '../conformance/context.js';
import { readExpected } from '../conformance/expected.js';
import { runCases, type Target } from '../conformance/runner.js';
import { GIB } from './namespace.js';
import { startAll } from './stack.js';

/** Where a plain image on CurveBS cannot answer as the real library does (docs/curvebs.md). One that no longer differs fails the test. */
const ON_CURVEBS: Readonly<Record<string, string>> = {
  'discard below its granularity does nothing, aligned pieces go': 'a discard on a plain image gives space back, and promises no zeroes',
  'discard up to the end of an image whose size is no multiple of its granularity': 'a discard on a plain image gives space back, and promises no zeroes',
  'diff of a whole image: what was written, zeroed, discarded': 'CurveBS tells by whole GiB only what of a plain image was written',
  'diffs between snapshots and the head, and of a clone': 'CurveBS tells by whole GiB only what of a plain image was written',
};
/** Not run here: it really writes 2 GiB of zeroes, which takes a server in JavaScript longer than a case may take. */
const TOO_LARGE = 'discard and write_zeroes of more than 2 GiB';

t.setTimeout(240_000);
const { cluster, stack, stop } = await startAll({ pools: [POOL, OTHER_POOL], capacity: 100 * 1024 * GIB });
t.teardown(stop);
const target: Target = { name: 'curvebs', conf: stack.conf, libraryDir: resolve('build/lib') };
for (const [area, cases] of Object.entries(areas)) {
  await t.test(area, async (test) => {
    const expected = readExpected(area);
    const names = cases.map((each) => each.name).filter((name) => name !== TOO_LARGE);
    const reports = await runCases(target, names);
    for (const name of names) {
      const verdict = compare(expected[name] ?? ['never recorded'], reports.get(name)!.lines, differencesOf(name, 'curvebs'));
      if (ON_CURVEBS[name] !== undefined) test.equal(verdict.kind, 'differs', `${name} (differs on CurveBS: ${ON_CURVEBS[name]})`);
      else if (verdict.kind === 'differs') test.fail(`${name}\n${verdict.text}`);
      else test.pass(`${name}${verdict.kind === 'equal' ? '' : ` (differs on purpose: ${verdict.text})`}`);
    }
  });
}
t.equal(cluster.nebdServer.crash, undefined, 'nothing unaligned, empty or past the end ever arrived');
