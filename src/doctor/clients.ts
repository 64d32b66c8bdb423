// What a client of this environment would find: its ceph.conf, the socket in it, the key, and pools that answer.
import {accessSync, constants, existsSync, readFileSync, statSync} from 'node:fs';
import {connect} from 'node:net';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {DaemonClient, NoDaemonError, RefusedError} from '../cli/client.js';
import {bad, note, ok, type Finding} from './findings.js';
import type {FoundKey, KeySources} from './keys.js';

type Environment = Readonly<Record<string, string|undefined>>;

const systemSocket = '/run/cbd2rbd/cbd2rbd.sock';

/** Where librados looks for a ceph.conf, in its order. */
export function confFile(environment: Environment, given: string|undefined): string|undefined {
  if (given !== undefined) return given;
  const named = environment['CEPH_CONF'];
  const places = named ? named.split(/[,;\s]+/) : ['/etc/ceph/ceph.conf', join(homedir(), '.ceph/ceph.conf'), 'ceph.conf'];
  return places.find((file) => existsSync(file));
}

// An option out of a ceph.conf: the last of the sections that hold for this user. Blanks and underscores are the same there.
function optionIn(text: string, name: string, entity: string): string|undefined {
  let section = 'global';
  const found = new Map<string, string>();
  for (const line of text.split('\n').map((line) => line.replace(/[#;].*$/, '').trim())) {
    const head = /^\[(.+)\]$/.exec(line);
    if (head) section = head[1] ?? '';
    const option = /^([^=]+?)\s*=\s*(.*)$/.exec(line);
    if (option && (option[1] ?? '').replaceAll(/[\s-]+/g, '_') === name) found.set(section, (option[2] ?? '').replace(/^"(.*)"$/, '$1'));
  }
  return found.get(entity) ?? found.get('client') ?? found.get('global');
}

export interface ClientView {
  readonly conf: string|undefined;
  readonly socket: string;
  readonly keys: KeySources;
}

function expand(text: string, entity: string): string {
  const id = entity.slice(entity.indexOf('.') + 1);
  return text.replaceAll('$cluster', 'ceph').replaceAll('$name', entity).replaceAll('$type', 'client').replaceAll('$id', id);
}

/** What the library would go by. */
export function clientView(environment: Environment, request: {conf?: string|undefined, entity: string}): {view: ClientView, findings: Finding[]} {
  const {entity} = request;
  const conf = confFile(environment, request.conf);
  const findings: Finding[] = [];
  let text = '';
  if (conf === undefined) findings.push(note('conf', 'there is no ceph.conf', 'clients use the default socket then; OpenStack wants /etc/ceph/ceph.conf'));
  else if (!existsSync(conf)) findings.push(bad('conf', `${conf} does not exist`, 'mend CEPH_CONF or --conf'));
  else {
    text = readFileSync(conf, 'utf8');
    findings.push(ok('conf', `clients read ${conf}`));
  }
  const inConf = optionIn(text, 'cbd2rbd_socket', entity);
  const socket = inConf ?? (environment['CBD2RBD_SOCKET'] || systemSocket);
  const byDefault = ['/etc/ceph/$cluster.$name.keyring', '/etc/ceph/$cluster.keyring', '/etc/ceph/keyring', '/etc/ceph/keyring.bin'].join(',');
  const keyrings = (environment['CEPH_KEYRING'] || optionIn(text, 'keyring', entity) || byDefault).split(/[,;\s]+/).map((file) => expand(file, entity));
  const [key, keyfile] = [optionIn(text, 'key', entity), optionIn(text, 'keyfile', entity)];
  return {view: {conf, socket, keys: {...(key ? {key} : {}), ...(keyfile ? {keyfile: expand(keyfile, entity)} : {}), keyrings}}, findings};
}

function mayConnect(socket: string): boolean {
  try {
    accessSync(socket, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function checkSocket(socket: string): Finding[] {
  if (!existsSync(socket)) return [bad('socket', `${socket} does not exist`, 'start the daemon (cbd2rbd serve), or name its socket by cbd2rbd_socket in ceph.conf')];
  const about = statSync(socket);
  if (!about.isSocket()) return [bad('socket', `${socket} is no socket`, 'name the daemon\'s by cbd2rbd_socket in ceph.conf')];
  if (!mayConnect(socket)) {
    return [bad('socket', `${socket} has mode ${(about.mode & 0o777).toString(8)} and group ${about.gid}: this user may not connect`,
      'make him a member of that group (the package\'s is cbd2rbd) and restart the program, or leave listen_group empty in cbd2rbd.conf')];
  }
  return [ok('socket', `clients connect to ${socket}`)];
}

/** Goes in as the client would, with its key, and asks for each pool. */
export async function checkDaemon({socket, keys}: ClientView, {entity, found}: {entity: string, found: FoundKey|undefined}): Promise<Finding[]> {
  let client: DaemonClient;
  try {
    client = await DaemonClient.open({socket, entity, keyrings: keys.keyrings, key: found?.key});
  } catch (error) {
    if (error instanceof NoDaemonError) return [bad('daemon', `nobody answers at ${socket} (${error.reason})`, 'start the daemon: cbd2rbd serve')];
    if (error instanceof RefusedError) return [turnedAway(entity, {found, error})];
    throw error;
  }
  try {
    return [ok('daemon', `${entity} gets in at ${socket}, cluster ${client.fsid}`), ...await checkPools(client)];
  } finally {
    client.close();
  }
}

function turnedAway(entity: string, {found, error}: {found: FoundKey|undefined, error: RefusedError}): Finding {
  const by = found === undefined ? '' : ` with the key in ${found.from}`;
  return bad('daemon', `the daemon turns ${entity} away${by}: ${error.message}`, 'it says why in its log; the right key: cbd2rbd user keyring');
}

async function checkPools(client: DaemonClient): Promise<Finding[]> {
  const {pools} = await client.call('pool.list') as {pools: {id: number, name: string}[]};
  if (pools.length === 0) return [bad('pools', 'there is no pool', 'make one: cbd2rbd pool map NAME')];
  const sockets = new Set<string>();
  // All at once: one whose backend is away takes as long as a request is waited for.
  const findings = await Promise.all(pools.map(async ({id, name}) => {
    try {
      const {backend, nebdSocket} = await client.call('pool.lookup', {id}) as {backend: string, nebdSocket?: string};
      await client.call('pool.stat', {pool: id});
      if (nebdSocket !== undefined) sockets.add(nebdSocket);
      return ok('pools', `${name} answers (${backend})`);
    } catch (error) {
      return bad('pools', `${name}: ${error instanceof Error ? error.message : String(error)}`, 'look at its mapping: cbd2rbd pool show; is the backend up?');
    }
  }));
  for (const socket of sockets) findings.push(await checkNebd(socket));
  return findings;
}

/** Whether a process of this user can do I/O on CurveBS. */
export async function checkNebd(socket: string): Promise<Finding> {
  const connection = connect(socket);
  const code = await new Promise<string|undefined>((resolve) => {
    connection.once('connect', () => resolve(undefined));
    connection.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  connection.destroy();
  if (code === undefined) return ok('nebd', `I/O goes to ${socket}`);
  if (code === 'EACCES' || code === 'EPERM') {
    return bad('nebd', `uid ${process.geteuid?.()} may not connect to ${socket}: opening an image fails with EACCES`, 'let the users of your programs write to it, by its group or mode, and pass through the directories above it');
  }
  return bad('nebd', `nobody answers at ${socket} (${code}): I/O waits for it without end`, 'start nebd-server, or name its socket by curvebs_nebd_socket');
}
