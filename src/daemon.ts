// Puts the daemon together: store, backends, service, doors. Whoever calls it has read the configuration.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Access } from './access/access.js';
import { newKey } from './access/key.js';
import type { UserRecords } from './access/user.js';
import type { Backend } from './backend/backend.js';
import { openCephBackend } from './backend/ceph.js';
import { CurvebsBackend, type OwnNames } from './backend/curvebs/curvebs.js';
import { openLocalBackend } from './backend/local.js';
import type { Cluster } from './ceph/command.js';
import { StoredOptions } from './ceph/stored-options.js';
import { centralOptions, ConfigError, type Config } from './config/config.js';
import { adminMethods } from './rpc/admin.js';
import { maintenanceMethods } from './rpc/maintenance.js';
import { nativeLayerWorker } from './native/layer-worker.js';
import type { Methods } from './rpc/method.js';
import { imageMethods } from './rpc/methods/images.js';
import { withHeaderUpdates } from './rpc/methods/header-updates.js';
import { withLockTakers } from './rpc/methods/lock-takers.js';
import { monMethods } from './rpc/methods/mon.js';
import { objectMethods } from './rpc/methods/objects.js';
import { poolMethods } from './rpc/methods/pools.js';
import { snapshotMethods } from './rpc/methods/snapshots.js';
import { trashMethods } from './rpc/methods/trash.js';
import { withWelcome } from './rpc/methods/welcome.js';
import { isProcessAlive, isProcessStopped } from './rpc/process-watch.js';
import { RpcServer } from './rpc/server.js';
import { requireWhole } from './service/admin/backup.js';
import { finishReleases } from './service/admin/release.js';
import { tellParents } from './service/children.js';
import { clusterId } from './service/cluster.js';
import { Context } from './service/context.js';
import { releaseWithSessions } from './service/endings.js';
import { startMerging } from './service/merge.js';
import { poolAdmin } from './service/pool-admin.js';
import { keys } from './service/records.js';
import { createPool, listPools } from './service/pools.js';
import { sessionAdmin } from './service/session-admin.js';
import { daemonStatus } from './service/status.js';
import { storedUsers } from './service/users.js';
import { startRemoving, sweepVolumes } from './service/volumes.js';
import { holdDaemonLock } from './store/daemon-lock.js';
import { openEtcdStore } from './store/etcd.js';
import { openSqliteStore } from './store/sqlite.js';
import type { Store } from './store/store.js';

export interface DaemonHooks {
  /** The administrator asked for the end; called after the answer went out. */
  readonly stop: () => void;
  readonly log: (line: string) => void;
}

export interface Daemon {
  readonly ctx: Context;
  readonly users: UserRecords;
  /** What monitor commands and the ceph and rbd commands work with. */
  readonly cluster: Cluster;
  readonly fsid: string;
  /** Ends in order: open images keep working, and their sessions come back to the next daemon. */
  close(): Promise<void>;
}

const opExpiryMs = 60_000;

/** Starts everything; resolves when clients can connect. Throws, with nothing left running, where something cannot be had. */
export async function startDaemon(config: Config, hooks: DaemonHooks): Promise<Daemon> {
  const undo: (() => Promise<unknown> | void)[] = [];
  const close = async (): Promise<void> => { for (const step of undo.splice(0).reverse()) await step(); };
  try {
    const { log } = hooks;
    const store = await openStore(config);
    undo.push(() => store.close());
    undo.push(await holdPlace(store, config, hooks));
    await requireWhole(store);
    const backends = await openBackends(config, store, log);
    undo.push(() => Promise.all([...backends.values()].map((backend) => backend.close())));
    const options = new StoredOptions(store);
    await options.start();
    undo.push(() => options.stop());
    const ctx = new Context({
      store, backends, clientConfig: (entity) => ({ ...centralOptions(config, entity), ...optionTexts(options, entity) }), graceMs: config.graceMs, isStopped: isProcessStopped, isAlive: isProcessAlive, log,
      layerWorker: nativeLayerWorker,
    });
    releaseWithSessions(ctx);
    await ctx.sessions.expectEarlier();
    await sweepVolumes(ctx);
    await finishReleases(ctx);
    await tellParents(ctx);
    undo.push(startRemoving(ctx));
    undo.push(startMerging(ctx));
    undo.push(() => ctx.sessions.stop());
    undo.push(expireOps(ctx));
    const users = storedUsers(store);
    const fsid = await clusterId(ctx, config.fsid);
    await furnish(ctx, users, config);
    const access = new Access({ users, trustOwnUid: config.trustOwnUid, log });
    const cluster: Cluster = { ctx, users, options, fsid, since: ctx.now() };
    const methods = allMethods(cluster, { config, stop: hooks.stop });
    await mkdir(dirname(config.listen), { recursive: true });
    const server = await RpcServer.listen(config.listen, { ctx, access, methods, fsid, log }, { group: config.listenGroup });
    undo.push(() => server.close());
    // What is under way in the background is waited for below, but not those who do not answer it.
    undo.push(() => { for (const backend of backends.values()) backend.hurry?.(); });
    void ctx.sessions.giveUpMissing();
    return { ctx, users, cluster, fsid, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function optionTexts(options: StoredOptions, entity: string): Record<string, string> {
  return Object.fromEntries([...options.for(entity)].map(([name, option]) => [name, option.value]));
}

function expireOps(ctx: Context): () => void {
  const timer = setInterval(() => { ctx.ops.expire().catch((error: unknown) => ctx.log(`old ops stay: ${String(error)}`)); }, opExpiryMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** A new store gets its administrator and the pools that the configuration names. */
async function furnish(ctx: Context, users: UserRecords, config: Config): Promise<void> {
  if ((await users.list()).length === 0) {
    const all = { mon: 'allow *', osd: 'allow *', mgr: 'allow *', mds: 'allow *' };
    await users.write({ entity: 'client.admin', key: newKey(), caps: all, owner: 'admin' });
  }
  if ((await listPools(ctx)).length > 0) return;
  for (const name of config.defaultPools) await createPool(ctx, { name, apps: ['rbd'] });
}

function allMethods(cluster: Cluster, about: { config: Config; stop: () => void }): Methods {
  const { ctx, users, fsid } = cluster;
  const status = () => daemonStatus(ctx, { fsid, socket: about.config.listen });
  const admin = adminMethods({ users, pools: poolAdmin(ctx), sessions: sessionAdmin(ctx), maintenance: maintenanceMethods(ctx), status, stop: () => { setImmediate(about.stop); } });
  const adminRpc: Methods = Object.fromEntries([...admin].map(([name, method]) => [
    name, async ({ identity, params }) => ({ result: (await method(identity, params.fields)) as object }),
  ]));
  const rbd = withWelcome({ ...withHeaderUpdates(withLockTakers({ ...imageMethods, ...snapshotMethods })), ...objectMethods, ...poolMethods, ...trashMethods });
  return { ...rbd, ...monMethods(cluster, rbd), ...adminRpc };
}

async function openStore({ store }: Config): Promise<Store> {
  if (store.kind === 'etcd') return openEtcdStore({ endpoints: store.endpoints, prefix: store.prefix.endsWith('/') ? store.prefix : `${store.prefix}/` });
  await mkdir(dirname(store.path), { recursive: true, mode: 0o700 });
  return openSqliteStore(store.path);
}

/** On etcd one daemon at a time works; a place that is lost ends it. */
async function holdPlace(store: Store, config: Config, hooks: DaemonHooks): Promise<() => Promise<void>> {
  if (config.store.kind !== 'etcd') return async () => undefined;
  return holdDaemonLock(store, `${config.store.endpoints.join(',')}${config.store.prefix}`, (reason) => {
    hooks.log(reason);
    hooks.stop();
  });
}

/** They need to outlive the daemon, not the host. */
function ownNamesIn(store: Store): OwnNames {
  return {
    add: async (name) => void await store.commit({ changes: [{ put: keys.ownName(name), value: name }], survives: 'process-death' }),
    remove: async (name) => void await store.commit({ changes: [{ remove: keys.ownName(name) }], survives: 'process-death' }),
    list: async () => (await store.list({ prefix: keys.ownNames })).map(({ value }) => value),
  };
}

async function openBackends(config: Config, store: Store, log: (line: string) => void): Promise<Map<string, Backend>> {
  const backends = new Map<string, Backend>([['local', await openLocalBackend(config.localRoot)], ['ceph', openCephBackend({ log })]]);
  if (config.curvebsMds.length > 0) {
    const password = config.curvebsRootPasswordFile === undefined ? undefined : (await readFile(config.curvebsRootPasswordFile, 'utf8')).trim();
    const curvebs = new CurvebsBackend({
      mds: config.curvebsMds, nebdSocket: config.curvebsNebdSocket, owner: config.curvebsOwner, snapshotClone: config.curvebsSnapshotClone, timeoutMs: config.requestTimeoutMs, log,
      ownNames: ownNamesIn(store), ...(password === undefined ? {} : { rootPassword: password }),
    });
    await curvebs.closeEarlier();
    backends.set('curvebs', curvebs);
  }
  const first = backends.get(config.defaultBackend);
  if (!first) throw new ConfigError([`default_backend = "${config.defaultBackend}", but curvebs_mds names no MDS`]);
  return new Map([[config.defaultBackend, first], ...backends]);
}
