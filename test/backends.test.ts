// Every test program runs on local files and on CurveBS, or docs/testing.md says to what it is tied, and why.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { root } from './lib/root.js';

interface Row {
  readonly name: string;
  readonly on: string;
  readonly because: string;
}

const page = readFileSync(root('docs/testing.md'), 'utf8');
const rows: Row[] = [...page.matchAll(/^\| `([^`]+)` \| (.*?) \| (.*) \|$/gm)].map(([, name = '', on = '', because = '']) => ({ name, on, because }));

const covers = (row: Row, name: string): boolean => row.name === name || (row.name.endsWith('/') && name.startsWith(row.name))
  || (row.name.endsWith('*') && name.startsWith(row.name.slice(0, -1)));

/** Whether the program, or a file of its own folder that it is made of, goes through the list of backends. */
function usesBoth(file: string, seen = new Set<string>()): boolean {
  if (seen.has(file) || !existsSync(root(file))) return false;
  seen.add(file);
  const text = readFileSync(root(file), 'utf8');
  if (/^import \{[^}]*\bbackends\b[^}]*\} from '[./]*lib\/backends\.js'/m.test(text) && /\bof backends\b/.test(text)) return true;
  return [...text.matchAll(/ from '(\.\/[^']+)\.js'/g)].some(([, name]) => usesBoth(join(dirname(file), `${name}.ts`), seen));
}

const scripts = readdirSync(root('test'), { recursive: true, encoding: 'utf8' }).filter((file) => /\.(test|long)\.ts$/.test(file)).map((file) => join('test', file)).sort();

/** The native programs, and whether they start a daemon on either backend. */
const natives = readdirSync(root('test/native'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('/CMakeLists.txt')).flatMap((file) => {
  const folder = join('test/native', dirname(file));
  const tests = readFileSync(root('test/native', file), 'utf8').matchAll(/^cbd_native_test\((\w+) SOURCES ([^)]*?) LIBS/gm);
  return [...tests].map(([, name = '', sources = '']) => {
    const text = sources.split(/\s+/).map((source) => readFileSync(root(folder, source), 'utf8')).join('');
    return { name: `native_${name}`, isOnBoth: /\bServed served\(backend\)/.test(text) && text.includes('"local"') && text.includes('"curvebs"') };
  });
});

const programs = [...scripts.map((name) => ({ name, isOnBoth: usesBoth(name) })), ...natives];

t.test('every program runs on both backends, or the page says why not', async (t) => {
  t.ok(scripts.length > 100 && natives.length > 20, 'programs are found', { scripts: scripts.length, natives: natives.length });
  for (const { name, isOnBoth } of programs) {
    const row = rows.find((each) => covers(each, name));
    if (isOnBoth) t.notOk(row !== undefined && row.name === name, `${name} runs on both: its row is out of date`);
    else t.ok(row, `${name} runs on both, or is in docs/testing.md`);
  }
});

t.test('every row is about a program that is there, and names others that are', async (t) => {
  t.ok(rows.length > 30);
  for (const { name, on, because } of rows) {
    t.ok(programs.some((program) => !program.isOnBoth && covers({ name, on, because }, program.name)), `${name} is a program that does not run on both`);
    t.match(on, /^(none|local|curvebs|ceph)$/, name);
    t.ok(because.length > 5, name);
    for (const [, other = ''] of because.matchAll(/`((?:test\/|native_)[^`]+)`/g)) t.ok(programs.some((program) => program.name === other), `${name}: there is ${other}`);
  }
});
