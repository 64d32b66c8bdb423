// Runs an unmodified client program against a served daemon, with our libraries in place of the real ones.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Served } from './served.js';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface ClientOptions {
  input?: string;
  /** Killed after this long; a test that gets there has failed. */
  timeoutMs?: number;
  env?: NodeJS.ProcessEnv;
}

/** Starts `command` in the clients' environment and returns when it has ended. */
export async function runClient(served: Served, command: string, args: string[], options: ClientOptions = {}): Promise<Ended> {
  const child = spawn(command, args, { env: { ...served.clientEnv, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => { stdout += text.toString(); });
  child.stderr.on('data', (text: Buffer) => { stderr += text.toString(); });
  child.stdin.on('error', () => { /* it ended without reading */ });
  child.stdin.end(options.input ?? '');
  const [code] = await once(child, 'close') as [number | null];
  clearTimeout(timer);
  return { code, stdout, stderr };
}

/** The same, and throws with what it wrote where it does not end in 0. Returns its standard output. */
export async function mustRun(served: Served, command: string, args: string[], options: ClientOptions = {}): Promise<string> {
  const ended = await runClient(served, command, args, options);
  if (ended.code !== 0) throw new Error(`${command} ${args.join(' ')} ended in ${ended.code ?? 'a signal'}:\n${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

const PREAMBLE = `
import errno, json, os, sys
import rados, rbd
cluster = rados.Rados(conffile=os.environ['CEPH_CONF'])
cluster.connect()
io = cluster.open_ioctx('rbd')
R = rbd.RBD()
def code(call, *args, **kw):
    try:
        call(*args, **kw)
        return 0
    except rbd.Error as e:
        return -e.errno
def show(value):
    print(json.dumps(value), flush=True)
`;

/** The interpreter that Debian's python3-rbd belongs to. */
export const PYTHON = '/usr/bin/python3';

/** Python text with \`cluster\`, \`io\` (pool rbd), \`R\` (rbd.RBD()), \`code(call, ...)\` (0 or -errno) and \`show(value)\` ready. */
export function pythonText(body: string): string {
  return PREAMBLE + body;
}

/** Runs such a text and returns what it showed, in order. */
export async function python(served: Served, body: string, options: ClientOptions = {}): Promise<unknown[]> {
  const output = await mustRun(served, PYTHON, ['-c', pythonText(body)], options);
  return output.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown);
}
