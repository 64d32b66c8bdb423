// The service without sockets: a store and a backend (local files, or a CurveBS stand-in in this process) below a temporary folder, and
// sessions whose other side is a function of the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backend } from '../../src/backend/backend.js';
import { CurvebsBackend } from '../../src/backend/curvebs/curvebs.js';
import { openLocalBackend } from '../../src/backend/local.js';
import { Context, type ServiceOptions } from '../../src/service/context.js';
import { releaseWithSessions } from '../../src/service/endings.js';
import { createPool } from '../../src/service/pools.js';
import type { Session } from '../../src/service/sessions.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { Cluster } from '../curvebs/cluster.js';
import type { TestBackend } from './backends.js';
import { FarStore } from './far-store.js';
import { curvebsVolumes, localVolumes, type Volumes } from './volumes.js';

export interface TestService {
  readonly ctx: Context;
  /** On local files, the folder of pool 1's volumes. */
  readonly volumes: string;
  /** Pool 1's volumes as they are on the backend. */
  readonly there: Volumes;
  /** A session that answers what it is asked with `answer`, and what it was asked. */
  session(answer?: (method: string, params: object) => Promise<object> | object): Promise<{ session: Session; asked: string[] }>;
  close(): Promise<void>;
}

interface Opened {
  readonly backend: Backend;
  readonly there: Volumes;
  close(): Promise<void>;
}

async function openOn(kind: TestBackend, dir: string): Promise<Opened> {
  if (kind === 'local') {
    return { backend: await openLocalBackend(join(dir, 'volumes')), there: localVolumes(join(dir, 'volumes', 'pool-1')), close: async () => undefined };
  }
  const cluster = new Cluster({ folder: join(dir, 'curvebs'), capacity: 100 * 1024 ** 4, variablesAfterMs: 0 });
  await cluster.start();
  const backend = new CurvebsBackend({
    mds: cluster.mdsAddresses, nebdSocket: cluster.nebdSocket, owner: 'cinder', snapshotClone: [], timeoutMs: 60_000, log: () => undefined,
  });
  return {
    backend, there: curvebsVolumes(cluster, 'rbd'),
    close: async () => {
      await backend.close();
      await cluster.stop();
      if (cluster.nebdServer.crash !== undefined) throw new Error(`the CurveBS stand-in died of ${cluster.nebdServer.crash}`);
    },
  };
}

export async function startTestService(options: Partial<ServiceOptions> = {}, kind: TestBackend = 'local'): Promise<TestService> {
  const dir = mkdtempSync(join(tmpdir(), 'cbd-s-'));
  const store = openSqliteStore(join(dir, 'store.db'));
  const { backend, there, close } = await openOn(kind, dir);
  const backends = new Map([[kind, backend]]);
  const ctx = new Context({ store, backends, clientConfig: () => ({}), graceMs: 1000, log: () => undefined, ...options });
  releaseWithSessions(ctx);
  await createPool(ctx, { name: 'rbd', backend: kind });
  return {
    ctx, there, volumes: join(dir, 'volumes', 'pool-1'),
    async session(answer = () => ({})) {
      const asked: string[] = [];
      const session = await ctx.sessions.begin({ entity: 'client.admin', pid: process.pid, uid: 0, program: 'test' }, {
        ask: async (method, params, passed) => {
          passed?.sent();
          asked.push(method);
          return answer(method, params);
        },
        notify: (method) => { asked.push(method); },
        cut: () => undefined,
      });
      return { session, asked };
    },
    async close() {
      await store.close();
      await close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface FarService extends TestService {
  readonly far: FarStore;
  /** The store's, which goes with the service. */
  readonly folder: string;
}

/** The same on a store that is far away. */
export async function startFarService(options: Omit<Partial<ServiceOptions>, 'store'>, kind: TestBackend): Promise<FarService> {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-f-'));
  const far = new FarStore(openSqliteStore(join(folder, 'store.db')));
  const service = await startTestService({ ...options, store: far }, kind);
  return {
    ...service, far, folder,
    async close() {
      await service.close();
      await far.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
