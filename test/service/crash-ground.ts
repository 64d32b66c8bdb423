// What a crash test stands on: local files, or a CurveBS stand-in that lives on while the daemon is killed.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NebdSession } from '../../src/backend/curvebs/nebd.js';
import { startTestDaemonIn, type TestDaemon } from '../lib/daemon.js';
import type { TestBackend } from '../lib/backends.js';
import { Cluster } from '../curvebs/cluster.js';

/** Where the CurveBS of a child process is; empty on local files. */
export type GroundSettings = Readonly<Record<string, string>>;

/** Writes `data` to the beginning of a volume, from whatever process. */
export type Fill = (volume: string, data: Buffer) => Promise<void>;

/** The daemon of the tests on that folder; its pool 1 is "rbd". */
export async function startOn(dir: string, settings: GroundSettings): Promise<TestDaemon> {
  const d = await startTestDaemonIn(dir, settings);
  if (settings['CBD2RBD_CURVEBS_MDS'] === undefined) return d;
  const client = await d.client();
  const { pools } = await client.call('pool.list') as { pools: unknown[] };
  if (pools.length === 0) await client.call('admin.pool.map', { name: 'rbd', backend: 'curvebs', owner: 'cinder' });
  await client.close();
  return d;
}

export function fillOn(d: TestDaemon): Fill {
  const socket = d.config.curvebsNebdSocket;
  if (d.config.curvebsMds.length === 0) return async (volume, data) => writeFileSync(join(d.config.localRoot, 'pool-1', volume), data, { flag: 'r+' });
  return async (volume, data) => {
    const nebd = await NebdSession.connect(socket, 5000);
    const file = await nebd.open(`cbd:fill//rbd/${volume}_cinder_:`);
    const whole = Buffer.alloc(Math.ceil(data.length / 4096) * 4096);
    data.copy(whole);
    for (let at = 0; at < whole.length; at += 1 << 20) await nebd.write(file, at, whole.subarray(at, at + (1 << 20)));
    await nebd.closeFile(file.fd);
    nebd.close();
  };
}

/** What the test itself sees of the volumes. */
export interface Ground {
  readonly settings: GroundSettings;
  /** Name and size of each. */
  volumes(): Map<string, number>;
  read(volume: string, length: number): Promise<Buffer>;
  /** The daemon was killed: what it had open is forgotten, as half a minute later on a real one. */
  forget(): void;
  close(): Promise<void>;
}

export async function groundFor(backend: TestBackend, dir: string): Promise<Ground> {
  if (backend === 'local') {
    const folder = join(dir, 'volumes', 'pool-1');
    return {
      settings: {}, forget: () => undefined, close: async () => undefined,
      volumes: () => new Map(readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size])),
      read: async (volume, length) => readFileSync(join(folder, volume)).subarray(0, length),
    };
  }
  const cluster = new Cluster({ folder: join(dir, 'curvebs') });
  await cluster.start();
  const pool = () => cluster.files.child(0, 'rbd');
  return {
    settings: { CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CURVEBS_MDS: cluster.mdsAddresses.join(','), CBD2RBD_CURVEBS_NEBD_SOCKET: cluster.nebdSocket },
    volumes: () => new Map((pool() ? cluster.files.list(pool()!.id) : []).map((inode) => [inode.fileName, inode.length ?? 0])),
    read: (volume, length) => cluster.data.read(cluster.mds.find(`/rbd/${volume}`, 'cinder')!.id, 0, length),
    forget: () => cluster.nebd.expire(),
    close: () => cluster.stop(),
  };
}
