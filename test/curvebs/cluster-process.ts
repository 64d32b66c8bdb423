// The stand-in in a process of its own.

import { spawn, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../lib/root.js';
import { freePort } from './ports.js';

/** The stand-in as a process, to be killed; it comes back on the same folder and ports. */
export class ClusterProcess {
  private child: ChildProcess | undefined;

  private constructor(readonly folder: string, private readonly environment: NodeJS.ProcessEnv, readonly mds: string, private readonly through: readonly string[]) {}

  /** `through`: a command that runs it, with its own words after it (in another network, for instance). */
  static async start(folder: string, through: readonly string[] = []): Promise<ClusterProcess> {
    const [mds, snapshotClone] = [await freePort(), await freePort()];
    const environment = { ...process.env, CURVEBS_IS_OLD: '1', CURVEBS_MDS_PORT: String(mds), CURVEBS_SNAPSHOT_CLONE_PORT: String(snapshotClone) };
    const made = new ClusterProcess(folder, environment, `127.0.0.1:${mds}`, through);
    await made.begin();
    return made;
  }

  get nebdSocket(): string {
    return join(this.folder, 'nebd.sock');
  }

  /** Whether it runs still: an unaligned request would have ended it. */
  get isAlive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  async begin(): Promise<void> {
    const [command, ...words] = [...this.through, process.execPath, root('dist/test/curvebs/main.js'), this.folder];
    const child = spawn(command!, words, { env: this.environment, stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    for await (const line of createInterface({ input: child.stdout })) if (line === 'ready') return;
    throw new Error('the stand-in ended before it was ready');
  }

  /** Ends it and removes the folder. Throws where it had ended by itself: on a request that takes down a real nebd-server. */
  async destroy(): Promise<void> {
    const hasEnded = !this.isAlive;
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
    if (hasEnded) throw new Error('the CurveBS stand-in ended: a request took it down');
  }

  async kill(): Promise<void> {
    const child = this.child;
    if (child === undefined || !this.isAlive) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  }
}
