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

/** What differs on the local backend because its volumes are files does not differ here. */
const meantFor = (name: string): ReturnType<typeof differencesOf> => differencesOf(name).filter(({ reason }) => !reason.startsWith('A volume of the local backend'));

t.setTimeout(240_000);
const { cluster, stack, stop } = await startAll({ pools: [POOL, OTHER_POOL], capacity: 100 * 1024 * GIB });
t.teardown(stop);
const target: Target = { name: 'curvebs', conf: stack.conf, libraryDir: resolve('build/lib') };
for (const [area, cases] of Object.entries(areas)) {
  await t.test(area, async (test) => {
    const expected = readExpected(area);
    const reports = await runCases(target, cases.map((each) => each.name));
    for (const { name } of cases) {
      const verdict = compare(name, expected[name] ?? ['never recorded'], reports.get(name)!.lines, meantFor(name));
      if (verdict.kind === 'differs') test.fail(`${name}\n${verdict.text}`);
      else test.pass(`${name}${verdict.kind === 'equal' ? '' : ` (differs on purpose: ${verdict.text})`}`);
    }
  });
}
t.equal(cluster.nebdServer.crash, undefined, 'nothing unaligned, empty or past the end ever arrived');
