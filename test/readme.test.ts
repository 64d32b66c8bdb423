// The README is true: the commands that it names are there, all of them are named, and each page is linked and is there.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import t from 'tap';
import { root } from './lib/root.js';

const readme = readFileSync(root('README.md'), 'utf8');
const { scripts } = JSON.parse(readFileSync(root('package.json'), 'utf8')) as { scripts: Record<string, string> };

t.test('it names each command of package.json, and no other', async (t) => {
  const named = [...readme.matchAll(/(?:`|^ {4})npm (?:run )?([a-z][a-z:]*)/gm)].map(([, name = '']) => name);
  t.strictSame([...new Set(named)].sort(), Object.keys(scripts).sort());
});

t.test('what a command runs is there', async (t) => {
  for (const [name, line] of Object.entries(scripts)) {
    const [program, script = '', built] = line.split(' ');
    t.equal(program, 'bash', name);
    t.ok(existsSync(root(script)), `${name}: ${script}`);
    if (built?.startsWith('dist/') === true) t.ok(existsSync(root(built)), `${name}: ${built}`);
  }
});

t.test('it links to each page of docs/, and to no other', async (t) => {
  const linked = [...readme.matchAll(/\]\((docs\/[^)]+)\)/g)].map(([, path]) => path);
  t.strictSame(linked.sort(), readdirSync(root('docs')).map((name) => `docs/${name}`).sort());
});
