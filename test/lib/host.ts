// A compute node for one test: another root in which our libraries, commands and daemon are where the packages put them, Debian's
// packages of some trees are installed, and clients have Ceph's files and nothing else: no variable names us.

import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { ClusterProcess } from '../curvebs/cluster-process.js';
import type { TestBackend } from './backends.js';
import { OverlayRoot, type OverlayOptions } from './overlay-root.js';
import { root } from './root.js';

/** Which of Debian's packages a tree has, unpacked by tools/debian-tree.sh. */
export const trees = {
  /** The OpenStack drivers of Debian 12 (Zed). */
  openstack: ['python3-glance-store', 'python3-glance', 'python3-cinder', 'python3-nova', 'python3-os-brick'],
  /** Their services, over that: configuration and programs, and the message broker between them. */
  services: ['rabbitmq-server', '--', 'cinder-api', 'cinder-backup', 'cinder-common', 'cinder-scheduler', 'cinder-volume', 'glance-api', 'glance-common'],
  /** What a guest's disk is made of, and with. */
  guest: ['busybox-static', 'isolinux', 'linux-image-cloud-amd64', 'syslinux-common', 'xorriso'],
} as const;
export type TreeName = keyof typeof trees;

/** Unpacks a tree where that was not done before; its folder. */
export function unpackTree(name: TreeName): string {
  execFileSync('bash', [root('tools/debian-tree.sh'), name, ...trees[name]], { stdio: ['ignore', 'ignore', 'inherit'] });
  return root('build/trees', name);
}

export interface User {
  readonly name: string;
  readonly caps: { readonly mon: string; readonly osd: string };
}

export interface HostOptions {
  readonly trees?: readonly TreeName[];
  /** Each as `cbd2rbd pool map` takes it. */
  readonly pools: readonly string[];
  /** Where pools are that say nothing of it: `local` unless said otherwise. For `curvebs` a stand-in is started. */
  readonly backend?: TestBackend;
  /** `own`: a network with nothing but its own loopback. */
  readonly network?: 'own';
  /** Folders of this machine that are the same there. */
  readonly folders?: readonly string[];
  /** Lines for the daemon's configuration. */
  readonly conf?: string;
  readonly users: readonly User[];
}

export class Host {
  private daemon: ChildProcess | undefined;
  private said = '';
  private listening: (() => void)[] = [];
  private peers: Host[] = [];
  /** The CurveBS stand-in behind it. */
  storage: ClusterProcess | undefined;

  private constructor(private readonly overlay: OverlayRoot, private readonly root: OverlayOptions,
    /** Shared by all nodes of a test, and the same path outside. */
    readonly folder: string, private readonly number: number) {}

  static async start(options: HostOptions): Promise<Host> {
    const folder = mkdtempSync(join(tmpdir(), 'cbd-h-'));
    chmodSync(folder, 0o755);
    for (const shared of ['run', 'state', 'ceph']) mkdirSync(join(folder, shared));
    writeFileSync(join(folder, 'ceph/ceph.conf'), '[global]\nmon_host = 127.0.0.1:6789\n');
    const layers = [installed(join(folder, 'ours')), ...(options.trees ?? []).map(unpackTree)];
    // The checkout, too: it may lie where the other root has a folder of its own (/tmp), or on a file system that its base does not show.
    const host = await Host.node(folder, { layers, folders: [root(), folder, ...options.folders ?? []], ownNetwork: options.network === 'own' }, 0);
    if (options.backend === 'curvebs') host.storage = await ClusterProcess.start(join(folder, 'curvebs'), host.overlay.network);
    const { storage } = host;
    const conf = [options.conf ?? '', ...storage ? [`curvebs_mds = ${storage.mds}`, `curvebs_nebd_socket = ${storage.nebdSocket}`, `curvebs_root_password_file = ${join(storage.folder, 'root-password')}`] : []];
    await host.sh(`mkdir -p /etc/cbd2rbd; printf 'default_pools =\n%s\n' '${conf.join('\n')}' >/etc/cbd2rbd/cbd2rbd.conf`);
    host.openStorage();
    await host.startDaemon();
    for (const pool of options.pools) await host.sh(`cbd2rbd pool map ${storage && !pool.includes(' ') ? `${pool} curvebs:/${pool} --owner cinder` : pool}`);
    await host.sh('cbd2rbd user keyring admin --output /etc/ceph/ceph.client.admin.keyring');
    for (const { name, caps } of options.users) {
      await host.sh(`cbd2rbd user add ${name} mon '${caps.mon}' osd '${caps.osd}' --output /etc/ceph/ceph.client.${name}.keyring`);
    }
    return host;
  }

  private static async node(folder: string, root: OverlayOptions, number: number): Promise<Host> {
    const own = join(folder, `node-${number}`);
    mkdirSync(own);
    chmodSync(own, 0o777);
    const overlay = await OverlayRoot.start(root);
    await overlay.sh(`mkdir -p /etc/ceph /var/lib/cbd2rbd /run/cbd2rbd /node
      for pair in run:/run/cbd2rbd state:/var/lib/cbd2rbd ceph:/etc/ceph node-${number}:/node; do mount --bind "${folder}/\${pair%%:*}" "\${pair#*:}"; done`);
    return new Host(overlay, root, folder, number);
  }

  /** Another node that uses the same daemon. It ends with this one. */
  async peer(): Promise<Host> {
    const peer = await Host.node(this.folder, this.root, this.number + this.peers.length + 1);
    this.peers.push(peer);
    return peer;
  }

  /** The path outside of a file in this node's /node, which is its own. */
  own(name: string): string {
    return join(this.folder, `node-${this.number}`, name);
  }

  sh(commandLine: string): Promise<string> {
    return this.overlay.sh(commandLine);
  }

  readonly spawn: OverlayRoot['spawn'] = (...args) => this.overlay.spawn(...args);

  /** Starts the daemon as its unit does, and returns when clients may connect. */
  async startDaemon(): Promise<void> {
    const child = this.overlay.spawn('/usr/bin/cbd2rbd', ['serve'], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.daemon = child;
    child.stderr?.on('data', (text: Buffer) => {
      this.said += text.toString();
      for (const wake of this.listening.splice(0)) wake();
    });
    for await (const line of createInterface({ input: child.stdout! })) {
      if (!line.startsWith('ready')) continue;
      child.stdout?.resume();
      return;
    }
    throw new Error(`the daemon did not start: ${this.said}`);
  }

  /** Ends the daemon without warning. */
  async killDaemon(): Promise<void> {
    const child = this.daemon;
    this.daemon = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** kill -9 of the storage server, which comes back; QEMU, which is another user here, may connect to it. */
  async restartStorage(): Promise<void> {
    await this.storage?.kill();
    await this.storage?.begin();
    this.openStorage();
  }

  private openStorage(): void {
    if (this.storage) chmodSync(this.storage.nebdSocket, 0o666);
  }

  /** What the daemon wrote to its log. */
  get log(): string {
    return this.said;
  }

  /** Whether the daemon's log, from character `from` on, has a line like that, now or within a minute: it comes by another way than answers do. */
  async logs(line: RegExp, from = 0): Promise<boolean> {
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      for (const wake of this.listening.splice(0)) wake();
    }, 60_000);
    while (!isLate && !this.said.slice(from).split('\n').some((each) => line.test(each))) await new Promise<void>((resolve) => { this.listening.push(resolve); });
    clearTimeout(limit);
    return !isLate;
  }

  async stop(): Promise<void> {
    for (const peer of this.peers) await peer.overlay.stop();
    await this.killDaemon();
    await this.overlay.stop();
    await this.storage?.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Makes a layer with what our packages install, in a new folder. Files are copied: clients that are not root need not be able to enter the checkout. */
function installed(layer: string): string {
  const multiarch = execFileSync('dpkg-architecture', ['-qDEB_HOST_MULTIARCH'], { encoding: 'utf8' }).trim();
  const libraries = join(layer, 'usr/lib', multiarch);
  const programs = join(layer, 'usr/bin');
  for (const folder of [libraries, programs]) mkdirSync(folder, { recursive: true });
  for (const name of ['librbd.so.1', 'librados.so.2']) copyFileSync(root('build/lib', name), join(libraries, name));
  for (const name of ['ceph', 'rbd']) copyFileSync(root('build/bin/hooks', name), join(programs, name));
  writeFileSync(join(programs, 'cbd2rbd'), `#!/bin/sh\nexec ${process.execPath} ${root('dist/src/cli/cbd2rbd.js')} "$@"\n`, { mode: 0o755 });
  return layer;
}
