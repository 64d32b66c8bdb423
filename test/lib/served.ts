// A daemon as a user runs it: `cbd2rbd --dir FOLDER serve` in a process of its own, in a temporary folder. Its pool "rbd" is on local
// files, or on a CurveBS stand-in that runs in a process of its own, too.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ClusterProcess } from '../curvebs/cluster-process.js';
import type { TestBackend } from './backends.js';
import { root } from './root.js';

/** Where the built librbd.so.1 and librados.so.2 are. */
export const libraryDir = root('build', 'lib');

export class Served {
  private process: ChildProcess | null = null;
  private log = '';

  constructor(readonly dir: string, private readonly environment: Record<string, string>, readonly curvebs?: ClusterProcess) {}

  get conf(): string {
    return join(this.dir, 'ceph.conf');
  }

  get pid(): number {
    return this.process!.pid!;
  }

  /** The environment in which an unmodified client finds our libraries and this daemon. */
  get clientEnv(): NodeJS.ProcessEnv {
    return { ...process.env, CEPH_CONF: this.conf, CEPH_ARGS: '', LD_LIBRARY_PATH: libraryDir };
  }

  /** Starts the daemon, with more in its environment this time, and returns when clients may connect. */
  async start(also: Record<string, string> = {}): Promise<void> {
    const child = spawn(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', this.dir, 'serve'], {
      stdio: ['ignore', 'pipe', 'pipe'], env: { ...this.daemonEnv, ...also },
    });
    this.process = child;
    child.stderr.on('data', (text: Buffer) => {
      this.log = (this.log + text.toString()).slice(-20_000);
    });
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('ready')) {
        child.stdout.resume();
        return;
      }
    }
    throw new Error(`the daemon did not start: ${this.log}`);
  }

  /** Whether the process has ended, by itself or not. */
  get hasEnded(): boolean {
    return this.process === null || this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Ends the process without warning. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Ends the process in order; the folder stays. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.process;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Runs `cbd2rbd` beside the daemon. Throws with what it said where it does not end in 0. */
  async command(...args: string[]): Promise<string> {
    const child = spawn(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', this.dir, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: this.daemonEnv });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text: Buffer) => { stdout += text.toString(); });
    child.stderr.on('data', (text: Buffer) => { stderr += text.toString(); });
    const [code] = await once(child, 'close') as [number | null];
    if (code !== 0) throw new Error(`cbd2rbd ${args.join(' ')} ended in ${code}: ${stderr}`);
    return stdout;
  }

  private get daemonEnv(): NodeJS.ProcessEnv {
    return { ...process.env, CBD2RBD_TRUST_OWN_UID: 'true', ...this.environment };
  }

  /** Ends the processes and removes the folder. */
  async destroy(): Promise<void> {
    await this.end('SIGKILL');
    await this.curvebs?.destroy();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** What the daemon logged last. */
  get lastLog(): string {
    return this.log;
  }
}

/** Starts a daemon in a new folder below `parent`; `environment` as CBD2RBD_* variables. */
export async function serve(environment: Record<string, string> = {}, backend: TestBackend = 'local', parent = '/tmp'): Promise<Served> {
  const dir = mkdtempSync(join(parent, 'cbd-s-'));
  if (backend === 'local') {
    const served = new Served(dir, environment);
    await served.start();
    return served;
  }
  const curvebs = await ClusterProcess.start(join(dir, 'curvebs'));
  const settings = { CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CURVEBS_MDS: curvebs.mds, CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket };
  const served = new Served(dir, { ...settings, ...environment }, curvebs);
  await served.start();
  await served.command('pool', 'map', 'rbd', 'curvebs:/rbd', '--owner', 'cinder');
  return served;
}
