// Starts Debian's libvirtd on a host of ours, with nothing in its environment, and runs virsh on it.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

import type { Host } from '../lib/host.js';

/** libvirtd insists on the user that QEMU runs as; neither systemd nor a message bus is here, and cgroups are not ours to change. */
const SETUP = `
grep -q libvirt-qemu /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
grep -q libvirt-qemu /etc/group || echo 'libvirt-qemu:x:64055:' >>/etc/group
mkdir -p /etc/libvirt
cat >/etc/libvirt/libvirtd.conf <<EOF
unix_sock_dir = "/node"
auth_unix_rw = "none"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_outputs = "2:file:/node/libvirtd.log"
EOF
cat >/etc/libvirt/qemu.conf <<EOF
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
EOF
`;

export class Libvirtd {
  private constructor(private readonly host: Host, private readonly child: ChildProcess) {}

  static async start(host: Host): Promise<Libvirtd> {
    await host.sh(SETUP);
    const child = host.spawn('/usr/sbin/libvirtd', ['-t', '600'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await Promise.race([
      appears(host.own('libvirt-sock')),
      once(child, 'exit').then(() => { throw new Error(`libvirtd ended: ${said}${readFileSync(host.own('libvirtd.log'), 'utf8')}`); }),
    ]);
    return new Libvirtd(host, child);
  }

  /** Where another libvirtd, and virsh of the same host, finds this one. */
  get uri(): string {
    return `qemu:///system?socket=${this.host.own('libvirt-sock')}`;
  }

  /** What `virsh` printed; rejects with its words where it fails. Words are passed to a shell. */
  async virsh(words: string): Promise<string> {
    return this.host.sh(`virsh -q -c '${this.uri}' ${words}`);
  }

  /** A file with this text; its path, the same inside and outside. */
  file(name: string, text: string): string {
    const path = this.host.own(name);
    writeFileSync(path, text);
    return path;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
  }
}

/** Resolves when there is such a file. */
export async function appears(path: string): Promise<void> {
  const watcher = watch(dirname(path));
  try {
    while (!existsSync(path)) await once(watcher, 'change', { signal: AbortSignal.timeout(60_000) });
  } catch (error) {
    if (!existsSync(path)) throw new Error(`${basename(path)} did not appear: ${String(error)}`);
  } finally {
    watcher.close();
  }
}
