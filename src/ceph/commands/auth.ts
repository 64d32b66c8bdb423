// `auth ...`: users, keys and caps, in the monitor's words. The same records as `cbd2rbd user ...`.
import {checkCaps} from '../../access/caps.js';
import {isKey, newKey} from '../../access/key.js';
import {formatKeyring, parseKeyring} from '../../access/keyring.js';
import type {CapsText, User} from '../../access/user.js';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {Fields, List, type Doc} from '../document.js';
import {many, optional, text} from '../signature.js';

/** Entities are TYPE.ID; only clients have sessions here, the others may be kept like on a Ceph. */
function entityOf(request: Request): string {
  const entity = request.values.text('entity');
  if (entity === '') throw new MonRefusal('EINVAL', 'bad entity name');
  if (!/^(client|osd|mon|mgr|mds|auth)\.[^\s/]*$/.test(entity)) throw new MonRefusal('EINVAL', 'bad entity name');
  return entity;
}

const sorted = (caps: CapsText): [string, string][] => Object.entries(caps).sort(([a], [b]) => a < b ? -1 : 1);

function userDocument(user: User): Doc {
  return {entity: user.entity, key: user.key, caps: new Fields(sorted(user.caps))};
}

const asEntities = (user: User): Reply => ({root: 'auth', doc: new List('auth_entities', [userDocument(user)]), plain: formatKeyring(user)});

/** Caps in pairs; absent where none were given. */
function capsOf(request: Request): CapsText|undefined {
  const words = request.values.texts('caps');
  if (words.length === 0) return undefined;
  if (words.length % 2 !== 0) throw new MonRefusal('EINVAL', 'bad capabilities request; odd number of arguments');
  const caps: Record<string, string> = {};
  for (let at = 0; at < words.length; at += 2) {
    const kind = words[at] ?? '';
    if (!['mon', 'osd', 'mgr', 'mds'].includes(kind)) throw new MonRefusal('EINVAL', `unknown cap type '${kind}'`);
    caps[kind] = words[at + 1] ?? '';
  }
  checkCaps(caps);
  return caps;
}

const ownerOf = (entity: string): string => entity.slice(entity.indexOf('.') + 1);

async function getOrCreate(request: Request): Promise<User> {
  const entity = entityOf(request);
  const wanted = capsOf(request);
  const {users} = request.cluster;
  const known = await users.read(entity);
  if (!known) {
    const made = {entity, key: newKey(), caps: wanted ?? {}, owner: ownerOf(entity)};
    await users.write(made);
    return made;
  }
  for (const [kind, caps] of Object.entries(wanted ?? {})) {
    if (known.caps[kind] !== caps) throw new MonRefusal('EINVAL', `key for ${entity} exists but cap ${kind} does not match`);
  }
  return known;
}

/** Of a command that only reads: anything of the form KIND.ID. */
function askedEntity(request: Request): string {
  const entity = request.values.text('entity');
  if (!/^\w+\./.test(entity)) throw new MonRefusal('EINVAL', entity === '' ? 'invalid command' : `invalid entity_auth ${entity}`);
  return entity;
}

async function get(request: Request): Promise<Reply> {
  const entity = askedEntity(request);
  const user = await request.cluster.users.read(entity);
  if (!user) throw new MonRefusal('ENOENT', `failed to find ${entity} in keyring`);
  return {...asEntities(user), outs: `exported keyring for ${entity}`};
}

async function list({cluster}: Request): Promise<Reply> {
  const users = await cluster.users.list();
  const lines = users.flatMap((user) => [user.entity, `\tkey: ${user.key}`, ...sorted(user.caps).map(([kind, caps]) => `\tcaps: [${kind}] ${caps}`)]);
  return {
    root: 'auth', doc: {auth_dump: new List('auth_entities', users.map(userDocument))},
    plain: lines.map((line) => `${line}\n`).join(''),
  };
}

async function keyOnly(request: Request): Promise<Reply> {
  const entity = askedEntity(request);
  const user = await request.cluster.users.read(entity);
  if (!user) throw new MonRefusal('ENOENT', `don't have ${entity}`);
  return {root: 'auth', doc: {key: user.key}, plain: user.key};
}

async function exported(request: Request): Promise<Reply> {
  const entity = request.values.text('entity');
  if (entity === '') {
    const users = await request.cluster.users.list();
    return {outs: 'exported master keyring', root: 'auth', doc: new List('auth_entities', users.map(userDocument)), plain: users.map(formatKeyring).join('')};
  }
  const user = await request.cluster.users.read(entity);
  if (!user) throw new MonRefusal('ENOENT', 'no key for auth(key=AAAAAAAAAAAAAAAA)');
  return {...asEntities(user), outs: `export auth(key=${user.key})`};
}

async function imported({cluster, input}: Request): Promise<Reply> {
  if (input.length === 0) throw new MonRefusal('EINVAL', 'auth import: no data supplied');
  const entries = parseKeyring(input.toString());
  if (entries.length === 0 || entries.some((entry) => !isKey(entry.key))) {
    throw new MonRefusal('EINVAL', 'error decoding keyring cannot parse buffer: Malformed input');
  }
  for (const entry of entries) checkCaps(entry.caps);
  for (const entry of entries) {
    const known = await cluster.users.read(entry.entity);
    await cluster.users.write({...entry, owner: known?.owner ?? ownerOf(entry.entity)});
  }
  return {outs: 'imported keyring'};
}

async function add(request: Request): Promise<Reply> {
  const entity = entityOf(request);
  const caps = capsOf(request);
  const given = parseKeyring(request.input.toString()).find((entry) => entry.entity === entity);
  if (request.input.length > 0 && !given) throw new MonRefusal('EINVAL', `key for ${entity} not found in provided keyring`);
  const known = await request.cluster.users.read(entity);
  if (known) {
    if (given && given.key !== known.key) throw new MonRefusal('EINVAL', `entity ${entity} exists but key does not match`);
    const isSame = JSON.stringify(Object.entries(known.caps).sort()) === JSON.stringify(Object.entries(caps ?? {}).sort());
    if (!isSame) throw new MonRefusal('EINVAL', `entity ${entity} exists but caps do not match`);
    return {};
  }
  const all = {...given?.caps, ...caps};
  checkCaps(all);
  await request.cluster.users.write({entity, key: given?.key ?? newKey(), caps: all, owner: ownerOf(entity)});
  return {outs: `added key for ${entity}`};
}

async function changeCaps(request: Request): Promise<Reply> {
  const entity = entityOf(request);
  const user = await request.cluster.users.read(entity);
  if (!user) throw new MonRefusal('ENOENT', `couldn't find entry ${entity}`);
  await request.cluster.users.write({...user, caps: capsOf(request) ?? {}});
  return {outs: `updated caps for ${entity}`};
}

async function remove(request: Request): Promise<Reply> {
  const entity = entityOf(request);
  if (!await request.cluster.users.remove(entity)) return {outs: `entity ${entity} does not exist`};
  return {outs: 'updated'};
}

const entity = text('entity');
const caps = many(optional(text('caps')));
const read = {module: 'auth', rights: 'rx'} as const;
const write = {module: 'auth', rights: 'rwx'} as const;

export const authCommands: readonly MonCommand[] = [
  {name: 'auth export', args: [optional(entity)], ...read, help: 'write one user\'s keyring, or everybody\'s', run: exported},
  {name: 'auth get', args: [entity], ...read, help: 'write a user\'s keyring with his caps', run: get},
  {name: 'auth get-key', args: [entity], ...read, help: 'show a user\'s key', run: keyOnly},
  {name: 'auth print-key', args: [entity], ...read, help: 'show a user\'s key', run: keyOnly},
  {name: 'auth print_key', args: [entity], ...read, help: 'show a user\'s key', run: keyOnly},
  {name: 'auth list', args: [], ...read, help: 'list users', run: async (request) => ({...await list(request), outs: 'installed auth entries:\n'}), isDeprecated: true},
  {name: 'auth ls', args: [], ...read, help: 'list users', run: async (request) => ({...await list(request), outs: 'installed auth entries:\n'})},
  {name: 'auth import', args: [], ...write, help: 'take users from a keyring (-i FILE)', run: imported},
  {name: 'auth add', args: [entity, caps], ...write, help: 'add a user, with a key of the input or a new one', run: add},
  {
    name: 'auth get-or-create-key', args: [entity, caps], ...write, help: 'show a user\'s key, adding him where he is missing',
    run: async (request) => {
      const user = await getOrCreate(request);
      return {root: 'auth', doc: {key: user.key}, plain: `${user.key}\n`};
    },
  },
  {
    name: 'auth get-or-create', args: [entity, caps], ...write, help: 'write a user\'s keyring, adding him where he is missing',
    run: async (request) => {
      const user = await getOrCreate(request);
      return {...asEntities(user), plain: formatKeyring({...user, caps: {}})};
    },
  },
  {name: 'auth caps', args: [entity, many(text('caps'))], ...write, help: 'replace a user\'s caps', run: changeCaps},
  {name: 'auth del', args: [entity], ...write, help: 'remove a user', run: remove, isDeprecated: true},
  {name: 'auth rm', args: [entity], ...write, help: 'remove a user', run: remove},
];
