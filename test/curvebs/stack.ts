// For tests: the whole of cbd2rbd over the stand-in: a daemon with a pool "rbd" on CurveBS, and what a stock client needs to reach it.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { startTestDaemonIn, type TestDaemon } from '../lib/daemon.js';
import { Cluster, DEFAULT_ROOT_PASSWORD } from './cluster.js';

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs beside this process. */
export interface Running {
  readonly ended: Promise<Finished>;
  signal(signal: NodeJS.Signals): void;
}

/** Runs a program to its end, with this process's event loop free. */
export async function run(environment: NodeJS.ProcessEnv, program: string, ...args: string[]): Promise<Finished> {
  return launch(environment, program, ...args).ended;
}

export function launch(environment: NodeJS.ProcessEnv, program: string, ...args: string[]): Running {
  const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Finished>((done, fail) => child.once('error', fail).once('close', (code: number | null) => done({ code, stdout, stderr })));
  return { ended, signal: (signal) => void child.kill(signal) };
}

/** The daemon as a process, to be killed; pool "rbd" is CurveBS's directory /rbd. */
export class DaemonProcess {
  private child: ChildProcess | undefined;

  private constructor(readonly folder: string, private readonly settings: NodeJS.ProcessEnv) {}

  static async start(curvebs: { mdsAddresses: readonly string[]; nebdSocket: string }): Promise<DaemonProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'cbd-d-'));
    const made = new DaemonProcess(folder, {
      ...process.env, CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CURVEBS_MDS: curvebs.mdsAddresses.join(','), CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket,
    });
    await made.begin();
    const mapped = await run(made.settings, process.execPath, CLI, '--dir', folder, 'pool', 'map', 'rbd', 'curvebs:/rbd', '--owner', 'cinder');
    if (mapped.code !== 0) throw new Error(mapped.stderr);
    return made;
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, CEPH_CONF: join(this.folder, 'ceph.conf'), LD_LIBRARY_PATH: resolve('build/lib') };
  }

  async begin(): Promise<void> {
    const child = spawn(process.execPath, [CLI, '--dir', this.folder, 'serve'], { env: this.settings, stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    for await (const line of createInterface({ input: child.stdout })) if (line.includes('ready')) return;
    throw new Error('the daemon ended before it was ready');
  }

  async kill(): Promise<void> {
    const child = this.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const CLI = resolve('dist/src/cli/cbd2rbd.js');

export interface Stack {
  readonly folder: string;
  readonly daemon: TestDaemon;
  /** The configuration that clients read. */
  readonly conf: string;
  /** For clients: our libraries, our daemon. */
  readonly environment: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

/** A daemon on a stand-in that runs already. Its pool "rbd", and each of `pools`, is CurveBS's directory of that name. */
export async function startStack(
  curvebs: { mdsAddresses: readonly string[]; nebdSocket: string }, pools: readonly string[] = [], settings: Record<string, string> = {},
): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-c-'));
  const password = join(folder, 'root-password');
  writeFileSync(password, DEFAULT_ROOT_PASSWORD);
  const daemon = await startTestDaemonIn(join(folder, 'daemon'), {
    CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CURVEBS_MDS: curvebs.mdsAddresses.join(','), CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket,
    CBD2RBD_CURVEBS_ROOT_PASSWORD_FILE: password, CBD2RBD_REQUEST_TIMEOUT: '10s', ...settings,
  });
  const admin = await daemon.client();
  for (const name of ['rbd', ...pools]) await admin.call('admin.pool.map', { name, backend: 'curvebs', dir: `/${name}`, owner: 'cinder' });
  admin.close();
  const conf = join(folder, 'ceph.conf');
  writeFileSync(conf, `[global]\nfsid = ${daemon.daemon.fsid}\ncbd2rbd_socket = ${daemon.socket}\nmon_host = 127.0.0.1\n`);
  return {
    folder, daemon, conf,
    environment: { ...process.env, CEPH_CONF: conf, LD_LIBRARY_PATH: resolve('build/lib') },
    async stop() {
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Both, in this process. */
export async function startAll(
  { pools = [], settings = {}, ...options }: { blockSize?: number; capacity?: number; variablesAfterMs?: number; pools?: readonly string[]; settings?: Record<string, string> } = {},
): Promise<{ cluster: Cluster; stack: Stack; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const cluster = new Cluster({ folder, ...options });
  await cluster.start();
  const stack = await startStack(cluster, pools, { CBD2RBD_CURVEBS_SNAPSHOTCLONE: cluster.snapshotClone.address, ...settings });
  return {
    cluster, stack,
    async stop() {
      await stack.stop();
      await cluster.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
