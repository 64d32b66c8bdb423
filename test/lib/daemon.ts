// A daemon for tests: in this process, everything below a temporary folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../src/config/config.js';
import { startDaemon, type Daemon } from '../../src/daemon.js';
import { Cluster } from '../curvebs/cluster.js';
import type { TestBackend } from './backends.js';
import { RpcClient } from './rpc-client.js';
import { curvebsVolumes, localVolumes, type Volumes } from './volumes.js';

const firstPool = { id: 1, name: 'rbd' };

export interface TestDaemon {
  readonly dir: string;
  readonly config: Config;
  readonly socket: string;
  daemon: Daemon;
  readonly log: string[];
  client(options?: { entity?: string; resume?: number }): Promise<RpcClient>;
  /** Ends it as `kill` would, without goodbye to anybody, and starts another on the same folder. */
  restart(): Promise<void>;
  /** A pool's volumes as they are on the backend; by default those of the first pool, "rbd". */
  volumes(pool?: { id: number; name: string }): Volumes;
  /** Ends it and removes the folder. */
  stop: () => Promise<void>;
}

/** A configuration with everything below `dir`; `environment` as CBD2RBD_* variables. */
export function testConfig(dir: string, environment: Record<string, string> = {}): Config {
  return loadConfig({ dir, environment: { CBD2RBD_TRUST_OWN_UID: 'true', CBD2RBD_DEFAULT_POOLS: 'rbd', ...environment } });
}

export async function startTestDaemon(environment: Record<string, string> = {}): Promise<TestDaemon> {
  return startTestDaemonIn(mkdtempSync(join(tmpdir(), 'cbd-t-')), environment);
}

/** One whose pools are all on that backend; with CurveBS a stand-in runs in this process, too. */
export async function startTestDaemonOn(backend: TestBackend, environment: Record<string, string> = {}): Promise<TestDaemon> {
  if (backend === 'local') return startTestDaemon(environment);
  const dir = mkdtempSync(join(tmpdir(), 'cbd-t-'));
  const cluster = new Cluster({ folder: join(dir, 'curvebs'), capacity: 100 * 1024 ** 4, variablesAfterMs: 0 });
  await cluster.start();
  const daemon = await startTestDaemonIn(dir, {
    CBD2RBD_DEFAULT_BACKEND: 'curvebs', CBD2RBD_CURVEBS_MDS: cluster.mdsAddresses.join(','), CBD2RBD_CURVEBS_NEBD_SOCKET: cluster.nebdSocket, ...environment,
  });
  daemon.volumes = ({ name } = firstPool) => curvebsVolumes(cluster, name);
  const { stop } = daemon;
  daemon.stop = async () => {
    await stop();
    await cluster.stop();
    if (cluster.nebdServer.crash !== undefined) throw new Error(`the CurveBS stand-in died of ${cluster.nebdServer.crash}`);
  };
  return daemon;
}

/** The same on a folder where a daemon may have been before. */
export async function startTestDaemonIn(dir: string, environment: Record<string, string> = {}): Promise<TestDaemon> {
  const config = testConfig(dir, environment);
  const log: string[] = [];
  const start = () => startDaemon(config, { stop: () => undefined, log: (line) => { log.push(line); } });
  const test: TestDaemon = {
    dir, config, socket: config.listen, log, daemon: await start(),
    client: (options) => RpcClient.open(config.listen, options),
    volumes: ({ id } = firstPool) => localVolumes(join(config.localRoot, `pool-${id}`)),
    async restart() {
      await test.daemon.close();
      test.daemon = await start();
    },
    async stop() {
      await test.daemon.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return test;
}
