// Every case on our libraries over the `local` backend, against what the real library answered; and the real one again,
// so that the recorded answers stay true.
import t, { type Test } from 'tap';
import { cephInstalled, startCeph } from '../ceph/cluster.js';
import { libraryDir, serve } from '../lib/served.js';
import { areas } from './cases/index.js';
import { compare, differencesOf } from './compare.js';
import { OTHER_POOL, POOL } from './context.js';
import { readExpected } from './expected.js';
import { isCurrent } from './report.js';
import { runCases, type Target } from './runner.js';

// A minute and a half on two idle cores; the runner watches for silence.
t.setTimeout(600_000);

type Check = (t: Test, name: string, expected: string[], got: string[]) => void;

async function everyCase(t: Test, target: Target, check: Check): Promise<void> {
  for (const [area, cases] of Object.entries(areas)) {
    const expected = readExpected(area);
    await t.test(area, { timeout: 300_000 }, async (t) => {
      const reports = await runCases(target, cases.map((c) => c.name));
      for (const { name } of cases) check(t, name, expected[name] ?? ['never recorded'], reports.get(name)!.lines);
    });
  }
}

t.test('on the local backend every case ends as with the real library', { timeout: 300_000 }, async (t) => {
  const served = await serve();
  t.teardown(() => served.destroy());
  const target: Target = { name: 'local', conf: served.conf, libraryDir };
  await everyCase(t, target, (t, name, expected, got) => {
    const verdict = compare(expected, got, differencesOf(name, 'local'));
    if (verdict.kind === 'differs') t.fail(`${name}\n${verdict.text}`);
    else t.pass(`${name}${verdict.kind === 'equal' ? '' : ` (${verdict.kind}: ${verdict.text})`}`);
  });
});

t.test('the real library still answers as recorded', { timeout: 300_000 }, async (t) => {
  t.ok(cephInstalled(), 'ceph-mon, ceph-mgr, ceph-osd and ceph-common are installed');
  const ceph = await startCeph({ pools: [POOL, OTHER_POOL] });
  t.teardown(() => ceph.destroy());
  await everyCase(t, { name: 'real', conf: ceph.conf }, (t, name, expected, got) => t.same(got, expected, name));
});

t.test('docs/conformance.md is what is generated from the cases', async (t) => {
  t.ok(isCurrent(), 'npm run conformance:report');
});
