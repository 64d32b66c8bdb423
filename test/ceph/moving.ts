// What the tests of `cbd2rbd image move` stand on: a real Ceph behind the pool `far`, CurveBS's stand-in behind `cbs`, local files behind
// `near`, and a mover that they can watch and kill.
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {ClusterProcess} from '../curvebs/cluster-process.js';
import {root} from '../lib/root.js';
import {serve, type Served} from '../lib/served.js';
import {mustRun, PYTHON} from '../lib/stock-client.js';
import {startCeph, type Ceph} from './cluster.js';

export interface Ended {
  readonly code: number|null;
  readonly stdout: string;
  readonly stderr: string;
}

const script = root('test/ceph/move.py');

export class Moving {
  private constructor(
      readonly ceph: Ceph, readonly daemon: Served, private readonly curvebs: ClusterProcess, private readonly folder: string,
      readonly copies: string) {}

  static async start(): Promise<Moving> {
    const copies = root('build/ceph-libraries');
    copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
    const folder = mkdtempSync(join(tmpdir(), 'cbd-move-'));
    const [ceph, curvebs] = await Promise.all([startCeph({pools: ['behind']}), ClusterProcess.start(folder)]);
    // A killed client's watch stays this long (30 s by default; a living one renews it every 5 s).
    ceph.run('ceph', 'config', 'set', 'osd', 'osd_client_watch_timeout', '12');
    const daemon = await serve({CBD2RBD_DEFAULT_POOLS: 'near', CBD2RBD_CURVEBS_MDS: curvebs.mds, CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket});
    const moving = new Moving(ceph, daemon, curvebs, folder, copies);
    for (const words of [['far', 'ceph:behind', '--conf', ceph.conf], ['cbs', 'curvebs:/rbd', '--owner', 'cinder']]) {
      const mapped = await moving.cbd2rbd(['pool', 'map', ...words]);
      if (mapped.code !== 0) throw new Error(mapped.stderr);
    }
    return moving;
  }

  async end(): Promise<void> {
    await Promise.all([this.ceph.destroy(), this.daemon.destroy(), this.curvebs.kill()]);
    rmSync(this.folder, {recursive: true, force: true});
  }

  get clientEnv(): NodeJS.ProcessEnv {
    return {...this.daemon.clientEnv, CBD2RBD_CEPH_LIBS: this.copies};
  }

  /** Runs a command of move.py. */
  python(...words: string[]): Promise<string> {
    return mustRun(this.daemon, PYTHON, [script, ...words], {env: {CBD2RBD_CEPH_LIBS: this.copies}});
  }

  async digest(image: string): Promise<unknown> {
    return JSON.parse(await this.python('digest', ...image.split('/')));
  }

  async names(pool: string): Promise<unknown> {
    return JSON.parse(await this.python('names', pool));
  }

  async make(image: string, mib: number): Promise<unknown> {
    await this.python('make', ...image.split('/'), String(mib));
    return this.digest(image);
  }

  /** Puts whoever has the image of the real cluster's pool open on that cluster's blocklist, which would else wait for a dead one. */
  shutOutOf(name: string): void {
    if (!this.ceph.run('rbd', 'ls', 'behind').split('\n').includes(name)) return;
    const {watchers} = JSON.parse(this.ceph.run('rbd', 'status', `behind/${name}`, '--format', 'json')) as {watchers: {address: string}[]};
    for (const {address} of watchers) this.ceph.run('ceph', 'osd', 'blocklist', 'add', address, '60');
  }

  /** Holds an image open until the function that this returns is called. */
  async hold(pool: string, name: string): Promise<() => Promise<void>> {
    const holder = spawn(PYTHON, [script, 'hold', pool, name], {env: this.clientEnv, stdio: ['pipe', 'pipe', 'inherit']});
    await once(holder.stdout, 'data');
    return async () => {
      holder.stdin.end();
      await once(holder, 'close');
    };
  }

  /** Overwrites, behind the daemon's back, the block of a local volume that holds these bytes (hexadecimal) at offset 4096. */
  spoil(bytes: string): void {
    const wanted = Buffer.from(bytes.trim(), 'hex');
    const volumes = join(this.daemon.dir, 'volumes');
    const found = readdirSync(volumes, {recursive: true, encoding: 'utf8'}).map((name) => join(volumes, name)).filter((file) => {
      const there = Buffer.alloc(wanted.length);
      if (!statSync(file).isFile()) return false;
      const fd = openSync(file, 'r+');
      const isIt = readSync(fd, there, 0, there.length, 4096) === wanted.length && there.equals(wanted);
      if (isIt) writeSync(fd, 'spoiled', 4096 + 1000);
      closeSync(fd);
      return isIt;
    });
    if (found.length !== 1) throw new Error(`${found.length} volumes hold those bytes`);
  }

  /** Runs `cbd2rbd` in a process group of its own; `seen` is called with all of standard error whenever it grows. */
  async cbd2rbd(words: readonly string[], seen: (stderr: string, child: ChildProcess) => void = () => undefined,
                environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const child = spawn(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', this.daemon.dir, ...words],
                        {env: {...this.clientEnv, ...environment}, detached: true, stdio: ['ignore', 'pipe', 'pipe']});
    const output = {stdout: '', stderr: ''};
    child.stdout.on('data', (text: Buffer) => output.stdout += text.toString());
    child.stderr.on('data', (text: Buffer) => {
      output.stderr += text.toString();
      seen(output.stderr, child);
    });
    const [code] = await once(child, 'close') as [number|null];
    return {code, ...output};
  }

  move(from: string, to: string, ...options: string[]): Promise<Ended> {
    return this.cbd2rbd(['image', 'move', from, to, ...options]);
  }
}
