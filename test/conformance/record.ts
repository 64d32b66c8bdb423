// npm run conformance:record [AREA...]: asks the real library every case, twice, and writes down what it answered.
// A case that answers differently the second time is no expectation; it is named, and the command fails.
import { startCeph } from '../ceph/cluster.js';
import { OTHER_POOL, POOL } from './context.js';
import { areas } from './cases/index.js';
import { mergeCalls, readCalls, writeExpected, type Expected } from './expected.js';
import { runCases } from './runner.js';

const TROUBLE = /^(hangs|ends the process|thrown:|needed:)/;

async function record(area: string, conf: string): Promise<string[]> {
  const names = areas[area]!.map((c) => c.name);
  const target = { name: 'real', conf };
  const first = await runCases(target, names);
  const second = await runCases(target, names);
  const troubles: string[] = [];
  const expected: Expected = {};
  for (const name of names) {
    const { lines, left } = first.get(name)!;
    const again = second.get(name)!.lines;
    const bad = lines.find((line) => TROUBLE.test(line));
    const at = lines.findIndex((line, i) => line !== again[i]);
    if (bad !== undefined) troubles.push(`${area}: ${name}: ${bad}`);
    else if (at >= 0 || lines.length !== again.length) troubles.push(`${area}: ${name}: varies: ${lines[at]} | ${again[at]}`);
    if (left > 0) troubles.push(`${area}: ${name}: leaves ${left} things behind`);
    expected[name] = lines;
  }
  writeExpected(area, expected);
  // Those of later releases, which only ours has, stay.
  const known = readCalls();
  mergeCalls(Object.fromEntries(names.map((name) => [name, [...new Set([...known[name] ?? [], ...Object.keys(first.get(name)!.calls)])].sort()])));
  return troubles;
}

async function main(wanted: string[]): Promise<number> {
  const chosen = wanted.length === 0 ? Object.keys(areas) : wanted;
  const unknown = chosen.find((area) => areas[area] === undefined);
  if (unknown !== undefined) {
    console.error(`no area is called ${unknown}: ${Object.keys(areas).join(', ')}`);
    return 2;
  }
  const ceph = await startCeph({ pools: [POOL, OTHER_POOL] });
  const troubles: string[] = [];
  try {
    for (const area of chosen) {
      const found = await record(area, ceph.conf);
      console.log(`${area}: ${areas[area]!.length} cases, ${found.length} troubles`);
      troubles.push(...found);
    }
  } finally {
    await ceph.destroy();
  }
  for (const trouble of troubles) console.error(trouble);
  return troubles.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
