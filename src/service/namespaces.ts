// Namespaces of a pool. Behind: rbd_namespace_create/remove/exists/list.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { checkName } from './names.js';
import { keys, type At } from './records.js';
import { readRecord, transact, type Tx } from './transact.js';

/** The most bytes of a namespace's name in Ceph (osd_max_object_namespace_len). */
const maxNameBytes = 256;

function checkNamespace(name: string): void {
  checkName('namespace', name);
  if (Buffer.byteLength(name) > maxNameBytes) throw new ServiceError('ENAMETOOLONG', `a namespace name of more than ${maxNameBytes} bytes`);
}

/** EEXIST; EINVAL for an empty name, ENAMETOOLONG. */
export async function createNamespace(ctx: Context, at: At): Promise<void> {
  checkNamespace(at.namespace);
  await transact(ctx.store, async (tx) => {
    if (await tx.get(keys.namespace(at))) throw new ServiceError('EEXIST', `namespace ${at.namespace} exists`);
    tx.put(keys.namespace(at), { name: at.namespace });
  });
}

/**
 * ENOENT; EINVAL for an empty name, ENAMETOOLONG; EBUSY while images are in it, in the trash too. What was set on it goes, also where
 * there is none of that name, as in Ceph.
 */
export async function removeNamespace(ctx: Context, at: At): Promise<void> {
  checkNamespace(at.namespace);
  const was = await transact(ctx.store, async (tx) => {
    const images = await ctx.store.list({ prefix: keys.images(at), limit: 1 });
    if (images.length > 0) throw new ServiceError('EBUSY', `namespace ${at.namespace} has images`);
    tx.requireEmpty(keys.images(at));
    tx.removeAll(keys.poolMetadata(at, ''));
    if (!await tx.get(keys.namespace(at))) return false;
    tx.remove(keys.namespace(at));
    return true;
  });
  if (!was) throw new ServiceError('ENOENT', `there is no namespace ${at.namespace}`);
}

/** EINVAL for an empty name, ENAMETOOLONG. */
export async function namespaceExists(ctx: Context, at: At): Promise<boolean> {
  checkNamespace(at.namespace);
  return (await readRecord(ctx.store, keys.namespace(at))) !== undefined;
}

export async function listNamespaces(ctx: Context, pool: number): Promise<string[]> {
  const entries = await ctx.store.list({ prefix: keys.namespaces(pool) });
  return entries.map(({ value }) => (JSON.parse(value) as { name: string }).name).sort();
}

/** Inside a transaction that puts something into a pool and its namespace: they must be there, and stay. ENOENT. */
export async function requirePlace(tx: Tx, at: At): Promise<void> {
  if (!await tx.get(keys.pool(at.pool))) throw new ServiceError('ENOENT', `there is no pool with id ${at.pool}`);
  if (at.namespace !== '' && !await tx.get(keys.namespace(at))) throw new ServiceError('ENOENT', `there is no namespace ${at.namespace}`);
}
