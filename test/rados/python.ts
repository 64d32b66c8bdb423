// Runs a script of this folder with Debian's python3-rados on the libraries that were built.
import { spawn } from 'node:child_process';
import { root } from '../lib/root.js';

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Ends with the script; `environment` comes on top of a clean one. */
export function runPython(script: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const env = { PATH: process.env['PATH'] ?? '', LD_LIBRARY_PATH: root('build/lib'), ...environment };
  const child = spawn('/usr/bin/python3', [root('test/rados', script), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '', err = '';
  child.stdout.on('data', (part: Buffer) => { out += part.toString(); });
  child.stderr.on('data', (part: Buffer) => { err += part.toString(); });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}
