// The recorded answers of the real library, one file an area: { "case": ["line", ...] }.
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
