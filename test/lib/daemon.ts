// A daemon for tests: in this process, everything below a temporary folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../src/config/config.js';
import { startDaemon, type Daemon } from '../../src/daemon.js';
import { RpcClient } from './rpc-client.js';

export interface TestDaemon {
  readonly dir: string;
  readonly config: Config;
  readonly socket: string;
  daemon: Daemon;
  readonly log: string[];
  client(options?: { entity?: string; resume?: number }): Promise<RpcClient>;
  /** Ends it as `kill` would, without goodbye to anybody, and starts another on the same folder. */
  restart(): Promise<void>;
  /** Ends it and removes the folder. */
  stop(): Promise<void>;
}

/** A configuration with everything below `dir`; `environment` as CBD2RBD_* variables. */
export function testConfig(dir: string, environment: Record<string, string> = {}): Config {
  return loadConfig({ dir, environment: { CBD2RBD_TRUST_OWN_UID: 'true', CBD2RBD_DEFAULT_POOLS: 'rbd', ...environment } });
}

export async function startTestDaemon(environment: Record<string, string> = {}): Promise<TestDaemon> {
  return startTestDaemonIn(mkdtempSync(join(tmpdir(), 'cbd-t-')), environment);
}

/** The same on a folder where a daemon may have been before. */
export async function startTestDaemonIn(dir: string, environment: Record<string, string> = {}): Promise<TestDaemon> {
  const config = testConfig(dir, environment);
  const log: string[] = [];
  const start = () => startDaemon(config, { stop: () => undefined, log: (line) => { log.push(line); } });
  const test: TestDaemon = {
    dir, config, socket: config.listen, log, daemon: await start(),
    client: (options) => RpcClient.open(config.listen, options),
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
