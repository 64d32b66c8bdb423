// Puts the daemon together: store, backends, service, doors. Whoever calls it has read the configuration.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Access } from './access/access.js';
import type { UserRecords } from './access/user.js';
import type { Backend } from './backend/backend.js';
import { openLocalBackend } from './backend/local.js';
import type { Methods } from './rpc/method.js';
import { imageMethods } from './rpc/methods/images.js';
import { poolMethods } from './rpc/methods/pools.js';
import { trashMethods } from './rpc/methods/trash.js';
import { RpcServer } from './rpc/server.js';
import { clusterId } from './service/cluster.js';
import { Context } from './service/context.js';
import { dropExclusiveLocksOf } from './service/exclusive-lock.js';
import { releaseLocksOf } from './service/locks.js';
import { storedUsers } from './service/users.js';
import { sweepVolumes } from './service/volumes.js';
import { openSqliteStore } from './store/sqlite.js';
import type { Store } from './store/store.js';

export interface BackendConfig {
  /** What pools call it. */
  readonly name: string;
  readonly kind: 'local';
  readonly root: string;
}

export interface DaemonConfig {
  readonly socket: string;
  readonly store: { readonly kind: 'sqlite'; readonly path: string };
  /** The first is the default of new pools. */
  readonly backends: readonly BackendConfig[];
  readonly trustOwnUid: boolean;
  /** Options for clients: Ceph's names and texts. */
  readonly clientConfig: Readonly<Record<string, string>>;
  readonly graceMs: number;
  readonly log: (line: string) => void;
  /** Methods beyond the built-in ones (admin.*, mon.command, ...). */
  readonly methods?: (daemon: DaemonParts) => Methods;
}

export interface DaemonParts {
  readonly ctx: Context;
  readonly users: UserRecords;
  readonly access: Access;
  readonly fsid: string;
}

export interface Daemon extends DaemonParts {
  /** Ends in order: open images keep working, and their sessions come back to the next daemon. */
  stop(): Promise<void>;
}

const opExpiryMs = 60_000;

/** Starts everything; resolves when clients can connect. Throws, with nothing left running, where something cannot be had. */
export async function startDaemon(config: DaemonConfig): Promise<Daemon> {
  const undo: (() => Promise<unknown> | void)[] = [];
  const stop = async (): Promise<void> => { for (const step of undo.splice(0).reverse()) await step(); };
  try {
    const store = await openStore(config);
    undo.push(() => store.close());
    const backends = await openBackends(config);
    undo.push(() => Promise.all([...backends.values()].map((backend) => backend.close())));
    const { clientConfig, graceMs, log } = config;
    const ctx = new Context({ store, backends, clientConfig, graceMs, log });
    ctx.sessions.onEnd((session) => dropExclusiveLocksOf(ctx, session));
    ctx.sessions.onEnd(async (session, { orderly }) => { if (!orderly) await releaseLocksOf(ctx, session); });
    ctx.sessions.onEnd(async (session) => { for (const backend of backends.values()) await backend.closeVolumes(session.id); });
    await sweepVolumes(ctx);
    await ctx.sessions.start();
    undo.push(() => ctx.sessions.stop());
    const timer = setInterval(() => { ctx.ops.expire().catch((error: unknown) => log(`old ops stay: ${String(error)}`)); }, opExpiryMs);
    undo.push(() => clearInterval(timer));
    const users = storedUsers(store);
    const access = new Access({ users, trustOwnUid: config.trustOwnUid, log });
    const parts: DaemonParts = { ctx, users, access, fsid: await clusterId(ctx) };
    const methods = { ...imageMethods, ...poolMethods, ...trashMethods, ...config.methods?.(parts) };
    await mkdir(dirname(config.socket), { recursive: true });
    const server = await RpcServer.listen(config.socket, { ctx, access, methods, fsid: parts.fsid, log });
    undo.push(() => server.close());
    return { ...parts, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function openStore({ store }: DaemonConfig): Promise<Store> {
  await mkdir(dirname(store.path), { recursive: true, mode: 0o700 });
  return openSqliteStore(store.path);
}

async function openBackends({ backends }: DaemonConfig): Promise<Map<string, Backend>> {
  const opened = new Map<string, Backend>();
  for (const { name, root } of backends) opened.set(name, await openLocalBackend(root));
  return opened;
}
