// Compares what a library wrote down in a case with what the real one did, less the differences that are meant.
import { readFileSync } from 'node:fs';
import type { TestBackend } from '../lib/backends.js';
import { root } from '../lib/root.js';
import { differences, type Difference } from './differences.js';

export interface Verdict {
  kind: 'equal' | 'differs on purpose' | 'refused' | 'differs';
  /** For `differs`: the lines around the first difference; for `refused`: the function that our ABI table refuses by name. */
  text: string;
}

/** Those that show in the case on a backend. */
export function differencesOf(name: string, backend: TestBackend): Difference[] {
  return differences.filter((d) => d.cases.includes(name) && (d.on ?? backend) === backend);
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

function lines(text: string | string[]): string[] {
  return typeof text === 'string' ? [text] : text;
}

// Replaces each run of lines that an entry names. `used` gets the entries that were found.
function replace(expected: string[], meant: Difference[], used: Set<Difference>): string[] {
  const out: string[] = [];
  for (let i = 0; i < expected.length;) {
    const entry = meant.find((d) => lines(d.real).every((line, n) => expected[i + n] === line));
    if (entry === undefined) {
      out.push(expected[i++]!);
      continue;
    }
    used.add(entry);
    out.push(...lines(entry.ours));
    i += lines(entry.real).length;
  }
  return out;
}

/** The functions that the ABI table refuses by name (docs/abi-coverage.md). */
export function refusedFunctions(): Set<string> {
  const rows = readFileSync(root('shim/abi/functions.tsv'), 'utf8').split('\n').map((line) => line.split('\t'));
  return new Set(rows.filter((row) => row[4] === 'refused').map((row) => row[1]!));
}

const refused = refusedFunctions();

// A cleanup of what only later releases and refused calls hand out; it has nothing to compare.
function isLaterAndRefused(expected: string[], got: string[]): string | null {
  const name = /^(\w+): not before /.exec(expected[0] ?? '')?.[1] ?? '';
  return expected.length === 1 && got.length === 1 && refused.has(name) && got[0]!.endsWith(' = void') ? name : null;
}

// The function that ended the likeness, where that is one that we refuse by name, with -EOPNOTSUPP.
function refusal(expected: string[], got: string[]): string | null {
  const at = got.findIndex((line, i) => line !== expected[i]);
  const match = /^(?:needed: )?(\w+)\(.*\) = -95 EOPNOTSUPP$/.exec(got[at] ?? '');
  return match !== null && refused.has(match[1]!) ? match[1]! : null;
}

/** Compares, and refuses entries of the list that name lines which are not there or that change nothing. */
export function compare(expected: string[], got: string[], meant: Difference[]): Verdict {
  const used = new Set<Difference>();
  const adjusted = replace(expected, meant, used);
  const unused = meant.find((d) => !used.has(d));
  if (unused !== undefined) return { kind: 'differs', text: `differences.ts names lines that this case does not have: ${lines(unused.real)[0]}` };
  const named = refusal(adjusted, got) ?? isLaterAndRefused(adjusted, got);
  if (named !== null) return { kind: 'refused', text: named };
  if (!same(adjusted, got)) return { kind: 'differs', text: explain(adjusted, got) };
  if (meant.length === 0) return { kind: 'equal', text: '' };
  const stale = meant.find((d) => same(replace(expected, meant.filter((other) => other !== d), new Set()), got));
  if (stale !== undefined) return { kind: 'differs', text: `differences.ts has an entry that changes nothing: ${lines(stale.real)[0]}` };
  return { kind: 'differs on purpose', text: [...new Set(meant.map((d) => d.reason))].join(' ') };
}
