// The `admin.*` methods: what `cbd2rbd` asks of a running daemon. Thin: rules are the service's, caps texts are access's.
import {checkCaps} from '../access/caps.js';
import type {Identity} from '../access/identity.js';
import {isKey, newKey} from '../access/key.js';
import type {CapsText, User, UserRecords} from '../access/user.js';
import {ServiceError} from '../service/errors.js';

/** A pool and what stands behind it. */
export interface PoolMapping {
  readonly id: number;
  readonly name: string;
  readonly backend: string;
  readonly dir: string;
  readonly owner: string;
  /** For pools that a real Ceph serves: conf, user, keyring, pool. */
  readonly ceph?: Readonly<Record<string, string>>;
}

export interface PoolMapRequest {
  readonly name: string;
  readonly backend: string;
  /** Absent: the pool's name. */
  readonly dir?: string;
  readonly owner?: string;
  /** Who asks: the pool is his owner's where `owner` does not say otherwise. */
  readonly maker?: {readonly entity: string, readonly owner: string};
  readonly ceph?: Readonly<Record<string, string>>;
}

/** What the service does for `pool map|unmap|ls|show`. */
export interface PoolAdmin {
  /** EEXIST for a name in use, EINVAL for an unknown backend or a bad name. Makes the directory where it is missing. */
  map(request: PoolMapRequest): Promise<PoolMapping>;
  /** ENOTEMPTY where it still has images; the directory stays where it is unless it was empty and ours. */
  unmap(name: string): Promise<void>;
  list(): Promise<readonly PoolMapping[]>;
  /** Who keeps the limits of I/O of the pool's images. ENOENT; EOPNOTSUPP where its backend cannot. */
  setQos(name: string, keeper: 'client'|'backend'): Promise<void>;
  /** ENOENT; figures come from the backend and the records. */
  show(name: string): Promise<PoolMapping&Readonly<Record<string, unknown>>>;
}

/** A client's connection, as `cbd2rbd session ls` shows it. */
export interface SessionView {
  readonly id: number;
  readonly entity: string;
  readonly program: string;
  readonly pid: number;
  readonly uid: number;
  readonly address: string;
  /** Images that it has open: "pool/image". */
  readonly images: readonly string[];
  /** On CurveBS: the volumes that it has open in this host's nebd-server, and under which names. */
  readonly volumes: readonly { readonly path: string; readonly name: string }[];
}

export interface SessionAdmin {
  list(): Promise<readonly SessionView[]>;
  /** Cuts a session off: what it held is free. ENOENT. */
  kill(id: number): Promise<void>;
}

export interface AdminPorts {
  readonly users: UserRecords;
  readonly pools: PoolAdmin;
  readonly sessions: SessionAdmin;
  /** Methods about images, layers and records. */
  readonly maintenance: Readonly<Record<string, (params: AdminParams) => Promise<unknown>>>;
  /** Plain figures and texts for `cbd2rbd status`. */
  readonly status: () => Promise<Readonly<Record<string, unknown>>>;
  /** Ends the daemon in order, after the answer went out. */
  readonly stop: () => void;
}

export type AdminParams = Readonly<Record<string, unknown>>;
export type AdminMethod = (identity: Identity, params: AdminParams) => Promise<unknown>;

/** Method name to handler; each refuses with EACCES whoever has not mon `allow *`. */
export function adminMethods(ports: AdminPorts): ReadonlyMap<string, AdminMethod> {
  const methods: Record<string, (params: AdminParams, identity: Identity) => Promise<unknown>> = {
    ...ports.maintenance,
    'admin.status': () => ports.status(),
    'admin.stop': async () => {
      ports.stop();
      return {};
    },
    'admin.pool.map': async (params, identity) => ports.pools.map({...mapRequest(params), maker: identity}),
    'admin.pool.unmap': async (params) => {
      await ports.pools.unmap(text(params, 'name'));
      return {};
    },
    'admin.pool.list': async () => ({pools: await ports.pools.list()}),
    'admin.pool.qos': async (params) => {
      const keeper = text(params, 'keeper');
      if (keeper !== 'client' && keeper !== 'backend') throw new ServiceError('EINVAL', `${JSON.stringify(keeper)} is neither client nor backend`);
      await ports.pools.setQos(text(params, 'name'), keeper);
      return {};
    },
    'admin.pool.show': async (params) => ports.pools.show(text(params, 'name')),
    'admin.session.list': async () => ({sessions: await ports.sessions.list()}),
    'admin.session.kill': async (params) => {
      const id = params['id'];
      if (typeof id !== 'number' || !Number.isSafeInteger(id)) throw new ServiceError('EINVAL', 'id is no whole number');
      await ports.sessions.kill(id);
      return {};
    },
    'admin.user.add': (params) => addUser(ports.users, params),
    'admin.user.list': async () => ({users: (await ports.users.list()).map(withoutKey)}),
    'admin.user.show': async (params) => existing(ports.users, entityOf(params)),
    'admin.user.caps': (params) => changeCaps(ports.users, params),
    'admin.user.remove': async (params) => {
      const entity = entityOf(params);
      if (!await ports.users.remove(entity)) throw new ServiceError('ENOENT', `there is no user ${entity}`);
      return {};
    },
  };
  return new Map(Object.entries(methods).map(([name, method]) => [
    name, async (identity: Identity, params: AdminParams) => {
      identity.requireMon('*', name);
      return method(params, identity);
    }]));
}

export function text(params: AdminParams, field: string): string {
  const value = params[field];
  if (typeof value !== 'string' || value === '') throw new ServiceError('EINVAL', `${field} is missing or no text`);
  return value;
}

export function optionalText(params: AdminParams, field: string): string|undefined {
  return params[field] === undefined ? undefined : text(params, field);
}

function texts(params: AdminParams, field: string): Record<string, string>|undefined {
  const value = params[field];
  if (value === undefined) return undefined;
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [['', 0]];
  const found: Record<string, string> = {};
  for (const [key, item] of entries) {
    if (typeof key !== 'string' || typeof item !== 'string') throw new ServiceError('EINVAL', `${field} is no object of texts`);
    found[key] = item;
  }
  return found;
}

/** "cinder" and "client.cinder" are the same user; EINVAL for what Ceph would not take as a name. */
export function entityOf(params: AdminParams): string {
  const given = text(params, 'entity');
  const entity = given.includes('.') ? given : `client.${given}`;
  if (!/^client\.[^\s/"'\0-\x1f]+$/.test(entity)) throw new ServiceError('EINVAL', `${JSON.stringify(given)} is no user's name: client.NAME`);
  return entity;
}

function mapRequest(params: AdminParams): PoolMapRequest {
  const dir = optionalText(params, 'dir');
  const owner = optionalText(params, 'owner');
  const ceph = texts(params, 'ceph');
  return {
    name: text(params, 'name'),
    backend: text(params, 'backend'),
    ...(dir !== undefined ? {dir} : {}),
    ...(owner !== undefined ? {owner} : {}),
    ...(ceph ? {ceph} : {}),
  };
}

async function existing(users: UserRecords, entity: string): Promise<User> {
  const user = await users.read(entity);
  if (!user) throw new ServiceError('ENOENT', `there is no user ${entity}`);
  return user;
}

function capsOf(params: AdminParams): CapsText {
  const caps = texts(params, 'caps') ?? {};
  for (const kind of Object.keys(caps)) {
    if (!['mon', 'osd', 'mgr', 'mds'].includes(kind)) throw new ServiceError('EINVAL', `${JSON.stringify(kind)} has no caps: mon, osd, mgr and mds have`);
  }
  checkCaps(caps);
  return caps;
}

async function addUser(users: UserRecords, params: AdminParams): Promise<User> {
  const entity = entityOf(params);
  if (await users.read(entity)) throw new ServiceError('EEXIST', `there is a user ${entity} already`);
  const key = optionalText(params, 'key');
  if (key !== undefined && !isKey(key)) throw new ServiceError('EINVAL', `the key of ${entity} is no cephx key`);
  const owner = optionalText(params, 'owner') ?? entity.slice('client.'.length);
  if (owner === 'root' || owner.includes('\0')) throw new ServiceError('EINVAL', `owner ${JSON.stringify(owner)}: CurveBS opens no volume of root's, nor of a name with NUL`);
  const user = {entity, key: key ?? newKey(), caps: capsOf(params), owner};
  await users.write(user);
  return user;
}

async function changeCaps(users: UserRecords, params: AdminParams): Promise<Omit<User, 'key'>> {
  const user = await existing(users, entityOf(params));
  const changed = {...user, caps: capsOf(params)};
  await users.write(changed);
  return withoutKey(changed);
}

function withoutKey(user: User): Omit<User, 'key'> {
  return {entity: user.entity, caps: user.caps, owner: user.owner};
}
