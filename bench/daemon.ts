// Starts a daemon of our own in a temporary folder for a measurement, and stops it. The folder goes with it.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const CLI = resolve('dist/src/cli/cbd2rbd.js');

export class BenchDaemon {
  private constructor(readonly folder: string, private readonly child: ChildProcess) {}

  /**
   * @param parent the folder below which the daemon's own is made: the disk that is measured
   * @returns when clients can connect
   * @throws Error when the daemon ends before that
   */
  static async start(parent: string): Promise<BenchDaemon> {
    const folder = mkdtempSync(join(parent, 'cbd2rbd-bench-'));
    const child = spawn(process.execPath, [CLI, '--dir', folder, 'serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('ready')) return new BenchDaemon(folder, child);
    }
    throw new Error('the daemon ended before it was ready');
  }

  /** What a client's environment needs on top of ours. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, CEPH_CONF: join(this.folder, 'ceph.conf'), LD_LIBRARY_PATH: resolve('build/lib') };
  }

  /** Runs Debian's python3 with our libraries; returns what it printed. `rbd`, `rados`, `time` are imported and `pool` is open. */
  python(script: string): string {
    const prelude = "import rados, rbd, time, sys\ncluster = rados.Rados(conffile='')\ncluster.connect()\npool = cluster.open_ioctx('rbd')\n";
    const result = spawnSync('/usr/bin/python3', ['-c', prelude + script], { encoding: 'utf8', env: this.environment });
    if (result.status !== 0) throw new Error(`python3: ${result.stderr}`);
    return result.stdout;
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGTERM');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
