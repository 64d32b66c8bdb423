// The recorded answers of the real library, one file an area: { "case": ["line", ...] }; and which functions each case called (calls.json).
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { root } from '../lib/root.js';

export type Expected = Record<string, string[]>;

function file(area: string): string {
  return root('test', 'conformance', 'expected', `${area}.json`);
}

export function readExpected(area: string): Expected {
  return existsSync(file(area)) ? JSON.parse(readFileSync(file(area), 'utf8')) as Expected : {};
}

export function writeExpected(area: string, expected: Expected): void {
  mkdirSync(root('test', 'conformance', 'expected'), { recursive: true });
  writeFileSync(file(area), `${JSON.stringify(expected, null, 1)}\n`);
}

/** By case: the functions that it called, also those whose answers it did not write down. */
export type Calls = Record<string, string[]>;

export function readCalls(): Calls {
  return existsSync(file('calls')) ? JSON.parse(readFileSync(file('calls'), 'utf8')) as Calls : {};
}

/** Takes the calls of some cases over, in the order of their names. */
export function mergeCalls(calls: Calls): void {
  const all = Object.entries({ ...readCalls(), ...calls }).sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(file('calls'), `{\n${all.map(([name, functions]) => ` ${JSON.stringify(name)}: ${JSON.stringify(functions)}`).join(',\n')}\n}\n`);
}
