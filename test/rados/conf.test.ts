// Options, files and command lines: what librados 16.2.15 answered is recorded; ours must answer the same.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tap from 'tap';
import { root } from '../lib/root.js';
import { runPython } from './python.js';

tap.test('configuration is read, changed and shown as librados does it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-conf-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const recorded = readFileSync(root('test/rados/conf-16.2.15.txt'), 'utf8').split('\n');
  const asked = recorded.flatMap((line) => /^(\w+) is '/.exec(line)?.[1] ?? []);
  const { code, out, err } = await runPython('conf.py', [folder, asked.join(',')]);
  t.equal(code, 0, err);
  t.strictSame(out.split('\n'), recorded);
});
