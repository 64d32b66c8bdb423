// A daemon of our own in a temporary folder for a measurement, and a client beside it. The folder goes with it.

import { spawnSync } from 'node:child_process';
import type { TestBackend } from '../test/lib/backends.js';
import { serve, type Served } from '../test/lib/served.js';

export class BenchDaemon {
  private constructor(private readonly served: Served) {}

  /**
   * @param parent the folder below which the daemon's own is made: the disk that is measured
   * @param backend what the pool "rbd" lies on: local files, or a CurveBS stand-in in a process of its own
   * @returns when clients can connect
   * @throws Error when the daemon ends before that
   */
  static async start(parent: string, backend: TestBackend = 'local'): Promise<BenchDaemon> {
    return new BenchDaemon(await serve({}, backend, parent));
  }

  get folder(): string {
    return this.served.dir;
  }

  /** What a client's environment needs on top of ours. */
  get environment(): NodeJS.ProcessEnv {
    return this.served.clientEnv;
  }

  /** Runs Debian's python3 with our libraries; returns what it printed. `rbd`, `rados`, `time` are imported and `pool` is open. */
  python(script: string): string {
    const prelude = "import rados, rbd, time, sys\ncluster = rados.Rados(conffile='')\ncluster.connect()\npool = cluster.open_ioctx('rbd')\n";
    const result = spawnSync('/usr/bin/python3', ['-c', prelude + script], { encoding: 'utf8', env: this.environment });
    if (result.status !== 0) throw new Error(`python3: ${result.stderr}`);
    return result.stdout;
  }

  async stop(): Promise<void> {
    await this.served.destroy();
  }
}
