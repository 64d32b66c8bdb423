// Another root for a test: this machine's files, or another Debian's, with trees of other files and a memory layer over them, in a mount namespace
// of its own. Nothing that happens there reaches the machine, and all of it is gone with stop(). It knows nothing of what runs there.

import { execFile, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SETUP = `
ip link set lo up
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$0/upper,workdir=$0/work" "$0/root"
# Layers are laid over each folder of the root by itself: the kernel takes none that lies below another.
for folder in $(for layer in $LAYERS; do ls "$layer"; done | sort -u); do
  lower=
  for layer in $LAYERS; do if [ -d "$layer/$folder" ]; then lower=$lower$layer/$folder:; fi; done
  mkdir -p "$0/over/$folder/upper" "$0/over/$folder/work" "$0/root/$folder"
  if [ -d "$BASE/$folder" ]; then lower=$lower$BASE/$folder; else lower=\${lower%:}; fi
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$0/over/$folder/upper,workdir=$0/over/$folder/work" "$0/root/$folder"
done
mount -t proc proc "$0/root/proc"
mount --rbind /sys "$0/root/sys"
mount --rbind /dev "$0/root/dev"
mount -t tmpfs none "$0/root/tmp"
mount -t tmpfs none "$0/root/run"
for folder in $FOLDERS; do mkdir -p "$0/root$folder"; mount --bind "$folder" "$0/root$folder"; done
[ $# = 0 ] || cp "$@" "$0/root/tmp/"
echo up
exec cat
`;

/** What programs there see of the environment of whoever started them: nothing. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/root', DEBIAN_FRONTEND: 'noninteractive' };

export interface OverlayOptions {
  /** Files of this machine that are copied to the other root's /tmp. */
  readonly files?: readonly string[];
  /** The root below everything, where it is not this machine's. */
  readonly base?: string;
  /** Folders that are laid over that root, the topmost first. */
  readonly layers?: readonly string[];
  /** Folders of this machine that are the same there, below the same path. */
  readonly folders?: readonly string[];
  /** Whether it has a network of its own, with nothing but a loopback. */
  readonly ownNetwork?: boolean;
}

export class OverlayRoot {
  private constructor(private readonly folder: string, private readonly holder: ChildProcess) {}

  static async start(options: OverlayOptions): Promise<OverlayRoot> {
    const folder = mkdtempSync(join(tmpdir(), 'cbd-root-'));
    const holder = spawn('unshare', ['--mount', '--propagation', 'private', ...options.ownNetwork ? ['--net'] : [], 'sh', '-ec', SETUP, folder, ...options.files ?? []], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, BASE: options.base ?? '/', LAYERS: (options.layers ?? []).join(' '), FOLDERS: (options.folders ?? []).join(' ') },
    });
    let said = '';
    holder.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => { throw new Error(`the other root could not be made: ${said}`); }),
    ]);
    return new OverlayRoot(folder, holder);
  }

  /** What runs a command of this machine, put after it, in the other root's network. */
  get network(): readonly string[] {
    return ['nsenter', '--target', String(this.holder.pid), '--net'];
  }

  private inside(command: readonly string[]): string[] {
    return ['--target', String(this.holder.pid), '--mount', '--net', 'chroot', join(this.folder, 'root'), ...command];
  }

  /** Starts a program there, with nothing in its environment but the usual and `environment`. The process is the program itself. */
  spawn(command: string, args: readonly string[], options: { environment?: NodeJS.ProcessEnv; stdio?: StdioOptions } = {}): ChildProcess {
    return spawn('nsenter', this.inside([command, ...args]), { env: { ...ENVIRONMENT, ...options.environment }, stdio: options.stdio ?? 'pipe' });
  }

  /** Runs a shell command line there; what it printed on both streams. Rejects with that where it fails. */
  async sh(commandLine: string): Promise<string> {
    try {
      const { stdout } = await run('nsenter', this.inside(['sh', '-ec', `exec 2>&1; cd /tmp; ${commandLine}`]), { env: ENVIRONMENT, maxBuffer: 16 << 20 });
      return stdout.trim();
    } catch (error) {
      const { code, stdout } = error as { code?: number; stdout?: string };
      throw new Error(`${commandLine}: ended in ${code ?? 'a signal'}: ${stdout ?? String(error)}`);
    }
  }

  /** Copies files of this machine into a folder there. */
  async copy(files: readonly string[], folder: string): Promise<void> {
    await run('nsenter', ['--target', String(this.holder.pid), '--mount', 'cp', ...files, join(this.folder, 'root', folder)]);
  }

  /** The processes of this mount namespace, but for the one that holds it. */
  private inhabitants(): number[] {
    const namespaceOf = (pid: number): string | undefined => {
      try {
        return readlinkSync(`/proc/${pid}/ns/mnt`);
      } catch {
        return undefined; // it has ended
      }
    };
    const here = namespaceOf(this.holder.pid ?? 0);
    // Never this machine's own, whatever became of the holder.
    if (here === undefined || here === namespaceOf(process.pid) || here === namespaceOf(1)) return [];
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
    return pids.filter((pid) => pid !== this.holder.pid && namespaceOf(pid) === here);
  }

  /** Ends whatever runs there still, daemons that left their parents too, and takes it all away. */
  async stop(): Promise<void> {
    for (const pid of this.inhabitants()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    const ended = once(this.holder, 'exit');
    this.holder.stdin?.end();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
