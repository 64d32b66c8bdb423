// Starts a libvirtd of our own below a temporary folder, with our libraries in its environment, and runs virsh on it.
// The user libvirt-qemu, which its QEMU driver insists on, exists only in libvirtd's own mount namespace.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, watch, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class Libvirtd {
  private constructor(private readonly folder: string, private readonly child: ChildProcess) {}

  /** @param environment what libvirtd gets on top of ours: where our libraries and the daemon's socket are */
  static async start(environment: Record<string, string>): Promise<Libvirtd> {
    const folder = mkdtempSync(join(tmpdir(), 'cbd-lv-'));
    writeFileSync(join(folder, 'libvirtd.conf'), `unix_sock_dir = "${folder}"\nauth_unix_rw = "none"\n`);
    for (const [file, line] of [['passwd', 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin'], ['group', 'libvirt-qemu:x:64055:']] as const) {
      writeFileSync(join(folder, file), `${readFileSync(join('/etc', file), 'utf8').trimEnd()}\n${line}\n`);
    }
    const script = `for f in passwd group; do mount --bind "$0/$f" "/etc/$f"; done; exec libvirtd -f "$0/libvirtd.conf" -p "$0/pid" -t 60`;
    const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-ec', script, folder],
      { env: { ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await Promise.race([
      appears(folder, 'libvirt-sock'),
      once(child, 'exit').then(() => { throw new Error(`libvirtd ended: ${said}`); }),
    ]);
    return new Libvirtd(folder, child);
  }

  /** What `virsh` printed; rejects with its exit code and words where it fails. */
  async virsh(...args: string[]): Promise<string> {
    const { stdout } = await run('virsh', ['-q', '-c', `storage:///system?socket=${join(this.folder, 'libvirt-sock')}`, ...args]);
    return stdout.trim();
  }

  /** A file with this text below libvirtd's folder; its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  async stop(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Resolves when the folder holds a file of that name. */
async function appears(folder: string, name: string): Promise<void> {
  const watcher = watch(folder);
  try {
    while (!existsSync(join(folder, name))) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}
