// Starts and ends the daemons of a test cluster and runs Ceph's command-line tools for it.
// Knows processes, not what they are for.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { openSync, closeSync, readFileSync, writeFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** The environment for anything that talks to the cluster of `conf`. */
export function cephEnv(conf: string): NodeJS.ProcessEnv {
  return { ...process.env, CEPH_CONF: conf, CEPH_ARGS: '', LD_PRELOAD: '', LD_LIBRARY_PATH: '' };
}

/** What ends together with its starter: `bound` daemons are killed by the kernel when this process dies, `free` ones live on. */
export type Lifetime = 'bound' | 'free';

/** Starts a daemon in the foreground form of `argv` with its output in log/NAME.out and its pid in run/NAME.pid. */
export function launch(dir: string, name: string, argv: string[], lifetime: Lifetime): ChildProcess {
  const out = openSync(join(dir, 'log', `${name}.out`), 'a');
  const command = lifetime === 'bound' ? ['setpriv', '--pdeathsig', 'KILL', ...argv] : argv;
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', out, out], env: cephEnv(join(dir, 'ceph.conf')), detached: true,
  });
  closeSync(out);
  child.unref();
  if (child.pid === undefined) throw new Error(`cannot start ${argv[0]}: is it installed?`);
  writeFileSync(join(dir, 'run', `${name}.pid`), `${child.pid}\n`);
  return child;
}

/** The pid of a daemon of this cluster that is still running. A pid that went to another process does not count. */
export function runningPid(dir: string, name: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(dir, 'run', `${name}.pid`), 'utf8'));
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return line.includes(join(dir, 'ceph.conf')) ? pid : undefined;
  } catch {
    return undefined;
  }
}

async function gone(pid: number, timeoutMs: number): Promise<boolean> {
  for (let waited = 0; waited <= timeoutMs; waited += 20) {
    try {
      if (/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return true;
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

/** Ends one daemon: with SIGKILL at once, with SIGTERM after up to 20 s of patience. */
export async function end(dir: string, name: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const pid = runningPid(dir, name);
  if (pid !== undefined) {
    process.kill(pid, signal);
    if (!await gone(pid, 20_000)) {
      process.kill(pid, 'SIGKILL');
      await gone(pid, 20_000);
    }
  }
  rmSync(join(dir, 'run', `${name}.pid`), { force: true });
}

/** Runs a program of Ceph's to its end; throws with its own words where it fails. */
export function run(conf: string, argv: string[], options: { input?: string; timeoutMs?: number } = {}): string {
  const done = spawnSync(argv[0]!, argv.slice(1), {
    env: cephEnv(conf), encoding: 'utf8', input: options.input ?? '', timeout: options.timeoutMs ?? 120_000,
  });
  if (done.status !== 0) {
    throw new Error(`${argv.join(' ')}: ${done.error?.message ?? done.stderr.trim()} (exit ${done.status ?? done.signal})`);
  }
  return done.stdout;
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The first of `count` consecutive free TCP ports of 127.0.0.1. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = 20_000 + Math.floor(Math.random() * (12_000 / count)) * count;
    let free = true;
    for (let port = first; free && port < first + count; port++) free = await canListen(port);
    if (free) return first;
  }
  throw new Error(`found no ${count} free ports between 20000 and 32000`);
}
