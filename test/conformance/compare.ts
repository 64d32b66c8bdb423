// Compares what a library wrote down in a case with what the real one did, less the differences that are meant.
import { differences, type Difference } from './differences.js';

export interface Verdict {
  kind: 'equal' | 'differs on purpose' | 'differs';
  /** For `differs`: the lines around the first difference. */
  text: string;
}

export function differencesOf(name: string): Difference[] {
  return differences.filter((d) => d.cases.includes(name));
}

function explain(expected: string[], got: string[]): string {
  const at = expected.findIndex((line, i) => line !== got[i]);
  const first = at < 0 ? expected.length : at;
  const context = expected.slice(Math.max(0, first - 2), first).map((line) => `    ${line}`);
  return [...context, `  - ${expected[first] ?? '(nothing more)'}`, `  + ${got[first] ?? '(nothing more)'}`].join('\n');
}

function same(a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((line, i) => line === b[i]);
}

/** `expected` with the lines replaced that differ on purpose. Throws where an entry names a line that is not there. */
export function withDifferences(name: string, expected: string[], meant = differencesOf(name)): string[] {
  const missing = meant.find((d) => !expected.includes(d.real));
  if (missing !== undefined) throw new Error(`differences.ts names a line that the case does not have: ${name}: ${missing.real}`);
  return expected.flatMap((line) => meant.find((d) => d.real === line)?.ours ?? line);
}

export function compare(name: string, expected: string[], got: string[]): Verdict {
  const meant = differencesOf(name);
  if (same(expected, got)) {
    if (meant.length === 0) return { kind: 'equal', text: '' };
    return { kind: 'differs', text: `differences.ts names this case, but it does not differ any more: ${meant[0]!.real}` };
  }
  const adjusted = withDifferences(name, expected, meant);
  if (!same(adjusted, got)) return { kind: 'differs', text: explain(adjusted, got) };
  const stale = meant.find((d) => same(withDifferences(name, expected, meant.filter((other) => other !== d)), got));
  if (stale !== undefined) return { kind: 'differs', text: `differences.ts has an entry that changes nothing: ${stale.real}` };
  return { kind: 'differs on purpose', text: meant.map((d) => d.reason).join('; ') };
}
