// `cbd2rbd pool ...`: which pool stands on which backend, directory and owner.
import type {PoolMapping} from '../../rpc/admin.js';
import {table, UsageError, type Command} from '../command.js';

const row = (pool: PoolMapping): string[] => [String(pool.id), pool.name, pool.backend, pool.dir, pool.owner];
const head = ['ID', 'POOL', 'BACKEND', 'DIR', 'OWNER'];

const map: Command = {
  name: 'pool map',
  usage: 'NAME [BACKEND[:DIR]]',
  takes: {least: 1, most: 2},
  summary: 'Make a pool and say which backend and directory it stands on',
  details: [
    'BACKEND is local (the default), curvebs or ceph. DIR is the directory on it; by default the pool\'s name.',
    'For ceph, DIR is the name of the pool there; --conf, --id and --keyring say how to reach it.',
  ],
  options: {
    backend: {value: 'BACKEND', help: 'the same as BACKEND'},
    dir: {value: 'DIR', help: 'the same as DIR; it is made where it does not exist'},
    owner: {value: 'NAME', help: 'CurveBS: the owner of the directory'},
    conf: {value: 'FILE', help: 'ceph: its ceph.conf'},
    id: {value: 'ID', help: 'ceph: the user to be there'},
    keyring: {value: 'FILE', help: 'ceph: his keyring'},
  },
  examples: [
    'cbd2rbd pool map volumes',
    'cbd2rbd pool map volumes curvebs:/openstack/volumes --owner cinder',
    'cbd2rbd pool map volumes --backend curvebs --dir /openstack/volumes --owner cinder',
    'cbd2rbd pool map old ceph:volumes --conf /etc/ceph/old.conf --id admin',
  ],
  run: async (invocation) => {
    const [name = '', where = invocation.values.get('backend') ?? 'local'] = invocation.args;
    const [backend = '', ...given] = where.split(':');
    const named = invocation.values.get('dir');
    const dir = named === undefined ? given : [named];
    const ceph: Record<string, string> = {};
    for (const [option, field] of [['conf', 'conf'], ['id', 'user'], ['keyring', 'keyring']] as const) {
      const value = invocation.values.get(option);
      if (value !== undefined) ceph[field] = value;
    }
    const owner = invocation.values.get('owner');
    const pool = await (await invocation.daemon()).call('admin.pool.map', {
      name, backend,
      ...(dir.length > 0 ? {dir: dir.join(':')} : {}),
      ...(owner !== undefined ? {owner} : {}),
      ...(Object.keys(ceph).length > 0 ? {ceph} : {}),
    }) as PoolMapping;
    invocation.print(pool, (pool) => table(head, [row(pool)]));
    return 0;
  },
};

const qos: Command = {
  name: 'pool qos',
  usage: 'NAME client|backend',
  takes: {least: 2, most: 2},
  summary: 'Say who keeps the limits of I/O (rbd_qos_*) of a pool\'s images',
  details: [
    'client (the default): the client\'s library. backend: CurveBS, by the throttles of each image\'s head volume; other tools that use the',
    'volume are held to them, too. CurveBS\'s own throttles are replaced then, and lifted where this is set back to client.',
  ],
  examples: ['cbd2rbd pool qos volumes backend'],
  run: async (invocation) => {
    const [name, keeper] = invocation.args;
    if (keeper !== 'client' && keeper !== 'backend') throw new UsageError(`${JSON.stringify(keeper)} is neither client nor backend`, invocation.command);
    await (await invocation.daemon()).call('admin.pool.qos', {name, keeper});
    invocation.print({name, keeper}, () => []);
    return 0;
  },
};

const unmap: Command = {
  name: 'pool unmap',
  usage: 'NAME',
  takes: {least: 1, most: 1},
  summary: 'Forget a pool that has no images',
  examples: ['cbd2rbd pool unmap volumes'],
  run: async (invocation) => {
    await (await invocation.daemon()).call('admin.pool.unmap', {name: invocation.args[0]});
    invocation.print({unmapped: invocation.args[0]}, () => []);
    return 0;
  },
};

const list: Command = {
  name: 'pool ls',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'List pools and what they stand on',
  examples: ['cbd2rbd pool ls', 'cbd2rbd pool ls --json'],
  run: async (invocation) => {
    const {pools} = await (await invocation.daemon()).call('admin.pool.list') as {pools: PoolMapping[]};
    invocation.print(pools, (pools) => table(head, pools.map(row)));
    return 0;
  },
};

const show: Command = {
  name: 'pool show',
  usage: 'NAME',
  takes: {least: 1, most: 1},
  summary: 'Show one pool with its figures',
  examples: ['cbd2rbd pool show volumes'],
  run: async (invocation) => {
    const pool = await (await invocation.daemon()).call('admin.pool.show', {name: invocation.args[0]}) as object;
    invocation.print(pool, (pool) => Object.entries(pool).map(([key, value]) => `${key}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`));
    return 0;
  },
};

export const poolCommands: readonly Command[] = [map, unmap, list, show, qos];
