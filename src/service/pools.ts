// Pools: which there are, where each keeps its volumes, its applications and its metadata.
// Behind: rados_pool_create/list/lookup/reverse_lookup/delete/stat, rados_application_*, rbd_pool_metadata_*, rbd_config_pool_*.
import type { Backend, Place } from '../backend/backend.js';
import { cephMapping } from '../backend/ceph.js';
import type { CephPoolFigures } from '../backend/ceph-figures.js';
import { changed } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { checkConfigMetadata } from './metadata.js';
import { checkName, checkNoNul } from './names.js';
import { objectPrefixesOfPool } from './objects.js';
import { keys, type At, type ImageRecord, type IntentRecord, type PoolRecord } from './records.js';
import { limitPool } from './qos.js';
import { readRecord, transact } from './transact.js';

export interface NewPool {
  readonly name: string;
  /** Default: the first backend of the configuration. */
  readonly backend?: string;
  /** Default: the backend's own choice, or made from the pool's id, so that no name can lead elsewhere. */
  readonly dir?: string;
  /** Pins the owner of all that is in the pool. Default: that of the user who makes it. */
  readonly owner?: string;
  /** Who makes it; the administrator stands for the backend's own owner. */
  readonly maker?: { readonly entity: string; readonly owner: string };
  readonly apps?: readonly string[];
  /** Backend `ceph`: how clients reach the pool `dir` there. */
  readonly ceph?: Readonly<Record<string, string>>;
}

/** Makes a pool and its directory. EEXIST; EINVAL for an empty name or an unknown backend. Returns the pool's id. */
export async function createPool(ctx: Context, pool: NewPool): Promise<PoolRecord> {
  checkName('pool', pool.name);
  const backend = pool.backend ?? [...ctx.backends.keys()][0] ?? '';
  const holder = ctx.backends.get(backend);
  if (!holder) throw new ServiceError('EINVAL', `no backend "${backend}" is configured`);
  if (pool.ceph && holder.kind !== 'ceph') throw new ServiceError('EINVAL', `backend "${backend}" has no use for a Ceph's conf, user or keyring`);
  const ceph = holder.kind === 'ceph' ? { ceph: cephMapping(pool.dir ?? pool.name, pool.ceph ?? {}) } : {};
  return ctx.poolLocks.run('create', async () => {
    if (await findPool(ctx, pool.name)) throw new ServiceError('EEXIST', `pool ${pool.name} exists`);
    const owner = ownerFor(pool, holder);
    const named = pool.dir ?? holder.defaults?.dir(pool.name);
    let id = ((await readRecord<number>(ctx.store, keys.counter('pool'))) ?? 0) + 1;
    // Somebody may have mapped a pool to the directory of a number that was still to come.
    while (named === undefined && await holderOf(ctx, backend, `pool-${id}`)) id += 1;
    const place = { dir: named ?? `pool-${id}`, owner };
    const other = await holderOf(ctx, backend, place.dir);
    if (other) throw new ServiceError('EEXIST', `directory ${place.dir} is pool ${other.name}'s`);
    await holder.createDirectory(place);
    return transact(ctx.store, async (tx) => {
      if (await tx.get(keys.poolName(pool.name))) throw new ServiceError('EEXIST', `pool ${pool.name} exists`);
      if (((await tx.get<number>(keys.counter('pool'))) ?? 0) >= id) throw new ServiceError('EAGAIN', 'another pool was made at the same time');
      const apps = Object.fromEntries((pool.apps ?? []).map((app) => [app, {}]));
      const record: PoolRecord = { id, name: pool.name, backend, ...place, apps, ...ceph, createTime: ctx.now() };
      tx.put(keys.counter('pool'), id);
      tx.put(keys.pool(id), record);
      tx.put(keys.poolName(pool.name), id);
      return record;
    });
  });
}

/** Kept with the pool, so that a change of the user's record or the configuration later leads no pool away from its volumes. */
function ownerFor({ owner, maker }: NewPool, { defaults }: Backend): string {
  if (!defaults) return owner ?? '';
  return owner ?? (maker === undefined || maker.entity === 'client.admin' ? defaults.owner : maker.owner);
}

/** The pool that has this directory: two in one would show each other's volumes. */
async function holderOf(ctx: Context, backend: string, dir: string): Promise<PoolRecord | undefined> {
  const plain = (path: string): string => path.split('/').filter((part) => part !== '').join('/');
  return (await listPools(ctx)).find((pool) => pool.backend === backend && backend !== 'ceph' && plain(pool.dir) === plain(dir));
}

/** Removes a pool with all images in it, as Ceph does; the monitor's own safeguards are the caller's. EBUSY while an image is open, or a volume still read. */
export async function deletePool(ctx: Context, pool: PoolRecord): Promise<void> {
  await ctx.poolLocks.run('create', async () => {
    const images = await ctx.store.list({ prefix: keys.imagesOfPool(pool.id) });
    for (const { value } of images) {
      const image = JSON.parse(value) as ImageRecord;
      if (ctx.sessions.openersOf(image).length > 0) throw new ServiceError('EBUSY', `image ${image.name} of pool ${pool.name} is open`);
    }
    const { removeWithSnapshots } = await import('./snapshots.js');
    for (const { value } of images) await removeWithSnapshots(ctx, JSON.parse(value) as ImageRecord);
    await requireNoVolumesToRemove(ctx, pool);
    await transact(ctx.store, async (tx) => {
      if (!await tx.get(keys.pool(pool.id))) throw new ServiceError('ENOENT', `there is no pool ${pool.name}`);
      const [made] = await ctx.store.list({ prefix: keys.imagesOfPool(pool.id), limit: 1 });
      if (made) throw new ServiceError('EBUSY', `image ${(JSON.parse(made.value) as ImageRecord).name} was made in pool ${pool.name} meanwhile`);
      tx.requireEmpty(keys.imagesOfPool(pool.id));
      tx.remove(keys.pool(pool.id));
      tx.remove(keys.poolName(pool.name));
      tx.removeAll(keys.poolMetadata({ pool: pool.id, namespace: '' }, ''));
      tx.removeAll(keys.poolMetadataOfSpaces(pool.id));
      tx.removeAll(keys.namespaces(pool.id));
      for (const prefix of objectPrefixesOfPool(pool.id)) tx.removeAll(prefix);
    });
    await backendOf(ctx, pool).removeDirectory(placeOf(pool)).catch((error: unknown) => {
      ctx.log(`directory ${pool.dir} of removed pool ${pool.name} stays: ${String(error)}`);
    });
  });
}

/** Without the pool's record nobody would know where they are. */
async function requireNoVolumesToRemove(ctx: Context, pool: PoolRecord): Promise<void> {
  const intents = (await ctx.store.list({ prefix: keys.intents })).map(({ value }) => JSON.parse(value) as IntentRecord);
  const left = intents.find((intent) => intent.pool === pool.id);
  if (left) throw new ServiceError('EBUSY', `volume ${left.volume} of pool ${pool.name} is still in use`);
}

export async function listPools(ctx: Context): Promise<PoolRecord[]> {
  const entries = await ctx.store.list({ prefix: keys.pools });
  return entries.map(({ value }) => JSON.parse(value) as PoolRecord).sort((a, b) => a.id - b.id);
}

export async function findPool(ctx: Context, name: string): Promise<PoolRecord | undefined> {
  const id = await readRecord<number>(ctx.store, keys.poolName(name));
  return id === undefined ? undefined : readRecord<PoolRecord>(ctx.store, keys.pool(id));
}

export async function findPoolById(ctx: Context, id: number): Promise<PoolRecord | undefined> {
  return readRecord<PoolRecord>(ctx.store, keys.pool(id));
}

/** ENOENT where there is no such pool. */
export async function getPool(ctx: Context, id: number): Promise<PoolRecord> {
  const pool = await readRecord<PoolRecord>(ctx.store, keys.pool(id));
  if (!pool) throw new ServiceError('ENOENT', `there is no pool with id ${id}`);
  return pool;
}

/** What a real Ceph says of the pool that `pool` is there; undefined where it is not on one, or that does not answer. */
export async function realPoolFigures(ctx: Context, pool: PoolRecord): Promise<CephPoolFigures | undefined> {
  if (!pool.ceph) return undefined;
  const figures = await backendOf(ctx, pool).realFigures?.(pool.ceph);
  return figures?.pools.get(pool.ceph['pool'] ?? '');
}

/** What the pool's volumes take, and how many images there are. */
export async function poolUsage(ctx: Context, pool: PoolRecord): Promise<{ bytes: number; images: number; objects: number }> {
  if (pool.ceph) {
    const there = await realPoolFigures(ctx, pool);
    return { bytes: there?.storedBytes ?? 0, images: 0, objects: there?.objects ?? 0 };
  }
  const usage = await backendOf(ctx, pool).statDirectory(placeOf(pool));
  const images = await ctx.store.list({ prefix: keys.imagesOfPool(pool.id) });
  return { bytes: usage.allocated, images: images.length, objects: Math.ceil(usage.allocated / 4194304) };
}

export interface ImageTotals {
  readonly images: number;
  readonly provisionedBytes: number;
  readonly maxProvisionedBytes: number;
  readonly snapshots: number;
  readonly trashImages: number;
  readonly trashProvisionedBytes: number;
  readonly trashMaxProvisionedBytes: number;
  readonly trashSnapshots: number;
}

/** What rbd_pool_stats_get counts: `max` sizes count an image's largest snapshot where that is larger than the image. */
export async function imageTotals(ctx: Context, at: At): Promise<ImageTotals> {
  const inTrash = new Set((await ctx.store.list({ prefix: keys.trashOf(at) })).map(({ key }) => key.slice(keys.trashOf(at).length)));
  const sum = { images: 0, provisioned: 0, max: 0, snapshots: 0 };
  const trash = { ...sum };
  for (const { value } of await ctx.store.list({ prefix: keys.images(at) })) {
    const { id, size, snaps } = JSON.parse(value) as ImageRecord;
    const into = inTrash.has(id) ? trash : sum;
    into.images += 1;
    into.provisioned += size;
    into.max += Math.max(size, ...snaps.map((snap) => snap.size));
    into.snapshots += snaps.length;
  }
  return {
    images: sum.images, provisionedBytes: sum.provisioned, maxProvisionedBytes: sum.max, snapshots: sum.snapshots,
    trashImages: trash.images, trashProvisionedBytes: trash.provisioned, trashMaxProvisionedBytes: trash.max, trashSnapshots: trash.snapshots,
  };
}

/** EINVAL where the configuration no longer has the pool's backend. */
export function backendOf(ctx: Context, pool: PoolRecord): Backend {
  const backend = ctx.backends.get(pool.backend);
  if (!backend) throw new ServiceError('EINVAL', `pool ${pool.name} is on backend "${pool.backend}", which is not configured`);
  return backend;
}

export function placeOf(pool: PoolRecord): Place {
  return { dir: pool.dir, owner: pool.owner };
}

/** What a monitor allows of applications: so many on a pool, so many keys of each, so long a word (OSDMonitor of 16.2). */
const MOST_APPLICATIONS = 4;
const MOST_APPLICATION_KEYS = 64;
const LONGEST_APPLICATION_WORD = 128;

function checkApplicationWord(what: string, word: string): void {
  if (Buffer.byteLength(word) > LONGEST_APPLICATION_WORD) throw new ServiceError('EINVAL', `${what} is longer than ${LONGEST_APPLICATION_WORD} bytes`);
}

/** Applications. EPERM for a second one without force, as the monitor has it; EINVAL for a fifth. */
export async function enableApplication(ctx: Context, id: number, app: string, options: { force: boolean }): Promise<void> {
  if (app === '') throw new ServiceError('EINVAL', 'an application needs a name');
  checkApplicationWord('the application\'s name', app);
  await changePool(ctx, id, (pool) => {
    if (Object.hasOwn(pool.apps, app)) return pool;
    if (Object.keys(pool.apps).length >= MOST_APPLICATIONS) throw new ServiceError('EINVAL', `pool ${pool.name} has ${MOST_APPLICATIONS} applications already`);
    if (Object.keys(pool.apps).length > 0 && !options.force) {
      throw new ServiceError('EPERM', `pool ${pool.name} has an application already; force is needed for another`);
    }
    return { ...pool, apps: { ...pool.apps, [app]: {} } };
  });
}

/** Renames a pool; its id, directory and images stay. EEXIST where the new name is taken. */
export async function renamePool(ctx: Context, pool: PoolRecord, to: string): Promise<void> {
  checkName('pool', to);
  await transact(ctx.store, async (tx) => {
    const record = await tx.get<PoolRecord>(keys.pool(pool.id));
    if (!record) throw new ServiceError('ENOENT', `there is no pool with id ${pool.id}`);
    if ((await tx.get(keys.poolName(to))) !== undefined) throw new ServiceError('EEXIST', `pool ${to} exists`);
    tx.remove(keys.poolName(record.name));
    tx.put(keys.poolName(to), pool.id);
    tx.put(keys.pool(pool.id), { ...record, name: to });
  });
}

/** Sets one or both of a pool's limits; 0 lifts one. */
export async function setPoolQuota(ctx: Context, id: number, change: { maxBytes?: number; maxObjects?: number }): Promise<void> {
  await changePool(ctx, id, (pool) => ({ ...pool, quota: { maxBytes: 0, maxObjects: 0, ...pool.quota, ...change } }));
}

/** The metadata of a pool's application. ENOENT where the application is not enabled. */
export function applicationMetadata(pool: PoolRecord, app: string): Readonly<Record<string, string>> {
  const metadata = Object.hasOwn(pool.apps, app) ? pool.apps[app] : undefined;
  if (!metadata) throw new ServiceError('ENOENT', `application ${app} is not enabled on pool ${pool.name}`);
  return metadata;
}

/** Sets a key, or removes it where `value` is undefined. ENOENT where the application is not enabled. */
export async function changeApplicationMetadata(ctx: Context, id: number, app: string, change: { key: string; value: string | undefined }): Promise<void> {
  await changePool(ctx, id, (pool) => {
    const rest = Object.entries(applicationMetadata(pool, app)).filter(([key]) => key !== change.key);
    if (change.value !== undefined) {
      if (change.key === '') throw new ServiceError('EINVAL', 'application metadata needs a key');
      checkApplicationWord('the key', change.key);
      checkApplicationWord(`the value of ${change.key}`, change.value);
      if (rest.length >= MOST_APPLICATION_KEYS) throw new ServiceError('EINVAL', `application ${app} has ${MOST_APPLICATION_KEYS} keys already`);
      rest.push([change.key, change.value]);
    }
    return { ...pool, apps: { ...pool.apps, [app]: Object.fromEntries(rest) } };
  });
}

/** Sets metadata of a pool, or of a namespace in it. EINVAL for a conf_ key that is no option, or whose value does not fit it. */
export async function setPoolMetadata(ctx: Context, at: At, key: string, value: string): Promise<void> {
  checkNoNul('metadata key', key);
  checkConfigMetadata('pool', key, value);
  await transact(ctx.store, (tx) => { tx.put(keys.poolMetadata(at, key), value); });
  await tellPool(ctx, at, key);
}

/** ENOENT where it is not set. */
export async function removePoolMetadata(ctx: Context, at: At, key: string): Promise<void> {
  await transact(ctx.store, async (tx) => {
    if ((await tx.get(keys.poolMetadata(at, key))) === undefined) throw new ServiceError('ENOENT', `metadata ${key} is not set`);
    tx.remove(keys.poolMetadata(at, key));
  });
  await tellPool(ctx, at, key);
}

/** The options that the pool overrides: {"rbd_qos_iops_limit": "5"}. */
export async function poolConfig(ctx: Context, pool: number): Promise<Record<string, string>> {
  const prefix = keys.poolMetadata({ pool, namespace: '' }, 'conf_');
  const entries = await ctx.store.list({ prefix });
  return Object.fromEntries(entries.map(({ key, value }) => [key.slice(prefix.length), JSON.parse(value) as string]));
}

/** Open images of a pool whose options changed take them at once. */
async function tellPool(ctx: Context, { pool, namespace }: At, key: string): Promise<void> {
  if (!key.startsWith('conf_') || namespace !== '') return;
  if (key.startsWith('conf_rbd_qos_')) await limitPool(ctx, await getPool(ctx, pool));
  const images = ctx.sessions.openImages().filter((image) => image.pool === pool);
  await Promise.all(images.map((image) => changed(ctx, image)));
}

export async function listPoolMetadata(ctx: Context, at: At, range: { start?: string; max?: number } = {}): Promise<{ name: string; value: string }[]> {
  const prefix = keys.poolMetadata(at, '');
  const entries = await ctx.store.list({ prefix, after: prefix + (range.start ?? ''), ...(range.max ? { limit: range.max } : {}) });
  return entries.map(({ key, value }) => ({ name: key.slice(prefix.length), value: JSON.parse(value) as string }));
}

/** Changes a pool's record. ENOENT where there is no such pool. */
export async function changePool(ctx: Context, id: number, change: (pool: PoolRecord) => PoolRecord): Promise<void> {
  await transact(ctx.store, async (tx) => {
    const pool = await tx.get<PoolRecord>(keys.pool(id));
    if (!pool) throw new ServiceError('ENOENT', `there is no pool with id ${id}`);
    tx.put(keys.pool(id), change(pool));
  });
}
