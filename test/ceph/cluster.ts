// A real Ceph (mon, mgr, osd from the distribution's packages) on loopback in one folder, for tests that ask the real thing.
// By hand: node dist/test/ceph/cluster.js DIR up|down|destroy|status   (AUTH=cephx, STORE=bluestore, POOLS="a b" for `up`)
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cephConf, PG_COUNT, PORTS, type Auth, type Store } from './conf.js';
import { cephEnv, end, freePorts, launch, run, runningPid, type Lifetime } from './daemons.js';

export interface CephOptions {
  /** The cluster's folder, by default a new one. Short: Ceph's socket paths end at 107 characters. */
  dir?: string;
  auth?: Auth;
  store?: Store;
  pools?: string[];
  lifetime?: Lifetime;
}

const OWN = ['mon.a', 'mgr.x', 'osd.0', 'log', 'crash', 'run', 'mgrmods'];
const FILES = ['ceph.conf', 'keyring', 'monmap', 'ready'];
const DAEMONS = ['mon.a', 'mgr.x', 'osd.0'] as const;

/** Whether the packages are installed that a cluster needs. */
export function cephInstalled(): boolean {
  return ['ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph', 'rbd'].every((name) =>
    (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, name))));
}

export class Ceph {
  readonly conf: string;

  constructor(readonly dir: string, private readonly lifetime: Lifetime) {
    this.conf = join(dir, 'ceph.conf');
  }

  /** The environment of a client of this cluster. */
  get env(): NodeJS.ProcessEnv {
    return cephEnv(this.conf);
  }

  /** Runs one command of Ceph's ("rbd", "ls", ...) and gives back its standard output. */
  run(...argv: string[]): string {
    return run(this.conf, argv);
  }

  /** Creates pools ready for rbd. */
  async createPools(pools: string[]): Promise<void> {
    const commands = pools.flatMap((p) => [`osd pool create ${p} ${PG_COUNT}`, `osd pool application enable ${p} rbd`]);
    run(this.conf, ['ceph', '--connect-timeout', '30'], { input: commands.join('\n') + '\n' });
    for (const pool of pools) {
      this.untilServed(pool);
      this.run('rbd', 'pool', 'init', pool);
    }
  }

  /** Kills one daemon without warning, as a crash does. */
  async kill(name: typeof DAEMONS[number]): Promise<void> {
    await end(this.dir, name, 'SIGKILL');
  }

  /** Starts what does not run, and returns when every pool serves. */
  async resume(): Promise<void> {
    this.launchDaemon('mon.a');
    this.launchDaemon('mgr.x');
    this.launchDaemon('osd.0');
    for (const pool of readFileSync(join(this.dir, 'ready'), 'utf8').split(' ').filter(Boolean)) this.untilServed(pool);
  }

  /** Ends the daemons in good order; the data stays for resume(). */
  async down(): Promise<void> {
    // The osd says goodbye to the mon, so the mon goes last.
    for (const name of ['osd.0', 'mgr.x', 'mon.a']) await end(this.dir, name, 'SIGTERM');
  }

  /** Kills the daemons and removes everything that up() made. */
  async destroy(): Promise<void> {
    await Promise.all(DAEMONS.map((name) => end(this.dir, name, 'SIGKILL')));
    for (const name of [...OWN, ...FILES]) rmSync(join(this.dir, name), { recursive: true, force: true });
    try {
      rmdirSync(this.dir);
    } catch { /* somebody else's files are in it; they stay */ }
  }

  status(): Record<string, number | undefined> {
    return Object.fromEntries(DAEMONS.map((name) => [name, runningPid(this.dir, name)]));
  }

  launchDaemon(name: typeof DAEMONS[number]) {
    if (runningPid(this.dir, name) !== undefined) return;
    const argv = {
      'mon.a': ['ceph-mon', '-i', 'a'],
      'mgr.x': ['ceph-mgr', '-i', 'x', '--mgr-module-path', join(this.dir, 'mgrmods')],
      'osd.0': ['ceph-osd', '-i', '0'],
    }[name];
    launch(this.dir, name, [...argv, '-f', '-c', this.conf], this.lifetime);
  }

  // A client that asks while the osd still boots sits out a five-second tick of its own; a new client does not.
  private untilServed(pool: string) {
    for (let attempt = 0; attempt < 150; attempt++) {
      if (spawnSync('rbd', ['ls', pool], { env: this.env, timeout: 400, killSignal: 'SIGKILL', stdio: 'ignore' }).status === 0) return;
    }
    throw new Error(`${this.dir}: pool ${pool} never answered; see ${join(this.dir, 'log')}`);
  }
}

// The manager's expensive always-on modules make it slow to start and hungry; it must find them all, so empty ones stand in.
function writeManagerModules(dir: string) {
  const modules = join(dir, 'mgrmods');
  mkdirSync(modules);
  for (const real of ['mgr_module.py', 'mgr_util.py', 'rbd_support', 'status']) symlinkSync(`/usr/share/ceph/mgr/${real}`, join(modules, real));
  for (const name of ['balancer', 'crash', 'devicehealth', 'orchestrator', 'pg_autoscaler', 'progress', 'telemetry', 'volumes']) {
    mkdirSync(join(modules, name));
    writeFileSync(join(modules, name, '__init__.py'), 'from .module import Module\n');
    writeFileSync(join(modules, name, 'module.py'),
      'import mgr_module\n\n\nclass Module(mgr_module.MgrModule):\n    COMMANDS = []\n    NOTIFY_TYPES = []\n');
  }
}

function writeKeyring(dir: string, conf: string) {
  const keyring = join(dir, 'keyring');
  const caps: Record<string, string[]> = {
    'client.admin': ['mon', 'allow *', 'osd', 'allow *', 'mgr', 'allow *', 'mds', 'allow *'],
    'mon.': ['mon', 'allow *'],
    'osd.0': ['mon', 'allow profile osd', 'mgr', 'allow profile osd', 'osd', 'allow *'],
    'mgr.x': ['mon', 'allow profile mgr', 'osd', 'allow *', 'mds', 'allow *'],
  };
  for (const [entity, list] of Object.entries(caps)) {
    const capArguments = list.flatMap((word, i) => (i % 2 === 0 ? ['--cap', word] : [word]));
    run(conf, ['ceph-authtool', keyring, ...(existsSync(keyring) ? [] : ['-C']), '--gen-key', '-n', entity, ...capArguments]);
  }
}

/**
 * Starts a new cluster and returns when its pools serve rbd: two to five seconds.
 * The caller ends it with destroy(); if the caller dies first, `bound` daemons (the default) die with it.
 */
export async function startCeph(options: CephOptions = {}): Promise<Ceph> {
  const { auth = 'none', store = 'memstore', pools = ['rbd'], lifetime = 'bound' } = options;
  const dir = options.dir === undefined ? mkdtempSync('/tmp/ceph-') : resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const ceph = new Ceph(realpathSync(dir), lifetime);
  if (existsSync(join(ceph.dir, 'ready'))) {
    await ceph.resume();
    return ceph;
  }
  for (const name of OWN) rmSync(join(ceph.dir, name), { recursive: true, force: true });
  for (const name of FILES) rmSync(join(ceph.dir, name), { force: true });
  for (const name of OWN.slice(0, -1)) mkdirSync(join(ceph.dir, name));
  try {
    await make(ceph, auth, store, pools);
  } catch (error) {
    await ceph.destroy();
    throw error;
  }
  return ceph;
}

async function make(ceph: Ceph, auth: Auth, store: Store, pools: string[]) {
  const { dir, conf } = ceph;
  const fsid = randomUUID();
  const osdUuid = randomUUID();
  const port = await freePorts(PORTS);
  writeFileSync(conf, cephConf({ dir, fsid, port, auth, store, size: store === 'memstore' ? 4 * 2 ** 30 : 20 * 2 ** 30 }));
  writeKeyring(dir, conf);
  writeManagerModules(dir);
  const monmap = join(dir, 'monmap');
  run(conf, ['monmaptool', '--create', '--clobber', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${port}/0,v1:127.0.0.1:${port + 1}/0]`, monmap]);
  run(conf, ['ceph-mon', '-i', 'a', '-c', conf, '--mkfs', '--monmap', monmap, '--keyring', join(dir, 'keyring')]);
  // --no-mon-config: or the osd waits five minutes for a mon that does not run yet.
  const mkfs = launch(dir, 'mkfs', ['ceph-osd', '-i', '0', '-c', conf, '--no-mon-config', '--mkfs', '--osd-uuid', osdUuid, '--fsid', fsid], 'bound');
  mkfs.ref();  // the only thing that this process may be waiting for
  const formatted = once(mkfs, 'exit');
  ceph.launchDaemon('mon.a');
  ceph.launchDaemon('mgr.x');
  run(conf, ['ceph', '--connect-timeout', '30'], { input: `osd new ${osdUuid}\n` });
  const [code] = await formatted as [number | null];
  if (code !== 0) throw new Error(`ceph-osd --mkfs failed (${code}): ${readFileSync(join(dir, 'log', 'mkfs.out'), 'utf8')}`);
  rmSync(join(dir, 'run', 'mkfs.pid'), { force: true });
  ceph.launchDaemon('osd.0');
  await ceph.createPools(pools);
  // Without cephx the mon did not take the keys at mkfs; `ceph auth get client.admin` is to answer all the same.
  if (auth === 'none') ceph.run('ceph', 'auth', 'import', '-i', join(dir, 'keyring'));
  writeFileSync(join(dir, 'ready'), pools.join(' '));
}

async function main([dir, action]: string[]): Promise<number> {
  if (dir === undefined) action = 'help';
  const ceph = new Ceph(resolve(dir ?? '.'), 'free');
  switch (action) {
    case 'up': {
      const started = await startCeph({
        dir: dir!, lifetime: 'free', auth: process.env['AUTH'] === 'cephx' ? 'cephx' : 'none',
        store: process.env['STORE'] === 'bluestore' ? 'bluestore' : 'memstore',
        pools: (process.env['POOLS'] ?? 'rbd').split(' ').filter(Boolean),
      });
      console.log(`export CEPH_CONF=${started.conf} CEPH_ARGS=`);
      return 0;
    }
    case 'down': await ceph.down(); return 0;
    case 'destroy': await ceph.destroy(); return 0;
    case 'status':
      for (const [name, pid] of Object.entries(ceph.status())) console.log(`${name} ${pid === undefined ? 'down' : `up ${pid}`}`);
      return 0;
    default:
      console.error('usage: cluster.js DIR up|down|destroy|status');
      return 2;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = await main(process.argv.slice(2));
