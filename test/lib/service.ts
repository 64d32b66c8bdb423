// The service without sockets: a store and a local backend below a temporary folder, and sessions whose other side is a
// function of the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocalBackend } from '../../src/backend/local.js';
import { Context, type ServiceOptions } from '../../src/service/context.js';
import { releaseWithSessions } from '../../src/service/endings.js';
import { createPool } from '../../src/service/pools.js';
import type { Session } from '../../src/service/sessions.js';
import { openSqliteStore } from '../../src/store/sqlite.js';

export interface TestService {
  readonly ctx: Context;
  /** The folder of pool 1's volumes. */
  readonly volumes: string;
  /** A session that answers what it is asked with `answer`, and what it was asked. */
  session(answer?: (method: string, params: object) => Promise<object> | object): Promise<{ session: Session; asked: string[] }>;
  close(): Promise<void>;
}

export async function startTestService(options: Partial<ServiceOptions> = {}): Promise<TestService> {
  const dir = mkdtempSync(join(tmpdir(), 'cbd-s-'));
  const store = openSqliteStore(join(dir, 'store.db'));
  const backends = new Map([['local', await openLocalBackend(join(dir, 'volumes'))]]);
  const ctx = new Context({ store, backends, clientConfig: () => ({}), graceMs: 1000, log: () => undefined, ...options });
  releaseWithSessions(ctx);
  await createPool(ctx, { name: 'rbd' });
  return {
    ctx, volumes: join(dir, 'volumes', 'pool-1'),
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
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
