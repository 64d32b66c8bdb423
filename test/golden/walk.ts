// A walk through rbd's commands, line by line (test/data/rbd-walk.txt): each is run in a folder with a file f1, and what it printed is kept.
// By hand, on a fresh real cluster: CEPH_CONF=... node dist/test/golden/walk.js rbd > test/data/rbd-walk.jsonl
import {execFile} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {root} from '../lib/root.js';

export interface Step {
  readonly line: string;
  readonly rc: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The lines of the walk. */
export function walkLines(): string[] {
  return readFileSync(root('test/data/rbd-walk.txt'), 'utf8').split('\n').filter((line) => line !== '');
}

/** Runs every line with `program` for rbd; `each` gets what came of it. */
export async function walk(program: string, environment: Record<string, string>, each: (step: Step) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-walk-'));
  try {
    for (const line of walkLines()) {
      writeFileSync(join(folder, 'f1'), 'a'.repeat(5000));
      rmSync(join(folder, 'out'), {recursive: true, force: true});
      const command = `rm -f out*; ${line.replace(/^((?:[A-Z_]+=\S+ )*)rbd\b/, (_, variables: string) => `${variables}${program}`)}`;
      each(await new Promise<Step>((resolve) => {
        const child = execFile('/bin/sh', ['-c', command], {env: {PATH: '/usr/bin:/bin', ...environment}, cwd: folder}, (error, stdout, stderr) =>
          resolve({line, rc: error ? Number(error.code) : 0, stdout, stderr}));
        child.stdin?.end();
      }));
    }
  } finally {
    rmSync(folder, {recursive: true});
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [program = 'rbd'] = process.argv.slice(2);
  await walk(program, {CEPH_CONF: process.env['CEPH_CONF'] ?? ''}, (step) => process.stdout.write(`${JSON.stringify(step)}\n`));
}
