// cluster.stat, pool.* and namespace.* as docs/protocol.md has them.
import { imageIo } from '../../service/io-counters.js';
import { createNamespace, listNamespaces, namespaceExists, removeNamespace } from '../../service/namespaces.js';
import { configOptions } from '../../service/image-options.js';
import { ServiceError } from '../../service/errors.js';
import {
  applicationMetadata, changeApplicationMetadata, createPool, deletePool, enableApplication, findPool, getPool, imageTotals, listPoolMetadata, listPools,
  poolUsage, removePoolMetadata, setPoolMetadata,
} from '../../service/pools.js';
import { clusterUsage } from '../../service/cluster.js';
import type { At, PoolRecord } from '../../service/records.js';
import { done, placeFor, poolFor, type Call, type Methods } from '../method.js';

export const poolMethods: Methods = {
  'cluster.stat': async ({ ctx }) => ({ result: await clusterUsage(ctx) }),

  'pool.list': async ({ ctx }) => ({ result: { pools: (await listPools(ctx)).map(({ id, name }) => ({ id, name })) } }),
  'pool.lookup': async (call) => {
    const { id, name, backend, ceph } = await lookup(call);
    const nebdSocket = call.ctx.backends.get(backend)?.clientSocket;
    return { result: { id, name, backend, ...(nebdSocket === undefined ? {} : { nebdSocket }), ...(ceph ? { ceph } : {}) } };
  },
  'pool.create': async ({ ctx, identity, params }) => {
    identity.requireMon('rw', 'osd pool create');
    return { result: { id: (await createPool(ctx, { name: params.text('name'), maker: identity })).id } };
  },
  'pool.delete': async ({ ctx, identity, params }) => {
    const pool = await findPool(ctx, params.text('name'));
    if (!pool) throw new ServiceError('ENOENT', `there is no pool ${params.text('name')}`);
    identity.requireMon('rw', 'osd pool delete');
    await deletePool(ctx, pool);
    return { result: { id: pool.id } };
  },
  'pool.stat': async (call) => ({ result: await poolUsage(call.ctx, await getPool(call.ctx, call.params.number('pool'))) }),

  'pool.images': async (call) => ({ result: { ...await imageTotals(call.ctx, await placeFor(call, 'rx')) } }),

  'pool.io': async ({ ctx, identity, params }) => {
    const pools = new Set<number>();
    for (const id of params.numbers('pools')) {
      const { name } = await getPool(ctx, id);
      identity.require('rx', { pool: name, namespace: '' });
      pools.add(id);
    }
    return { result: { images: await imageIo(ctx, pools) } };
  },

  'pool.app.enable': async ({ ctx, identity, params }) => {
    identity.requireMon('rw', 'osd pool application enable');
    await enableApplication(ctx, params.number('pool'), params.text('app'), { force: params.flag('force', false) });
    return done;
  },
  'pool.app.list': async (call) => ({ result: { apps: Object.keys((await getPool(call.ctx, call.params.number('pool'))).apps).sort() } }),
  'pool.app.metadata': async (call) => ({ result: { metadata: await appMetadata(call) } }),
  'pool.app.get': async (call) => {
    const value = (await appMetadata(call))[call.params.text('key')];
    if (value === undefined) throw new ServiceError('ENOENT', `application metadata ${call.params.text('key')} is not set`);
    return { result: { value } };
  },
  'pool.app.set': async ({ ctx, identity, params }) => {
    identity.requireMon('rw', 'osd pool application set');
    await changeApplicationMetadata(ctx, params.number('pool'), params.text('app'), { key: params.text('key'), value: params.text('value') });
    return done;
  },
  'pool.app.remove': async ({ ctx, identity, params }) => {
    identity.requireMon('rw', 'osd pool application rm');
    await changeApplicationMetadata(ctx, params.number('pool'), params.text('app'), { key: params.text('key'), value: undefined });
    return done;
  },

  'pool.metadata.list': async (call) => {
    const at = await spaceFor(call, 'rx');
    const range = { start: call.params.text('start', ''), max: call.params.number('max', 0) };
    return { result: { entries: await listPoolMetadata(call.ctx, at, range) } };
  },
  'pool.metadata.get': async (call) => {
    const at = await spaceFor(call, 'rx');
    const key = call.params.text('key');
    const entry = (await listPoolMetadata(call.ctx, at)).find(({ name }) => name === key);
    if (!entry) throw new ServiceError('ENOENT', `metadata ${key} is not set`);
    return { result: { value: entry.value } };
  },
  'pool.metadata.set': async (call) => {
    const at = await spaceFor(call, 'rwx');
    await setPoolMetadata(call.ctx, at, call.params.text('key'), call.params.text('value'));
    return done;
  },
  'pool.metadata.remove': async (call) => {
    const at = await spaceFor(call, 'rwx');
    await removePoolMetadata(call.ctx, at, call.params.text('key'));
    return done;
  },
  'pool.config.list': async (call) => {
    const pool = await poolFor(call, 'rx');
    const set = new Map((await listPoolMetadata(call.ctx, { pool: pool.id, namespace: '' })).map(({ name, value }) => [name, value]));
    const central = call.ctx.clientConfig(call.identity.entity);
    const entries = Object.entries(configOptions).map(([name, [, byDefault]]) => {
      const own = set.get(`conf_${name}`);
      return own === undefined
        ? { name, value: central[name] ?? byDefault, source: 'config' }
        : { name, value: own, source: 'pool' };
    });
    return { result: { entries } };
  },

  'namespace.create': async (call) => {
    await createNamespace(call.ctx, await namespaceOf(call, 'rwx'));
    return done;
  },
  'namespace.remove': async (call) => {
    await removeNamespace(call.ctx, await namespaceOf(call, 'rwx'));
    return done;
  },
  'namespace.exists': async (call) => ({ result: { exists: await namespaceExists(call.ctx, await namespaceOf(call, 'rx')) } }),
  'namespace.list': async (call) => ({ result: { names: await listNamespaces(call.ctx, (await poolFor(call, 'rx')).id) } }),
};

async function lookup({ ctx, params }: Call): Promise<PoolRecord> {
  if (params.has('id')) return getPool(ctx, params.number('id'));
  const name = params.text('name');
  const pool = await findPool(ctx, name);
  if (!pool) throw new ServiceError('ENOENT', `there is no pool ${name}`);
  return pool;
}

async function appMetadata({ ctx, params }: Call): Promise<Readonly<Record<string, string>>> {
  return applicationMetadata(await getPool(ctx, params.number('pool')), params.text('app'));
}

/** A pool, or a namespace in it, which need not have been made. */
async function spaceFor(call: Call, rights: 'rx' | 'rwx'): Promise<At> {
  const pool = await getPool(call.ctx, call.params.number('pool'));
  const namespace = call.params.text('namespace', '');
  call.identity.require(rights, { pool: pool.name, namespace });
  return { pool: pool.id, namespace };
}

async function namespaceOf(call: Call, rights: 'rx' | 'rwx'): Promise<{ pool: number; namespace: string }> {
  const pool = await getPool(call.ctx, call.params.number('pool'));
  const namespace = call.params.text('name');
  call.identity.require(rights, { pool: pool.name, namespace });
  return { pool: pool.id, namespace };
}
