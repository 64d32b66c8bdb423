// Another root to install packages in: this machine's files with a memory layer over them, in a mount namespace of its own.
// Nothing that happens there reaches the machine, and all of it is gone with stop().

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SETUP = `
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
mount --bind /dev "$0/root/dev"
mount -t tmpfs none "$0/root/tmp"
mount -t tmpfs none "$0/root/run"
cp "$@" "$0/root/tmp/"
echo up
exec cat
`;

export class OverlayRoot {
  private constructor(private readonly folder: string, private readonly holder: ChildProcess) {}

  /** @param files of this machine that are copied to the other root's /tmp */
  static async start(files: readonly string[]): Promise<OverlayRoot> {
    const folder = mkdtempSync(join(tmpdir(), 'cbd-root-'));
    const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-ec', SETUP, folder, ...files], { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    holder.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => { throw new Error(`the other root could not be made: ${said}`); }),
    ]);
    return new OverlayRoot(folder, holder);
  }

  /** Runs a shell command line there; what it printed on both streams. Rejects where it fails. */
  async sh(commandLine: string): Promise<string> {
    const inside = ['chroot', join(this.folder, 'root'), 'sh', '-ec', `exec 2>&1; cd /tmp; ${commandLine}`];
    const environment = { PATH: process.env['PATH'], LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const { stdout } = await run('nsenter', ['--target', String(this.holder.pid), '--mount', ...inside], { env: environment, maxBuffer: 16 << 20 });
    return stdout.trim();
  }

  async stop(): Promise<void> {
    const ended = once(this.holder, 'exit');
    this.holder.stdin?.end();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
